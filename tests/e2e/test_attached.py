# SPDX-License-Identifier: BSD-3-Clause
"""
tx_zc=1: large frames of a guest's are sent from where they lie.

They leave by the test NIC, which reads every byte when it is told to send, and frees mbufs when its
ring says so: at once, later, in any order, or only when it is stopped.
"""

import time

import driver as d
import pytest
from lengths import get_length
from testpmd import wait_until

FRAMES = get_length("NMX_FRAMES")
TIMEOUT_S = 15 + FRAMES // 20000
STREAM = {"window": 32, "sizes": "60-1514", "flows": 64}
FLOOD = {"window": 0, "sizes": "60-1514"}
DONE, ABORTED = 0, 1
BREAK_BYTES = 768  # frames up to this are copied
FREES = {
    "at-once": {},
    "late": {"tx_ring": 512},
    "shuffled": {"tx_ring": 512, "tx_order": "shuffled"},
}


def start_host(rig, **tnic):
    return rig.host(rig.tnic(**tnic), devargs=",tx_zc=1", eal=["--iova-mode=va"])


def count_attached(host):
    return host.xstats(0)["from_guest_attached"]


@pytest.mark.parametrize("frees", FREES.values(), ids=FREES.keys())
def test_stream_of_frames_that_are_sent_in_place_is_clean(rig, kind, frees):
    host = start_host(rig, frames=FRAMES, **STREAM, **frees)
    rig.guest(args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    # Half of the frames are large enough; where mbufs come late, fewer find a place.
    assert count_attached(host) > stream.sent * (0.4 if not frees else 0.1)


def test_frames_in_several_pieces_are_copied_among_others(rig, kind):
    """A guest's own mbufs are small here, and its frames go through several of them."""
    host = start_host(rig, frames=FRAMES, **{**STREAM, "sizes": "60-4000"})
    rig.guest(args=["--auto-start", "--mbuf-size=1280"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    assert 0.05 * stream.sent < count_attached(host) < 0.9 * stream.sent


def test_mbufs_that_hold_less_than_a_head_get_copies(rig):
    """The program's mbufs have room for 64 bytes each: a frame is a chain of them."""
    host = rig.host(rig.tnic(frames=10_000, **STREAM), devargs=",tx_zc=1", eal=["--iova-mode=va"],
                    args=["--mbuf-size=192", "--total-num-mbufs=65536"])
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert count_attached(host) == 0


def test_small_frames_are_copied(rig, kind):
    host = start_host(rig, frames=FRAMES, **{**STREAM, "sizes": f"60-{BREAK_BYTES}"})
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert count_attached(host) == 0


def test_port_that_keeps_mbufs_doesnt_stop_the_guest(rig, kind):
    """What isn't back is a bounded number; the rest is copied."""
    host = start_host(rig, frames=3500, tx_ring=4096, tx_keep="until-stop", **STREAM)
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert 1 <= count_attached(host) <= 128


def test_guest_is_killed_while_its_frames_are_being_sent(rig, kind):
    host = start_host(rig, **FLOOD)
    host.command("start")
    for _ in range(5):
        before = count_attached(host)
        guest = rig.guest(args=["--auto-start"])
        wait_until(lambda: count_attached(host) > before + 5000, "frames")
        guest.kill()
        rig.forget(guest)
    assert "aren't freed" not in host.text()


@pytest.mark.parametrize("keep", ["no", "until-stop", "until-close"])
def test_guest_leaves_while_a_port_keeps_its_frames(rig, kind, keep):
    """
    As one does that is idle, or stands still. Their memory is taken away; the next guest's frames
    are copied.
    """
    host = start_host(rig, **FLOOD, tx_ring=4096, tx_keep=keep)
    host.command("start")
    guest = rig.guest(args=["--auto-start"])
    wait_until(lambda: count_attached(host) > 0, "attached frames")
    host.command("stop")
    guest.kill()
    rig.forget(guest)
    begin = time.monotonic()
    host.expect("aren't freed", 10)
    assert time.monotonic() - begin < 1
    attached = count_attached(host)
    host.command("start")
    guest = rig.guest(args=["--auto-start"])
    wait_until(lambda: guest.stats(0)["TX-packets"] > 1000, "the next guest's frames")
    assert count_attached(host) == attached
    # What was kept is freed now, long after the memory and the ring have gone.
    host.command("stop")
    host.command("port stop 1")
    host.command("port close 1")
    assert guest.stats(0)["TX-packets"] > 1000


def test_guest_restarts_its_port_under_load(rig, kind):
    host = start_host(rig, **FLOOD)
    host.command("start")
    guest = rig.guest(args=["--auto-start"])
    for _ in range(10):
        before = count_attached(host)
        wait_until(lambda: count_attached(host) > before + 1000, "attached frames")
        guest.command("stop")
        guest.command("port stop 0")
        guest.command("port start 0")
        guest.command("start")


def test_without_scatter_frames_are_copied(rig):
    host = rig.testpmd("host", [rig.host_vdev(devargs=",tx_zc=1"), rig.tnic(
        frames=10_000, **STREAM)], tiny=True, eal=["--no-telemetry", "--iova-mode=va"],
        args=["--total-num-mbufs=16384"])
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert count_attached(host) == 0


def test_program_that_wants_no_segments_any_more_gets_copies(rig):
    """Its queue is set up again without them, while the guest's ring goes on."""
    host = start_host(rig, **FLOOD)
    host.command("start")
    guest = rig.guest(args=["--auto-start"])
    wait_until(lambda: count_attached(host) > 1000, "attached frames")
    host.command("stop")
    host.command("port stop 0")
    host.command("port config 0 rx_offload scatter off")
    host.command("port start 0")
    before, sent = count_attached(host), guest.stats(0)["TX-packets"]
    host.command("start")
    wait_until(lambda: guest.stats(0)["TX-packets"] > sent + 5000, "frames")
    assert count_attached(host) == before


def test_frames_that_were_sent_are_told_so_when_their_queue_stops(rig):
    """Their mbufs are freed when no burst looks any more."""
    host = start_host(rig, **{**FLOOD, "frames": 1}, tx_ring=512, tx_keep="until-stop")
    host.command("start")
    driver = d.Driver(rig.path("g0")).make_running()
    assert driver.request(d.QUEUE_START, d.pack_start(d.TX)) == d.OK
    for i in reversed(range(4)):
        driver.put(d.TX, i, d.BASE + d.BUFFERS + i * 2048, 1514)
    wait_until(lambda: count_attached(host) == 4, "attached frames")
    host.command("stop")
    host.command("port stop 1")
    for i in range(4, 6):
        driver.put(d.TX, i, d.BASE + d.BUFFERS + i * 2048, 1514)
    assert driver.request(d.QUEUE_STOP, d.pack_stop(d.TX)) == d.OK
    answers = [driver.get(d.TX, i) for i in range(6)]
    assert sorted(number for _, _, number, _ in answers) == list(range(6))
    status = {number: status for _, status, number, _ in answers}
    assert [status[i] for i in range(6)] == [DONE] * 4 + [ABORTED] * 2
    driver.close()
