#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
Fills a machine's free memory with a pattern, all free huge pages first, and watches it.

    pattern.py MEGABYTES     of ordinary memory besides

Prints "filled N" with the megabytes that it took. Each line of input asks for a check, which prints
"clean", or "changed at PAGE:OFFSET" for the first byte that isn't its own.
"""

import mmap
import re
import sys

HUGE_BYTES = 2 << 20
MAP_HUGETLB = 0x40000
PATTERN = bytes(range(1, 252)) * (HUGE_BYTES // 251 + 2)


def count_free_pages():
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(re.search(r"HugePages_Free:\s*(\d+)", file.read()).group(1))


def fill(page, number):
    """Each page has the pattern from another byte on, so that a page's copy isn't one's own."""
    begin = number % 251
    page[:] = PATTERN[begin:begin + HUGE_BYTES]


def find_change(page, number):
    begin = number % 251
    expected = PATTERN[begin:begin + HUGE_BYTES]
    now = page[:]
    if now == expected:
        return None
    return next(i for i in range(HUGE_BYTES) if now[i] != expected[i])


def main():
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    pages = [mmap.mmap(-1, HUGE_BYTES, flags | MAP_HUGETLB) for _ in range(count_free_pages())]
    pages += [mmap.mmap(-1, HUGE_BYTES, flags) for _ in range(int(sys.argv[1]) // 2)]
    for number, page in enumerate(pages):
        fill(page, number)
    print("filled", 2 * len(pages), flush=True)
    for _ in sys.stdin:
        changes = ((number, find_change(page, number)) for number, page in enumerate(pages))
        change = next((change for change in changes if change[1] is not None), None)
        print("clean" if change is None else f"changed at {change[0]}:{change[1]}", flush=True)


if __name__ == "__main__":
    main()
