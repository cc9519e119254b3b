# SPDX-License-Identifier: BSD-3-Clause
"""
A data thread that hangs inside a burst, and a client that doesn't wait for it.

The thread is stopped by a debugger's means, again and again, until it is in the library's code and
a request shows by its missing answer that this was inside a burst.
"""

import contextlib
import mmap
import os
import select
import struct
import threading
import time

import pytest

import driver as d
import vfio_user as vu
import vhost_user as vh
import virtio_driver as vd
from mux import Mux
from scene import hold_thread
from testpmd import wait_until

WHOLE = 1.0  # seconds that no request takes
LIBRARY = "librte_common_nicmux"
PATTERN = 0x5A


class Scene:
    """A host of one port that is flooded, and its only client."""

    def __init__(self, rig):
        self.rig = rig
        self.host = rig.host(rig.tnic(0, "flood", window=0, sizes="60-1514", segments="1-3"),
                             queues=2, args=["--auto-start"])
        self.client = None

    def connect(self):
        """A client with all queues busy; its second map has a page of buffers of queue 1."""
        wait_until(lambda: not self.host.link_is_up(), "the former client's end")
        self.client = client = d.Driver(self.rig.path("g0"))
        client.make_busy()
        for i in range(d.SLOTS):
            client.put(d.RX, i, d.SPARE + i % 2 * 2048, 2048, index=1)
        return client

    def count(self, name):
        return self.host.xstats(0)[name]

    @contextlib.contextmanager
    def held(self, request, fds=(), prepare=lambda client: None):
        """(client, hold, time of sending): the request is parked, since a burst is under way."""
        for _ in range(500):
            client = self.connect()
            prepare(client)
            with hold_thread(self.host, inside=LIBRARY) as hold:
                begin = time.monotonic()
                client.send(request, fds)
                # On a busy machine even what is not held up takes its time.
                caught = not client.has_answer(0.2)
                if caught:
                    yield client, hold, begin
            client.close()
            if caught:
                return
        pytest.fail("the host's data thread was never caught inside a burst")


@pytest.fixture
def scene(rig):
    return Scene(rig)


def pack_config(offset, value):
    return vu.message(vu.REGION_WRITE, d.pack_access(offset, struct.pack("<H", value), 7))


UNMAP_SPARE = vu.message(vu.DMA_UNMAP, d.pack_unmap(d.SPARE, d.PAGE))
VECTORS = vu.message(vu.SET_IRQS, d.pack_vectors(3))
NO_VECTORS = vu.message(vu.SET_IRQS, d.pack_vectors(0, flags=0x21))
# What takes all memory away from the data threads, in whatever way.
RESETS = {
    "device-reset": vu.message(vu.RESET),
    "bus-master": pack_config(0x04, 0x2),
    "function-level-reset": pack_config(0x48, 0x8000),
    "unmap": vu.message(vu.DMA_UNMAP, d.pack_unmap(d.BASE, d.BYTES)),
    "unmap-all": vu.message(vu.DMA_UNMAP, d.pack_unmap(0, 0, 2)),
}


def expect_answer(client, begin):
    answer = client.receive()
    assert answer is not None and answer[1] == 0
    assert 0.3 < time.monotonic() - begin < WHOLE


def fill(memory, size):
    memory[:size] = bytes([PATTERN]) * size


def is_filled(memory, size):
    return memory[:size] == bytes([PATTERN]) * size


def use_again(client, unmapped=False):
    """Reset, start all queues, see frames."""
    client.write(d.STATUS, 0)
    client.wait_reset()
    client.memory[:d.BUFFERS] = bytes(d.BUFFERS)
    client.seq = [0] * 16
    assert client.write(0x04, 0x6, region=7) == 0
    if unmapped:
        assert client.map(d.BASE, d.BYTES) in (0, 17)
        assert client.map(d.SPARE, d.PAGE, fd=client.spare) in (0, 17)
    client.write(d.STATUS, d.FEATURES_OK)
    client.set_area(d.BASE + d.AREA)
    client.write(d.STATUS, d.RUNNING)
    assert client.read(d.STATUS) == d.RUNNING
    for index in (0, 1):
        for direction in (d.RX, d.TX):
            assert client.request(d.QUEUE_START, d.pack_start(direction, index)) == d.OK
        client.post_buffers(index)
    wait_until(lambda: all(client.get(d.RX, d.SLOTS - 1, index)[3] & d.AVAIL == 0
                           for index in (0, 1)), "frames in all buffers")


