#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
How many instructions the bursts execute for a frame: exact, and so comparable where no clock is.

    tests/instructions/counts.py              prints them beside those in `expected`
    tests/instructions/counts.py --update     writes `expected`

64-byte frames of one segment in bursts of 32; what is counted is user code under valgrind's
callgrind, with all that a burst calls: copying (64 bytes inline), mempools, freeing. The numbers
belong to Debian 12's compiler and DPDK; nmx-bursts (bursts.c) has the frames.

Writes: build/instructions; /run/dpdk/nmx-bursts-PID, removed at the end.
"""

import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
EXPECTED = os.path.join(HERE, "expected")
LOGS = os.path.join(ROOT, "build/instructions")
ROUNDS = 1000
LIMIT_S = 100
# How the frames come: what is counted then, {name in `expected`: function}.
RUNS = {
    None: {
        "host_to_guest": "nmx_guestport_send",
        "guest_rx": "vdpdk_receive",
        "guest_tx": "vdpdk_transmit",
        "host_from_guest": "nmx_guestport_receive",
    },
    "mapped": {
        "mapped_refill": "refill",
        "mapped_to_guest": "nmx_guestport_send",
    },
    "shown": {
        "shown_refill": "refill",
        "shown_show": "nmx_rxmap_show",
        "shown_to_guest": "nmx_guestport_send",
    },
}
BURSTS = [name for bursts in RUNS.values() for name in bursts]


class Failure(Exception):
    """No numbers, or none that add up."""


def run(argv, environment=None):
    try:
        result = subprocess.run(argv, env=environment, timeout=LIMIT_S, check=False,
                                capture_output=True, text=True)
    except FileNotFoundError as error:
        raise Failure(f"{argv[0]} isn't there; install valgrind, run make build") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{argv[0]}: not done after {LIMIT_S} s") from error
    if result.returncode != 0:
        raise Failure(f"{' '.join(argv)} failed:\n{result.stdout[-500:]}{result.stderr[-2000:]}")
    return result.stdout


def collect(path, form, functions):
    """Run the bursts under callgrind, which leaves its profile; returns the number of frames."""
    prefix = f"nmx-bursts-{os.getpid()}"
    bursts = [os.path.join(ROOT, "build/bin/nmx-bursts"), "--no-huge", "-m", "64", "--no-shconf",
              "--no-pci", "--no-telemetry", "--file-prefix", prefix,
              "-l", str(min(os.sched_getaffinity(0))), "--", str(ROUNDS),
              *([form] if form else [])]
    toggles = [f"--toggle-collect={function}" for function in functions]
    # Bound at start, so that looking functions up isn't part of the first burst.
    environment = dict(os.environ, LD_BIND_NOW="1")
    try:
        said = run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={path}", *toggles,
                    *bursts], environment)
    finally:
        shutil.rmtree(f"/run/dpdk/{prefix}", ignore_errors=True)
    return int(re.search(r"^frames (\d+)$", said, re.M).group(1))


def read_profile(path, bursts):
    """Instructions in each burst with all it calls, by name."""
    said = run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", "--show-percs=no",
                "--auto=no", path])
    rows = [(int(number.replace(",", "")), function) for number, function in
            re.findall(r"^\s*([\d,]+)\s+\S+:(\w+)(?: \[.*\])?$", said, re.M)]
    # A function has a row for each file that it has code of, and one for itself with all of them.
    found = {name: max((number for number, function in rows if function == wanted), default=0)
             for name, wanted in bursts.items()}
    # What is collected is what is inside the bursts: a lost or doubled part can't pass.
    if sum(found.values()) != max(number for number, _ in rows) or 0 in found.values():
        raise Failure(f"the bursts' instructions don't add up: {found}")
    return found


def measure():
    """Instructions per frame, by name."""
    os.makedirs(LOGS, exist_ok=True)
    counts = {}
    for form, bursts in RUNS.items():
        path = os.path.join(LOGS, f"callgrind.{form or 'copied'}")
        frames = collect(path, form, bursts.values())
        counts |= {name: number / frames for name, number in read_profile(path, bursts).items()}
    return counts


def read_expected():
    with open(EXPECTED, encoding="ascii") as file:
        lines = [line.split("#")[0].split() for line in file]
    return {line[0]: float(line[1]) for line in lines if line}


def write_expected(counts):
    with open(EXPECTED, encoding="ascii") as file:
        head = [line for line in file if line.startswith("#")]
    with open(EXPECTED, "w", encoding="ascii") as file:
        file.writelines(head)
        file.writelines(f"{name:16} {count:6.1f}\n" for name, count in counts.items())


def main():
    if sys.argv[1:] not in ([], ["--update"]):
        sys.exit(f"usage: {sys.argv[0]} [--update]")
    try:
        counts = measure()
    except Failure as error:
        sys.exit(str(error))
    expected = read_expected()
    for name, count in counts.items():
        was = expected.get(name)
        change = f"{was:8.1f} {100 * (count / was - 1):+6.1f} %" if was else "    none"
        print(f"{name:16} {count:6.1f} {change}")
    if sys.argv[1:]:
        write_expected(counts)


if __name__ == "__main__":
    main()
