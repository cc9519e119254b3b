#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
In a guest: registers of a device that no driver has, by sysfs.

    registers.py ADDRESS read OFFSET
    registers.py ADDRESS ring OFFSET TIMES     write as often; prints nanoseconds a write
"""

import mmap
import sys
import time


def main():
    address, verb, offset = sys.argv[1], sys.argv[2], int(sys.argv[3], 0)
    device = f"/sys/bus/pci/devices/{address}"
    # Its memory answers.
    with open(f"{device}/enable", "w", encoding="ascii") as file:
        file.write("1")
    with open(f"{device}/resource0", "r+b") as file:
        registers = memoryview(mmap.mmap(file.fileno(), 4096)).cast("I")
    if verb == "read":
        print(registers[offset // 4])
        return
    begin = time.monotonic_ns()
    for value in range(int(sys.argv[4])):
        registers[offset // 4] = value
    spent = time.monotonic_ns() - begin
    # Answered when all of them have arrived.
    assert registers[0] == int.from_bytes(b"vDPK", "little")
    print(spent // int(sys.argv[4]))


if __name__ == "__main__":
    main()