@pytest.mark.parametrize("name", RESETS)
def test_all_memory_is_let_go_within_a_second(scene, name):
    for turn in range(2):
        forced = scene.count("guest_answers_forced")
        with scene.held(RESETS[name]) as (client, hold, begin):
            expect_answer(client, begin)
            # From now on the memory is the client's alone.
            fill(client.memory, d.BYTES)
            if name.startswith("unmap"):
                assert client.read(d.STATUS) & d.FAILED
            else:
                assert client.read(d.STATUS) == d.RESETTING
                time.sleep(0.2)
                assert client.read(d.STATUS) == d.RESETTING
            hold.release()
            time.sleep(0.05)
            assert is_filled(client.memory, d.BYTES)
            use_again(client, name.startswith("unmap"))
        assert scene.count("guest_answers_forced") == forced + 1
    assert "a data thread is inside a burst" in scene.host.text()


# What takes memory away from a virtio guest's bursts.
def share_other(client):
    fd = d.make_file(vd.BYTES)
    client.send(vh.message(vh.SET_MEM_TABLE, vh.pack_table(((vd.BASE, vd.BYTES, vd.USER, 0),)),
                           vh.VERSION | vh.NEED_REPLY), [fd])
    os.close(fd)


def stop_first(client):
    client.send(vh.message(vh.GET_BASE, vh.pack_state(0, 0)))


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("take", [share_other, stop_first])
def test_memory_of_a_virtio_guest_is_let_go_within_a_second(rig, take, packed):
    rig.kind = "packed" if packed else "split"
    host = rig.host(rig.tnic(0, "flood", window=0, sizes="60-1514", segments="1-3"), queues=2,
                    args=["--auto-start"])
    for _ in range(500):
        client = vd.Driver(rig.path("g0"), packed=packed).make_busy()
        with hold_thread(host, inside=LIBRARY) as hold:
            begin = time.monotonic()
            take(client)
            caught = not client.has_answer(0.2)
            if caught:
                check_let_go(client, take, begin, hold)
        client.close()
        wait_until(lambda: not host.link_is_up(), "the former client's end")
        if caught:
            assert host.xstats(0)["guest_answers_forced"] == (1 if take is share_other else 4)
            assert "a data thread is inside a burst" in host.text()
            return
    pytest.fail("the host's data thread was never caught inside a burst")


def check_let_go(client, take, begin, hold):
    """The request's answer; then nothing that the burst does reaches that memory."""
    assert client.receive() is not None
    assert 0.3 < time.monotonic() - begin < WHOLE
    if take is stop_first:
        for index in range(1, 4):
            client.stop_ring(index)  # these wait no more
        assert time.monotonic() - begin < WHOLE
    fill(client.memory, vd.BYTES)
    hold.release()
    time.sleep(0.05)
    assert is_filled(client.memory, vd.BYTES)
    client.memory[:] = bytes(vd.BYTES)
    assert client.share() == 0
    for index in range(4):
        client.stop_ring(index)
        client.rings[index] = vd.Ring(client, index)
        client.start_ring(index)
    client.post_buffers(0)
    client.receive_frames(300)


class Poster(threading.Thread):
    """Posts the buffers of queue 1 again and again, so that there is always something to write."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client = client
        self.ended = threading.Event()
        self.start()

    def run(self):
        slot = 0
        while not self.ended.is_set():
            if not self.client.get(d.RX, slot, 1)[3] & d.AVAIL:
                self.client.put(d.RX, slot, d.SPARE + slot % 2 * 2048, 2048, index=1)
                slot = (slot + 1) % d.SLOTS

    def end(self):
        self.ended.set()
        self.join()


def test_some_memory_is_let_go_within_a_second(scene):
    posters = []

    def post(client):
        for poster in posters:
            poster.end()
        posters[:] = [Poster(client)]

    for turn in range(3):
        with scene.held(UNMAP_SPARE, prepare=post) as (client, hold, begin):
            posters[0].end()
            spare = mmap.mmap(client.spare, d.PAGE)
            expect_answer(client, begin)
            fill(spare, d.PAGE)
            # The device runs on; only what asks for that memory has a fault.
            assert client.read(d.STATUS) == d.RUNNING
            assert client.request(d.INFO_GET) == d.OK
            hold.release()
            time.sleep(0.05)
            assert is_filled(spare, d.PAGE)
            assert client.get_state(d.RX, 0) == (1, 0)
            assert client.map(d.SPARE, d.PAGE, fd=client.spare) == 0
            assert client.read(d.STATUS) == d.RUNNING
            use_again(client)


def test_vectors_are_replaced_within_a_second(scene):
    """Each is signalled once more when the hang is over; numbers of descriptors don't pile up."""
    old, new, last = ([os.eventfd(0, os.EFD_NONBLOCK) for _ in range(3)] for _ in range(3))

    def connect_old(client):
        assert client.ask(vu.SET_IRQS, d.pack_vectors(3), old)[1] == 0

    for turn in range(3):
        with scene.held(VECTORS, new, connect_old) as (client, hold, begin):
            expect_answer(client, begin)
            fds = scene.host.count_fds()
            for _ in range(50):
                for request, with_fds in ((NO_VECTORS, ()), (VECTORS, last), (VECTORS, new)):
                    client.send(request, with_fds)
                    assert client.receive()[1] == 0
            assert scene.host.count_fds() == fds
            assert client.read(d.STATUS) == d.RUNNING
            hold.release()
            for fd in new:
                assert select.select([fd], [], [], 1)[0]
            assert client.ask(vu.SET_IRQS, d.pack_vectors(0, flags=0x21))[1] == 0
            wait_until(lambda: scene.host.count_fds() == fds - 3, "the vectors' descriptors")
            for fd in (*old, *new, *last):
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(fd)
            assert client.ask(vu.SET_IRQS, d.pack_vectors(3), last)[1] == 0
            use_again(client)
            assert not select.select([*old, *new], [], [], 0.1)[0]
    for fd in (*old, *new, *last):
        os.close(fd)


