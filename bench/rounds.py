# SPDX-License-Identifier: BSD-3-Clause
"""
Rounds: the sides of a comparison take turns (A B C C B A ...), one measurement of each a round.

The hypervisor moves the virtual CPUs, and a cache line's way between them is then five times as
long, or a fifth. What was measured in another place than the rest of its round compares with
nothing, and is measured again.
"""

import statistics

from rows import show

REPEATS_MAX = 3
FARTHEST = 1.5


def find_odd(rows):
    """Those of a round's sides whose cache lines went another way. rows: lists, by side."""
    times = {side: [time_ns for row in some for time_ns in (row.ping_before_ns, row.ping_after_ns)]
             for side, some in rows.items()}
    usual = statistics.median_low([time_ns for some in times.values() for time_ns in some])
    return [side for side, some in times.items()
            if max(*some, usual) > FARTHEST * min(*some, usual)]


def measure_round(measure, sides, path, size, args, table):
    """measure(side, path, size, args, run) returns the side's rows."""
    rows, odd = {}, sides
    for attempt in range(REPEATS_MAX + 1):
        for side in odd:
            for row in rows.get(side, ()):
                row.use = "repeated"
                table.add(row)
            rows[side] = measure(side, path, size, args, table.run)
            for row in rows[side]:
                show(row)
        odd = find_odd(rows)
        if not odd:
            break
        if attempt < REPEATS_MAX:
            print("again, the CPUs were moved:", ", ".join(side.name for side in odd), flush=True)
        else:
            print("unsteady, but counted:", ", ".join(side.name for side in odd), flush=True)
    for side, some in rows.items():
        for row in some:
            row.use = "unsteady" if side in odd else "pair"
            table.add(row)


def measure_rounds(measure, sides, path, size, args, table):
    for number in range(args.pairs):
        measure_round(measure, sides[::-1 if number % 2 else 1], path, size, args, table)


def tell_time(n_measurements, args, each=3):
    """Before a long run; `each`: seconds that starting and ending a side take."""
    minutes = n_measurements * (args.seconds + args.warm + each) / 60
    print(f"{n_measurements} measurements, about {minutes:.0f} minutes, longer if CPUs are moved",
          flush=True)
