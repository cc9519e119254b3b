# SPDX-License-Identifier: BSD-3-Clause
"""What is measured of one side: rates, latencies, and the ceiling."""

import dataclasses
import os
import time

from rows import PERCENTILES, Row
from sides import LOGS, ROOT, TESTPMD, Ours, common, ping_pong

from rig import Rig, pick_lcores
from testpmd import Program, Testpmd

# In percent of what a side takes when the source sends as fast as it goes.
LOADS = (10, 50, 90)


def measure_rate(side, path, size, args, run):
    row = Row(run, path, side.name, side.form, size, ping_before_ns=ping_pong(args.cpus))
    with side.start(args.plugins, path, size) as bed:
        row.host, row.guest = bed.commands
        time.sleep(args.warm)
        first = bed.read()
        time.sleep(args.seconds)
        row.set_rates(first, bed.read())
        bed.check()
    row.ping_after_ns = ping_pong(args.cpus)
    return [row]


def measure_times(side, size, rate, args):
    """Reports of the test NIC at the begin and at the end of a measurement, and the pair."""
    with side.start(args.plugins, "lat", size, rate=rate) as bed:
        time.sleep(args.warm)
        begin, first = time.monotonic(), bed.rig.report()
        time.sleep(args.seconds)
        end, last = time.monotonic(), bed.rig.report()
        bed.check()
        passed = dataclasses.replace(
            last, times=tuple(b - a for a, b in zip(first.times, last.times)))
        return passed, (last.good - first.good) / (end - begin), last.gaps - first.gaps, \
            bed.commands


def measure_latency(side, path, size, args, run):
    """A row for each load, after the full rate was found. path: what theirs begin with."""
    rows, (_, full, _, _) = [], measure_times(side, size, 0, args)
    for load in LOADS:
        row = Row(run, f"{path}{load}", side.name, side.form, size,
                  ping_before_ns=ping_pong(args.cpus))
        report, rate, gaps, (row.host, row.guest) = measure_times(
            side, size, max(1, int(full * load / 100)), args)
        row.mpps = rate / 1e6
        for name, percent in PERCENTILES.items():
            setattr(row, name, (report.percentile_ns(percent) or 0) / 1000)
        row.lost = max(0, gaps) / max(1, sum(report.times) + max(0, gaps))
        row.ping_after_ns = ping_pong(args.cpus)
        rows.append(row)
    return rows


def lay_out_ceiling(rig, size, args):
    """Command lines of the host that touches nothing but the ring, and of its guest."""
    host = [os.path.join(ROOT, "build/bin/nmx-ceiling"), *common("host", rig, 0), "--",
            rig.path("s"), str(size), str(args.seconds)]
    # It has one thread, which is to stay where a testpmd has its forwarding one.
    host[host.index("--lcores") + 1] = pick_lcores("host")[1].split(",")[0]
    return host, [*common("guest", rig, 1), *Ours().guest(rig)]


def measure_ceiling(size, args, run):
    rig = Rig(args.plugins, LOGS)
    host, guest_args = lay_out_ceiling(rig, size, args)
    row = Row(run, "ceiling", Ours.name, "", size, use="other", host=" ".join(host),
              ping_before_ns=ping_pong(args.cpus))
    try:
        ceiling = rig.add(Program(host, rig.log("ceiling")))
        ceiling.expect("listening")
        guest = rig.add(Testpmd(guest_args, [*TESTPMD, "--forward-mode=macswap"],
                                rig.log("guest")))
        row.guest = " ".join(guest.argv)
        guest.command("start")
        found = ceiling.expect(r"ceiling ([\d.]+) ([\d.]+)", args.seconds + 90)
        row.mpps, row.cycles = map(float, found.groups())
    finally:
        rig.clean_up()
    row.ping_after_ns = ping_pong(args.cpus)
    return row