def test_memory_is_mapped_and_unmapped_while_a_thread_hangs(scene):
    """At once, and for the device that is started when the hang is over."""
    with scene.held(RESETS["device-reset"]) as (client, hold, begin):
        expect_answer(client, begin)
        fill(client.memory, d.BYTES)
        first = time.monotonic()
        for _ in range(100):
            begin = time.monotonic()
            assert client.unmap(d.SPARE, d.PAGE) == 0
            assert client.map(d.SPARE, d.PAGE, fd=client.spare) == 0
            assert client.unmap(d.BASE, d.BYTES) == 0
            assert client.map(d.BASE, d.BYTES) == 0
            assert time.monotonic() - begin < WHOLE
        assert client.unmap(d.SPARE, d.PAGE) == 0
        assert time.monotonic() - first < 5 * WHOLE
        assert client.ask(vu.RESET)[1] == 0
        hold.release()
        time.sleep(0.05)
        assert is_filled(client.memory, d.BYTES)
        use_again(client)


def test_a_place_that_is_taken_by_force_is_mapped_again(scene):
    """The device fails, as its memory can't stay where it was; the map is good."""
    with scene.held(UNMAP_SPARE) as (client, hold, begin):
        spare = mmap.mmap(client.spare, d.PAGE)
        expect_answer(client, begin)
        assert client.read(d.STATUS) == d.RUNNING
        assert client.map(d.SPARE, d.PAGE, fd=client.spare) == 0
        assert client.read(d.STATUS) & d.FAILED
        fill(spare, d.PAGE)
        hold.release()
        time.sleep(0.05)
        assert is_filled(spare, d.PAGE)
        use_again(client)


def test_requests_behind_the_first_one_wait_no_more(scene):
    with scene.held(UNMAP_SPARE) as (client, hold, begin):
        expect_answer(client, begin)
        begin = time.monotonic()
        assert client.unmap(d.BASE, d.BYTES) == 0
        fill(client.memory, d.BYTES)
        assert client.write(0x04, 0x2, region=7) == 0
        assert client.ask(vu.RESET)[1] == 0
        assert time.monotonic() - begin < 0.2
        hold.release()
        time.sleep(0.05)
        assert is_filled(client.memory, d.BYTES)
        use_again(client, True)


def test_nothing_is_overdue_when_a_stopped_host_goes_on(scene):
    forced = scene.count("guest_answers_forced")
    with scene.held(UNMAP_SPARE) as (client, hold, _):
        os.kill(scene.host.pid, 19)
        time.sleep(1)
        os.kill(scene.host.pid, 18)
        assert not client.has_answer(0.1)
        hold.release()
        assert client.receive()[1] == 0
    assert scene.count("guest_answers_forced") == forced


def start_vdpdk(path):
    client = d.Driver(path)
    client.make_busy()
    for i in range(d.SLOTS):
        client.put(d.TX, i, d.BASE + d.BUFFERS, 60)
    return client


def start_virtio(path):
    client = vd.Driver(path).make_busy()
    for _ in range(vd.SLOTS - 1):
        client.rings[1].hand_over([(vd.BASE + vd.BUFFERS, vd.HEADER_BYTES + 60, 0)])
    return client


@pytest.mark.parametrize("entry,start,take", [
    ({}, start_vdpdk, lambda client: client.send(RESETS["device-reset"])),
    ({"type": "vhost-user", "role": "listen"}, start_virtio, share_other)],
    ids=["vdpdk", "virtio"])
def test_the_worker_of_the_daemon_hangs(rig, entry, start, take):
    """The daemon answers, and counts it."""
    mux = Mux(rig, [{"name": "a", "queues": 2, **entry}, "b"])
    caught = False
    for _ in range(500):
        client = start(mux.guests["a"]["path"])
        with hold_thread(mux.program):
            begin = time.monotonic()
            take(client)
            caught = not client.has_answer(0.2)
            if caught:
                assert client.receive()[1] == 0
                assert 0.3 < time.monotonic() - begin < WHOLE
        client.close()
        if caught:
            break
    assert caught
    assert mux.guest("a")["forced_answers"] == 1
    assert mux.guest("b")["forced_answers"] == 0
    assert mux.end() == 0
