# SPDX-License-Identifier: BSD-3-Clause
"""
Mapped Rx queues by the size of the rings on either side, and with lending switched off.

The source is the test NIC, which holds as many posted buffers as it is told (ring=; 0: none), and
leaves alone what is behind a frame in them. It makes and checks every byte, so these rates are a
fraction of those over net_null; what a ring of posted buffers costs is seen against the same test
NIC that holds none, and not against net_null.
"""

import os
import statistics

from measures import measure_rate
from rounds import measure_round, measure_rounds, tell_time
from rows import Table, show_ratio
from sides import RING, ROOT, IovteeWrapped, Wrapped

import telemetry
from process import Failure

PATH = "rings"
UPLINK_RINGS = (0, 64, 128, 256, 512, 1024)
GUEST_RINGS = (256, 512, 1024)
# What most NICs' programs post, over a guest's ring of four times that.
POSTED, GUEST_RING = 256, 1024


class VirtioWrapped(IovteeWrapped):
    """With a queue of as many slots as its program asks for."""

    def guest(self, rig):
        return [word.replace(f"queue_size={RING}", f"queue_size={self.ring}")
                for word in super().guest(rig)]


class Rings:
    """A mapped queue of an uplink's ring, and a guest's ring; a mixin."""

    def __init__(self, uplink, guest):
        super().__init__()
        self.ring = guest
        self.tnic = {"ring": uplink, "spoil": 0}
        self.name = f"up{uplink}-guest{guest}"


class Copying(Rings):
    """The same, switched to copies: all that mapping adds to a copying host, and not its gain."""

    telemetry = True

    def __init__(self, uplink, guest):
        super().__init__(uplink, guest)
        self.name += "-copies"

    def begin(self, rig):
        prefix = f"{rig.prefix}-host0"
        name, = telemetry.ask(prefix, "/nicmux/maps")
        if telemetry.ask(prefix, f"/nicmux/map_copy,{name}")["lending"]:
            raise Failure(f"{self.name}: {name} can't be switched to copies")


class VdpdkMapped(Rings, Wrapped):
    pass


class VdpdkCopied(Copying, Wrapped):
    pass


class VirtioMapped(Rings, VirtioWrapped):
    pass


class VirtioCopied(Copying, VirtioWrapped):
    pass


def choose_kind(args):
    """Classes of a mapped queue and of one that is switched to copies."""
    if args.sides and IovteeWrapped.name in args.sides:
        return VirtioMapped, VirtioCopied
    return VdpdkMapped, VdpdkCopied


def make_matrix(args):
    mapped, _ = choose_kind(args)
    return [mapped(uplink, guest) for guest in GUEST_RINGS for uplink in UPLINK_RINGS]


def make_compared(args):
    """Sides of the rounds, and which of them are compared."""
    mapped, copying = choose_kind(args)
    posted, none, copied = (mapped(POSTED, GUEST_RING), mapped(0, GUEST_RING),
                            copying(POSTED, GUEST_RING))
    return (posted, none, copied), ((posted, none), (posted, copied))


def show_matrix(table, size, mapped):
    """
    A line for each of the guest's rings. The mapped share is of frames that the guest got: where the
    uplink's ring has all its buffers, what comes in others is dropped more often than copied.
    """
    print(f"rings {size} B: mapped %, dropped %, Mpps")
    print("  uplink's ring " + "".join(f"{uplink:>21}" for uplink in UPLINK_RINGS))
    for guest in GUEST_RINGS:
        line = f"  guest's {guest:6} "
        for uplink in UPLINK_RINGS:
            rows = table.select(PATH, size, mapped(uplink, guest).name)
            share, dropped, rate = (statistics.median(getattr(row, name) for row in rows)
                                    for name in ("mapped", "dropped", "mpps"))
            line += f"{100 * share:8.1f} {100 * dropped:5.1f} {rate:6.2f}"
        print(line, flush=True)


def run_rings(args):
    table = Table("rings")
    sides, compared = make_compared(args)
    matrix = make_matrix(args)
    tell_time(len(args.sizes) * (len(matrix) + len(sides) * args.pairs), args)
    for size in args.sizes:
        for side in matrix:
            measure_round(measure_rate, [side], PATH, size, args, table)
        show_matrix(table, size, choose_kind(args)[0])
        # Rows of the rounds only: those of the matrix were measured minutes apart.
        rounds = Table("rings")
        measure_rounds(measure_rate, sides, PATH, size, args, rounds)
        for pair in compared:
            for key in ("mpps", "cycles"):
                show_ratio(rounds, PATH, size, key, pair)
    print(f"rows: {os.path.relpath(table.path, ROOT)}")
