# SPDX-License-Identifier: BSD-3-Clause
"""No wake-up is lost: programs that sleep without a time-out get every single frame."""

import os

from lengths import get_length
from rig import ROOT

FRAMES = get_length("NMX_INTERRUPT_FRAMES")
# One frame under way: the next is sent when this one is back, so a lost wake-up ends the stream.
SINGLE = {"window": 1, "frames": FRAMES, "sizes": "60-200", "flows": 1}


def start_waiter(rig, side, vdev):
    binary = os.path.join(ROOT, "build/bin/nmx-rxwait")
    waiter = rig.program("rxwait", [binary, *rig.eal(side, [vdev]), "--", str(FRAMES), "7"])
    waiter.expect("waiting", 30)
    return waiter


def check(rig, waiter):
    rig.check_stream(timeout=60 + FRAMES // 1000)
    received, waits = waiter.expect(r"received (\d+) waits (\d+)", 30).groups()
    assert int(received) == FRAMES
    # It slept, and was woken, for nearly each; a few came two to a wake-up at most.
    assert int(waits) > FRAMES * 0.9
    waiter.send("")
    assert waiter.wait() == 0


def test_guest_is_woken_for_each_frame(rig):
    host = rig.host(rig.tnic(**SINGLE))
    waiter = start_waiter(rig, "guest", f"net_vdpdk0,path={rig.path('g0')}")
    host.command("start")
    check(rig, waiter)
    # Half of the frames were sent for after arming: those the device had to signal.
    assert host.xstats(0)["to_guest_signals"] > FRAMES * 0.4


def test_host_is_woken_for_each_frame(rig, kind):
    waiter = start_waiter(rig, "host", rig.host_vdev())
    guest = rig.guest(rig.tnic(**SINGLE))
    guest.command("start")
    check(rig, waiter)


def test_host_that_slept_before_its_guest_came_is_woken_after_each_restart(rig, kind):
    """Guests come and are killed; the host that sleeps is woken by each."""
    waiter = start_waiter(rig, "host", rig.host_vdev())
    for _ in range(3):
        guest = rig.guest(rig.tnic(**{**SINGLE, "frames": 50}))
        guest.command("start")
        rig.check_stream()
        guest.kill()
    assert waiter.process.poll() is None
