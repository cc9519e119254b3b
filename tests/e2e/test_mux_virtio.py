# SPDX-License-Identifier: BSD-3-Clause
"""nicmuxd with stock virtio guests, beside vDPDK ones."""

import os

import pytest

from mux import Mux, Stations, mac
from rig import VIRTIO as VIRTIO_KINDS
from test_mux_mapping import FRAMES, RING, TIMEOUT_S, owner, start_mux
from testpmd import wait_until

STREAMS = 300
# Either makes the socket once.
VIRTIO = [{"name": "connected", "type": "vhost-user"},
          {"name": "listening", "type": "vhost-user", "role": "listen"}]


def start_guest(rig, mux, name, args=(), form=VIRTIO_KINDS["split"]):
    vdev = mux.vdev(name, 0).replace(VIRTIO_KINDS["split"], form)
    guest = rig.testpmd("guest", [vdev], [
        "--forward-mode=macswap", "--auto-start", "--rxd=1024", "--txd=1024", *args],
        ["--single-file-segments", "--no-telemetry"],
        tiny="mrg_rxbuf=1" not in form)  # it would be asked for frames of several buffers
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


# Arguments of virtio-user, and whether its buffers can be lent.
FORMS = {"mergeable": (VIRTIO_KINDS["split"], True), "packed": ("packed_vq=1,mrg_rxbuf=0", True),
         "vectorized": ("mrg_rxbuf=0,in_order=0,vectorized=1", False)}


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_an_own_queue_are_clean_and_mapped(rig, form):
    """
    Half of the flows come by the switch, and are copied between the others; and so are broadcasts,
    which another guest sends as fast as it may.
    """
    arguments, can_lend = FORMS[form]
    # Of both together a guest that is away for a tenth of a second has room in its ring.
    mux = start_mux(rig, [owner(0, 1, type="vhost-user"),
                          {"name": "g1", "macs": [mac(1)], "floods_max": 4000}],
                    rate=6000, flows=8)
    guest = start_guest(rig, mux, "g0", form=arguments)
    rig.testpmd("guest", [mux.vdev("g1", 1)], [
        "--forward-mode=txonly", "--auto-start", "--eth-peer=0,ff:ff:ff:ff:ff:ff"], tiny=True)
    mux.wait_linked("g1")
    wait_until(lambda: guest.stats(0)["RX-packets"] > RING, "the NIC's ring to be the guest's")
    before, drops = mux.guest("g0"), mux.drops("g0")
    wait_until(lambda: rig.report().good + rig.report().misplaced >= FRAMES, "frames", TIMEOUT_S)
    report, after = rig.report(), mux.guest("g0")
    # Broadcasts come to the wire, too.
    assert report.changed == report.doubled == report.reordered == 0 < report.foreign
    lost = {name: n for name, n in mux.drops("g0").items() if n != drops.get(name, 0)}
    assert lost.keys() <= {"from_guest_drop_spoofed"}  # a broadcast's addresses, exchanged
    own, all_frames, mapped = (after[name] - before[name] for name in (
        "uplink_queues_frames", "to_guest_frames", "to_guest_mapped"))
    assert all_frames > 2.1 * own > 0
    assert mapped > 0.95 * own if can_lend else mapped == 0


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
