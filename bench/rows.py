# SPDX-License-Identifier: BSD-3-Clause
"""Rows of measurements: one line each on the terminal and in a CSV file, and their ratios."""

import csv
import dataclasses
import os
import statistics
import time

from sides import ROOT

FOLDER = os.path.join(ROOT, "build/bench")
PERCENTILES = {"p50_us": 50, "p99_us": 99, "p999_us": 99.9}


@dataclasses.dataclass
class Row:
    """One measurement, a line of the CSV."""

    run: str  # when the run began
    path: str
    side: str
    form: str  # of the guest
    size: int
    mpps: float = 0
    cycles: float = 0  # busy ones of the host, for each frame received from either port
    dropped: float = 0  # of frames from the source: the share that the guest had no room for
    mapped: float = 0  # of frames that the guest got: the share that was in its memory already
    p50_us: float = 0
    p99_us: float = 0
    p999_us: float = 0
    lost: float = 0  # share of frames
    ping_before_ns: float = 0
    ping_after_ns: float = 0
    use: str = "pair"  # pair; repeated or unsteady: the ping-pong was odd; other: of no round
    host: str = ""
    guest: str = ""

    def set_rates(self, first, last):
        """From what was counted at both ends of a measurement (sides.Counts)."""
        self.mpps = (last.left - first.left) / (last.time - first.time) / 1e6
        self.cycles = (last.cycles - first.cycles) / max(1, last.packets - first.packets)
        self.dropped = (last.dropped - first.dropped) / max(1, last.taken - first.taken)
        self.mapped = (last.mapped - first.mapped) / max(1, last.given - first.given)


class Table:
    """The rows of one run, also in a CSV file that earlier runs are in."""

    def __init__(self, name):
        os.makedirs(FOLDER, exist_ok=True)
        self.path = os.path.join(FOLDER, name + ".csv")
        self.run = time.strftime("%FT%T")
        self.rows = []
        names = [field.name for field in dataclasses.fields(Row)]
        if os.path.exists(self.path):
            with open(self.path, newline="", encoding="utf-8") as file:
                if next(csv.reader(file), None) == names:
                    return
            os.replace(self.path, self.path + ".old")  # of another layout
        with open(self.path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(names)

    def add(self, row):
        self.rows.append(row)
        with open(self.path, "a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(dataclasses.astuple(row))

    def select(self, path, size, side):
        return [row for row in self.rows if (row.path, row.size, row.side) == (path, size, side)
                and row.use in ("pair", "unsteady")]


def show(row):
    words = [f"{row.path:7} {row.side:22} {row.form:10} {row.size:5} B {row.mpps:7.3f} Mpps"]
    if row.p50_us:
        words.append(f"p50 {row.p50_us:.1f} p99 {row.p99_us:.1f} p99.9 {row.p999_us:.1f} us "
                     f"lost {100 * row.lost:.3f} %")
    else:
        words.append(f"{row.cycles:6.1f} cycles {100 * row.dropped:5.1f} % dropped")
    if row.mapped:
        words.append(f"{100 * row.mapped:.1f} % mapped")
    if row.ping_before_ns:
        words.append(f"ping {row.ping_before_ns:.0f} {row.ping_after_ns:.0f} ns")
    if row.use not in ("pair", "other"):
        words.append(row.use)
    print("  ".join(words), flush=True)


def show_ratios(table, paths, size, keys, sides):
    """
    Each of ours over each peer, and over our own behind it in the list. What the same two sides did
    by each path stands together, since one without the other says little.
    """
    ours = [side for side in sides if side.ours]
    for side in ours:
        for other in [*ours[ours.index(side) + 1:], *(peer for peer in sides if not peer.ours)]:
            for key in keys:
                for path in paths:
                    show_ratio(table, path, size, key, (side, other))


def show_ratio(table, path, size, key, sides):
    """The median of the rounds' ratios, and the farthest ones."""
    rows = [table.select(path, size, side.name) for side in sides]
    ratios = [getattr(ours, key) / getattr(peer, key) for ours, peer in zip(*rows)
              if getattr(peer, key)]
    if ratios:
        print(f"ratio {path} {key.replace('mpps', 'rate')} {sides[0].name}/{sides[1].name} {size} "
              f"{statistics.median(ratios):.2f} {min(ratios):.2f} {max(ratios):.2f}", flush=True)
