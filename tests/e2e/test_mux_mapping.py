# SPDX-License-Identifier: BSD-3-Clause
"""nicmuxd with queues of the uplink that are one guest's each, and filled with its buffers."""

import pytest

from mux import Mux, mac
from testpmd import wait_until

FRAMES = 20000
RING = 256
TIMEOUT_S = 60
WIRE = "02:00:00:00:01:01"


def start_mux(rig, guests, queues=2, **stream):
    """The test NIC's flow k comes in queue k modulo `queues`."""
    stream = {"sizes": "60-1514", "dst": mac(0), "src": WIRE, "macs": "swapped", "ring": RING,
              **stream}
    return Mux(rig, guests, device=rig.tnic(**stream), eal=rig.plugin("tnic"), steering="static",
               queues=queues)


def start_guest(rig, mux, name, number=0, args=()):
    guest = rig.testpmd("guest", [mux.vdev(name, number)], ["--forward-mode=macswap",
                                                            "--auto-start", *args])
    mux.wait_linked(name)
    return guest


def owner(number, *queues, **keys):
    return {"name": f"g{number}", "macs": [mac(number)], "uplink_queues": list(queues), **keys}


@pytest.mark.parametrize("verify", [True, False])
def test_frames_of_an_own_queue_are_clean_and_mapped(rig, verify):
    """
    Half of the flows come by the switch: the order within each flow holds all the same. All go back
    by one queue, so there is no window; at this rate the guest may be away for a tenth of a second.
    """
    mux = start_mux(rig, [owner(0, 1, verify=verify)], rate=5000, flows=8)
    guest = start_guest(rig, mux, "g0")
    wait_until(lambda: guest.stats(0)["RX-packets"] > RING, "the NIC's ring to be the guest's")
    before, drops = mux.guest("g0"), mux.drops("g0")
    wait_until(lambda: rig.report().good + rig.report().misplaced >= FRAMES, "frames", TIMEOUT_S)
    report, after = rig.report(), mux.guest("g0")
    assert report.changed == report.foreign == report.doubled == report.reordered == 0
    assert mux.drops("g0") == drops  # of the time before it was there
    all_frames, own, mapped = (after[name] - before[name] for name in (
        "to_guest_frames", "uplink_queues_frames", "to_guest_mapped"))
    assert abs(own - all_frames / 2) < 64
    assert mapped > 0.95 * own


def test_a_foreign_frame_stops_the_queue_and_no_other(rig):
    mux = start_mux(rig, [owner(0, 1), owner(1, 2)], queues=3, rate=20000, dst=mac(1), flows=3)
    first, second = start_guest(rig, mux, "g0"), start_guest(rig, mux, "g1", 1)
    wait_until(lambda: second.stats(0)["RX-packets"] > 10000, "frames for the other guest")
    stopped = mux.guest("g0")
    assert stopped["uplink_queues_stopped"] == 1
    assert mux.guest("g1")["uplink_queues_stopped"] == 0
    assert stopped["to_guest_frames"] == first.stats(0)["RX-packets"] == 0
    # Read while a burst comes in.
    assert 0 <= stopped["uplink_queues_frames"] - stopped["uplink_queues_drop_foreign"] <= 32


def test_own_queues_change_hands_under_load(rig):
    """What a guest has lent comes back before it is ended; the next one's buffers take its place."""
    mux = start_mux(rig, [owner(0, 1)], rate=50000)
    for number in range(4):
        name = f"g{number % 2}"
        guest = start_guest(rig, mux, name, number)
        wait_until(lambda: mux.guest(name)["to_guest_mapped"] > 5000, "mapped frames")
        following = owner((number + 1) % 2, 1)
        mux.set_guests([{**following, "macs": [mac(0)]}])
        mux.hang_up()
        guest.kill()
        rig.forget(guest)
    assert mux.end() == 0
