# SPDX-License-Identifier: BSD-3-Clause
"""nicmuxd with stock virtio guests, beside vDPDK ones."""

import os

from mux import Mux, Stations, mac
from test_mux_mapping import FRAMES, RING, TIMEOUT_S, owner, start_mux
from testpmd import wait_until

STREAMS = 300
# Either makes the socket once.
VIRTIO = [{"name": "connected", "type": "vhost-user"},
          {"name": "listening", "type": "vhost-user", "role": "listen"}]


def start_guest(rig, mux, name, args=()):
    guest = rig.testpmd("guest", [mux.vdev(name, 0)], [
        "--forward-mode=macswap", "--auto-start", "--rxd=1024", "--txd=1024", *args],
        ["--single-file-segments"])
    mux.wait_linked(name)
    return guest


def test_stations_on_guests_of_all_kinds_and_on_the_wire_lose_nothing(rig):
    """A process for each: a virtio-user device shares all of its process' memory."""
    guests = ["vdpdk", *VIRTIO]
    mux = Mux(rig, guests)
    macs = [mac(number) for number in range(len(guests))] + [mac(0, 1)]
    groups = [Stations(rig, [mux.vdev(name, 0)], macs, STREAMS, 200, window=16, seed=number)
              for number, name in enumerate(mux.guests)]
    groups.append(Stations(rig, [mux.uplink_vdev(mac(0, 1))], macs, STREAMS, 200, window=16,
                           seed=9))
    mux.wait_linked(*mux.guests)
    groups[-1].go()
    mux.wait_wired()
    for group in groups[:-1]:
        group.go()
    for group in groups:
        group.wait_finished(60)
    assert [group.end() for group in groups] == [0] * len(groups)
    for name in mux.guests:
        assert mux.drops(name) == {}
        assert mux.guest(name)["type"] == ("vdpdk" if name == "vdpdk" else "vhost-user")
    assert mux.end() == 0


def test_frames_of_an_own_queue_are_clean_and_mapped(rig):
    """Half of the flows come by the switch, and are copied between the others."""
    mux = start_mux(rig, [owner(0, 1, type="vhost-user")], rate=5000, flows=8)
    guest = start_guest(rig, mux, "g0")
    wait_until(lambda: guest.stats(0)["RX-packets"] > RING, "the NIC's ring to be the guest's")
    before, drops = mux.guest("g0"), mux.drops("g0")
    wait_until(lambda: rig.report().good + rig.report().misplaced >= FRAMES, "frames", TIMEOUT_S)
    report, after = rig.report(), mux.guest("g0")
    assert report.changed == report.foreign == report.doubled == report.reordered == 0
    assert mux.drops("g0") == drops
    own, mapped = (after[name] - before[name] for name in (
        "uplink_queues_frames", "to_guest_mapped"))
    assert own > 0 and mapped > 0.95 * own


def test_killed_guest_is_followed_by_the_next(rig):
    mux = Mux(rig, VIRTIO)
    for name in mux.guests:
        for _ in range(3):
            guest = start_guest(rig, mux, name)
            guest.kill()
            rig.forget(guest)
            wait_until(lambda name=name: not mux.guest(name)["linked"], "the guest to be gone")
            if mux.guests[name].get("role") != "listen":
                os.unlink(mux.guests[name]["path"])  # where the next one would not listen
    assert mux.end() == 0
