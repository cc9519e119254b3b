# SPDX-License-Identifier: BSD-3-Clause
"""Frames pass both ways, whole, once, in order; and the counters of both ends agree."""

import pytest

from lengths import get_length
from testpmd import check_counters, wait_until

FRAMES = get_length("NMX_FRAMES")
TIMEOUT_S = 60 + FRAMES // 20000
# At most 32 frames of at most 5 buffers: well below half a ring of 1024 slots.
STREAM = {"window": 32, "frames": FRAMES, "sizes": "60-9000", "segments": "1-8", "flows": 64}


@pytest.mark.parametrize("queues", [1, 4])
def test_stream_from_host_and_back_is_clean(rig, queues):
    host = rig.host(rig.tnic(**STREAM), queues=queues)
    guest = rig.guest(queues=queues, args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    check_counters(host, guest, stream)


def test_stream_from_guest_and_back_is_clean(rig):
    host = rig.host(args=["--auto-start"])
    guest = rig.guest(rig.tnic(**STREAM))
    guest.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    h, g = host.xstats(0), guest.xstats(0)
    assert h["from_guest_frames"] == g["tx_good_packets"] == stream.sent
    assert h["to_guest_frames"] == g["rx_good_packets"] == stream.received


@pytest.mark.parametrize("way", ["to_guest", "from_guest"])
def test_one_way_stream_is_clean(rig, way):
    sender = rig.tnic(role="send", **STREAM)
    auditor = rig.tnic(role="audit")
    host = rig.host(sender if way == "to_guest" else auditor)
    guest = rig.guest(auditor if way == "to_guest" else sender)
    (guest if way == "to_guest" else host).command("start")
    (host if way == "to_guest" else guest).command("start")
    rig.check_stream(timeout=TIMEOUT_S)


def test_frames_larger_than_the_mtu_are_dropped_and_counted(rig):
    host = rig.host(rig.tnic(window=0, frames=1000, sizes="2000-3000", flows=4))
    guest = rig.guest(args=["--auto-start"])
    guest.command("stop")
    guest.command("port stop 0")
    guest.command("port config mtu 0 1500")
    guest.command("port start 0")
    guest.command("start")
    host.command("start")
    wait_until(lambda: host.xstats(0)["to_guest_drop_too_long"] == 1000, "1000 frames too long")
    assert guest.stats(0)["RX-packets"] == 0
    assert guest.stats(0)["RX-errors"] == 1000


def test_frames_for_a_queue_that_is_not_started_are_dropped_and_counted(rig):
    host = rig.host(rig.tnic(window=0, frames=1000, sizes="60-100", flows=4), queues=2)
    guest = rig.guest(queues=1, args=["--auto-start"])
    host.command("start")
    wait_until(lambda: host.xstats(0)["to_guest_drop_no_queue"] == 500, "a queue's frames dropped")
    wait_until(lambda: guest.stats(0)["RX-packets"] == 500, "the other's received")
