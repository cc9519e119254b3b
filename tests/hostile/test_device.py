# SPDX-License-Identifier: BSD-3-Clause
"""The device: registers, requests, doorbells, vectors, resets."""

import fcntl
import os
import random
import struct
import time

import pytest

import driver as d
import vfio_user as vu

END = 1 << 64
DIALECT = "vdpdk"
QUEUES = 2


def blocking_full_eventfd():
    """Whoever writes to it waits for ever."""
    fd = os.eventfd((1 << 32) - 1)
    os.eventfd_write(fd, (1 << 64) - 2 - ((1 << 32) - 1))
    assert not fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK
    return fd


def close(fds):
    for fd in fds:
        os.close(fd)


# --- Doorbells and vectors ---


def test_saturated_doorbell_of_a_dead_guest(scene):
    """A full eventfd is no reason for the next guest's doorbell to wake nobody."""
    guest = scene.light_guest(reflect=False)
    guest.ask("saturate")
    guest.kill()


def get_doorbells(client):
    """The host's eventfds, each to be closed by the test."""
    client.ask(vu.GET_IO_FDS, struct.pack("<IIII", 4096, 0, 0, 0))
    bells, client.fds = client.fds, []
    assert len(bells) == QUEUES
    return bells


def test_saturated_doorbell_that_blocks(scene):
    """The host's own writes to it, which a register's doorbell is, must not wait either."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    bells = get_doorbells(client)
    for bell in bells:
        os.eventfd_write(bell, END - 2)
        fcntl.fcntl(bell, fcntl.F_SETFL, 0)
    for q in range(QUEUES):
        for _ in range(100):
            assert client.write(d.TX_DOORBELL + 4 * q, 0) == 0
    close(bells)


def test_storm_of_doorbells(scene):
    """By eventfds and by registers, also of queues that aren't there."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    bells = get_doorbells(client)
    storm = b"".join(vu.message(vu.REGION_WRITE, d.pack_access(d.TX_DOORBELL + 4 * q, bytes(4)),
                                vu.NO_REPLY) for q in range(64))
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for bell in bells:
            os.eventfd_write(bell, 1)
        assert client.send(storm)
    close(bells)


def test_doorbells_of_a_former_session(scene):
    """They belong to nobody any more, whatever is written to them."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    bells = get_doorbells(client)
    client.end()
    assert client.is_closed(2)
    scene.adopt(d.Driver(scene.path).make_busy())
    for bell in bells:
        os.eventfd_write(bell, END - 2)
    close(bells)


def test_vector_that_blocks(scene):
    """Full and blocking, for the control thread and for bursts that signal at each chance."""
    client = scene.adopt(d.Driver(scene.path).make_running())
    fds = [blocking_full_eventfd() for _ in range(1 + QUEUES)]
    assert client.ask(vu.SET_IRQS, d.pack_vectors(1 + QUEUES), fds)[1] == 0
    for index in range(QUEUES):
        assert client.request(d.QUEUE_START, d.pack_start(d.RX, index), flags=1) == d.OK
    end, seq = time.monotonic() + 0.5, 0
    while time.monotonic() < end:
        seq += 1
        for index in range(QUEUES):
            at = d.RINGS + 2 * index * d.RING_ROOM
            client.memory[at:at + 4] = struct.pack("<I", seq)
            client.post_buffers(index, 64)
        assert client.request(d.STATS_GET, bytes(8), flags=1) == d.OK
    assert client.ask(vu.SET_IRQS, d.pack_vectors(1, flags=0x21))[1] == 0
    close(fds)


def test_vectors_swapped_under_load(scene):
    client = scene.adopt(d.Driver(scene.path).make_busy())
    for _ in range(200):
        fds = [os.eventfd(0) for _ in range(1 + QUEUES)]
        assert client.ask(vu.SET_IRQS, d.pack_vectors(1 + QUEUES), fds)[1] == 0
        close(fds)
        at = d.RINGS
        client.memory[at:at + 4] = os.urandom(4)
        client.post_buffers(0, 32)
    assert client.ask(vu.SET_IRQS, d.pack_vectors(0, flags=0x21))[1] == 0


# start, count, index, flags, size of the structure as told, data behind it, descriptors.
VECTORS = {
    "beyond-the-last": (QUEUES, 2, 2, 0x24, 20, b"", 2),
    "wraps": (0xFFFFFFFF, 2, 2, 0x24, 20, b"", 2),
    "count-wraps": (1, 0xFFFFFFFF, 2, 0x24, 20, b"", 1),
    "fewer-descriptors": (0, 3, 2, 0x24, 20, b"", 2),
    "more-descriptors": (0, 1, 2, 0x24, 20, b"", 2),
    "unknown-index": (0, 1, 5, 0x24, 20, b"", 1),
    "last-index": (0, 1, 0xFFFFFFFF, 0x24, 20, b"", 1),
    "two-kinds-of-data": (0, 1, 2, 0x25, 20, b"", 1),
    "no-data": (0, 1, 2, 0x20, 20, b"", 0),
    "masking": (0, 1, 2, 0x0C, 20, b"", 1),
    "unknown-flags": (0, 1, 2, 0x80000024, 20, b"", 1),
    "short": (0, 1, 2, 0x24, 19, b"", 1),
    "bytes-missing": (0, 3, 2, 0x22, 20, b"\1\1", 0),
    "bytes-too-many": (0, 1, 2, 0x22, 20, b"\1\1", 0),
    "descriptors-for-none": (0, 1, 2, 0x21, 20, b"", 1),
}


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_that_make_no_sense(scene, name):
    start, count, index, flags, argsz, data, n_fds = VECTORS[name]
    client = scene.adopt(d.Driver(scene.path).make_busy())
    fds = [os.eventfd(0) for _ in range(n_fds)]
    body = d.pack_vectors(count, start, index, flags, argsz) + data
    assert client.ask(vu.SET_IRQS, body, fds)[1] == 22
    close(fds)


# --- Registers ---


@pytest.mark.parametrize("region", [0, 2, 7])
def test_region_full_of_noise(scene, region):
    """Each register and what is beside it, of any size, with anything; then beyond the end."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    source = random.Random(region)
    for size in (1, 2, 3, 4, 8, 64, 4096):
        for offset in sorted({0, 1, 4, 6, 4096 - size, *source.sample(range(0, 4097 - size), 60)}
                             if size < 4096 else {0}):
            data = source.randbytes(size)
            answer = client.ask(vu.REGION_WRITE, d.pack_access(offset, data, region))
            assert answer[1] == 0
            answer = client.ask(vu.REGION_READ, d.pack_access(offset, size, region))
            assert (answer[1], len(answer[2])) == (0, 16 + size)
    for offset, size in ((4095, 2), (4096, 1), (END - 1, 2), (END - 1, 1), (1 << 63, 4), (0, 4097),
                         (0, 65536)):
        for command, argument in ((vu.REGION_READ, size), (vu.REGION_WRITE, bytes(size))):
            assert client.ask(command, d.pack_access(offset, argument, region))[1] == 22


def test_access_to_no_region(scene):
    client = scene.adopt(d.Driver(scene.path).make_busy())
    for region in (1, 3, 4, 5, 6, 8, 9, 0x7FFFFFFF, 0xFFFFFFFF):
        for command, argument in ((vu.REGION_READ, 4), (vu.REGION_WRITE, bytes(4))):
            assert client.ask(command, d.pack_access(0, argument, region))[1] == 22
    # A count that isn't what follows.
    for count in (0, 3, 5, 65536, 65537, 0xFFFFFFFF):
        body = struct.pack("<QII", 0, 0, count) + bytes(4)
        assert client.ask(vu.REGION_WRITE, body)[1] == 22


# What is written to STATUS one after the other, and what it reads at the end. The device's own
# bits, unknown ones, and each wrong order.
ORDERS = {
    "running-first": ((d.RUNNING,), d.FAILED),
    "running-alone": ((2,), d.FAILED),
    "running-before-its-area": ((1, 3), d.FAILED),
    "features-taken-back": ((1, 2), d.FAILED),
    "failed-by-the-driver": ((d.FAILED,), d.FAILED),
    "resetting-by-the-driver": ((d.RESETTING,), d.FAILED),
    "everything": ((0xFFFFFFFF,), d.FAILED),
    "unknown-bits": ((1, 0x80000003), d.FAILED),
    "after-a-failure": ((2, 1, 3), d.FAILED),
    "reset-after-a-failure": ((2, 0), 0),
    "the-same-again": ((1, 1, 1), d.FEATURES_OK),
}


@pytest.mark.parametrize("name", ORDERS)
def test_status_in_a_wrong_order(scene, name):
    client = scene.adopt(d.Driver(scene.path).make_mapped())
    values, end = ORDERS[name]
    for value in values:
        assert client.write(d.STATUS, value) == 0
    client.wait_reset()
    status = client.read(d.STATUS)
    assert status == end or (end == d.FAILED and status & d.FAILED)


def test_features_that_are_not_offered(scene):
    client = scene.adopt(d.Driver(scene.path).make_mapped())
    for bit in (1, 9, 31, 32, 63):
        client.write(d.FEATURES, 1 << bit & 0xFFFFFFFF)
        client.write(d.FEATURES + 4, 1 << bit >> 32)
        client.write(d.STATUS, d.FEATURES_OK)
        assert client.read(d.STATUS) == 0
    client.write(d.FEATURES, 1)
    client.write(d.FEATURES + 4, 0)
    client.write(d.STATUS, d.FEATURES_OK)
    assert client.read(d.STATUS) == d.FEATURES_OK


# Address of the control area, 20 KiB; None: as it should be, but bus mastering is off.
AREAS = {
    "a-byte-off": d.BASE + 1,
    "half-a-page-off": d.BASE + 2048,
    "at-zero": 0,
    "before-the-map": d.BASE - d.PAGE,
    "a-page-beyond": d.BASE + d.BYTES - 4 * d.PAGE,
    "behind-the-map": d.BASE + d.BYTES,
    "wraps": END - d.PAGE,
    "ends-at-the-end": END - 5 * d.PAGE,
    "in-a-map-too-small": d.SPARE,
    "read-only": 1 << 40,
    "write-only": 2 << 40,
    "no-file": 3 << 40,
    "over-another-protection": (1 << 40) - d.PAGE,
    "without-bus-mastering": None,
}


@pytest.mark.parametrize("name", AREAS)
def test_control_area_address(scene, name):
    client = scene.adopt(d.Driver(scene.path).make_mapped())
    assert client.map(1 << 40, d.BYTES, flags=1) == 0
    assert client.map((1 << 40) - d.PAGE, d.PAGE) == 0
    assert client.map(2 << 40, d.BYTES, flags=2) == 0
    assert client.map(3 << 40, d.BYTES, fd=-1) == 0
    address = AREAS[name]
    if address is None:
        assert client.write(0x04, 0x2, region=7) == 0
        address = d.BASE
    client.write(d.STATUS, d.FEATURES_OK)
    client.set_area(address)
    client.write(d.STATUS, d.RUNNING)
    assert client.read(d.STATUS) & d.FAILED
    assert client.ask(vu.REGION_WRITE, d.pack_access(d.CONTROL_DOORBELL, bytes(4)))[1] == 0


def test_storm_of_resets(scene):
    """Each kind of reset, on a device whose queues run."""
    client = scene.adopt(d.Driver(scene.path))
    function_reset = d.pack_access(0x40 + 8, struct.pack("<H", 0x8000), 7)
    resets = (
        lambda: client.write(d.STATUS, 0),
        lambda: client.ask(vu.RESET),
        lambda: client.write(0x04, 0, region=7),
        lambda: client.ask(vu.REGION_WRITE, function_reset),
        client.unmap_all,
        lambda: [client.post(d.STATUS, 0) for _ in range(50)],
    )
    for i in range(150):
        client.memory[:d.BUFFERS] = bytes(d.BUFFERS)
        client.seq = [0] * 16
        client.make_busy()
        resets[i % len(resets)]()
        client.write(d.STATUS, 0)
        client.wait_reset()


# --- Requests ---

# Operation, body, answer; keys change what else stands in the slot.
REQUESTS = {
    "unknown": (0x0, b"", {}, d.UNKNOWN),
    "unknown-and-large": (0xFFFFFFFF, b"", {}, d.UNKNOWN),
    "not-offered": (0x401, b"", {}, d.NOT_SUPPORTED),
    "body-too-short": (d.QUEUE_START, d.pack_start(d.RX)[:-1], {}, d.INVALID),
    "body-too-long": (d.INFO_GET, b"x", {}, d.INVALID),
    "body-beyond-the-slot": (d.INFO_GET, b"", {"length": 897}, d.INVALID),
    "body-of-4-GiB": (d.MAC_SET, bytes(8), {"length": 0xFFFFFFFF}, d.INVALID),
    "unknown-flags": (d.INFO_GET, b"", {"flags": 2}, d.INVALID),
    "reserved-bytes": (d.INFO_GET, b"", {"reserved": 1}, d.INVALID),
    "start-of-no-direction": (d.QUEUE_START, d.pack_start(2), {}, d.INVALID),
    "start-of-no-queue": (d.QUEUE_START, d.pack_start(d.RX, QUEUES), {}, d.INVALID),
    "start-of-the-last-queue": (d.QUEUE_START, d.pack_start(d.RX, 0xFFFF, 0), {}, d.INVALID),
    "start-again": (d.QUEUE_START, d.pack_start(d.RX), {}, d.STATE),
    "start-with-unknown-flags": (d.QUEUE_START, d.pack_start(d.RX, 1, flags=2), {}, d.INVALID),
    "scatter-not-agreed-on": (d.QUEUE_START, d.pack_start(d.RX, 1, flags=1), {}, d.INVALID),
    "start-with-reserved-bytes": (d.QUEUE_START, d.pack_start(d.RX, 1, reserved=1), {}, d.INVALID),
    "stop-of-no-queue": (d.QUEUE_STOP, d.pack_stop(d.TX, QUEUES), {}, d.INVALID),
    "stop-of-no-direction": (d.QUEUE_STOP, d.pack_stop(0xFFFF), {}, d.INVALID),
    "stop-of-what-is-stopped": (d.QUEUE_STOP, d.pack_stop(d.TX, 1), {}, d.STATE),
    "mac-of-a-group": (d.MAC_SET, b"\1" + bytes(7), {}, d.INVALID),
    "mac-zero": (d.MAC_SET, bytes(8), {}, d.INVALID),
    "mtu-too-small": (d.MTU_SET, struct.pack("<II", 67, 0), {}, d.INVALID),
    "mtu-too-large": (d.MTU_SET, struct.pack("<II", 9707, 0), {}, d.INVALID),
    "mtu-of-32-bits": (d.MTU_SET, struct.pack("<II", 0x10000 + 1500, 0), {}, d.INVALID),
    "statistics-of-no-queue": (d.STATS_GET, struct.pack("<II", QUEUES, 0), {}, d.INVALID),
    "statistics-of-the-last": (d.STATS_GET, struct.pack("<II", 0xFFFFFFFF, 0), {}, d.INVALID),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_request_that_makes_no_sense(scene, name):
    op, body, keys, answer = REQUESTS[name]
    client = scene.adopt(d.Driver(scene.path).make_running())
    assert client.request(d.QUEUE_START, d.pack_start(d.RX)) == d.OK
    for slot in (0, 15):
        assert client.request(op, body, slot, **keys) == answer
        assert client.get_done(slot)[1] == 0  # no body
        # The slot goes on.
        assert client.request(d.INFO_GET, b"", slot) == d.OK


def test_doorbell_of_no_request(scene):
    """Slots that aren't there, or hold nothing new: ignored, and counted."""
    client = scene.adopt(d.Driver(scene.path).make_running())
    ignored = scene.count("guest_doorbells_ignored")
    for slot in (16, 17, 0x7FFFFFFF, 0xFFFFFFFF):
        assert client.write(d.CONTROL_DOORBELL, slot) == 0
    for seq in (0, 2, 3, 0xFFFFFFFF):
        client.submit(d.INFO_GET, seq=seq)
        assert client.write(d.CONTROL_DOORBELL, 0) == 0
        assert client.get_done()[2] == 0
    assert scene.count("guest_doorbells_ignored") >= ignored + 8
    assert client.request(d.INFO_GET, seq=1) == d.OK


def test_requests_of_noise(scene):
    """Any bytes whatever in all slots; numbers that are next, so that they are looked at."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    source = random.Random(3)
    for i in range(300):
        for slot in range(16):
            op = source.choice((d.INFO_GET, d.QUEUE_START, d.QUEUE_STOP, d.MAC_SET, d.MTU_SET,
                                d.STATS_GET, source.getrandbits(32)))
            body = source.randbytes(source.choice((0, 8, 24, 896)))
            client.submit(op, body, slot, length=source.choice((len(body), 8, 24)))
            client.post(d.CONTROL_DOORBELL, slot)
        client.write(d.TX_DOORBELL, 0)
        for slot in range(16):
            client.seq[slot] = client.get_done(slot)[2]
    assert client.read(d.STATUS) == d.RUNNING


def test_requests_in_each_others_way(scene):
    """A start and a stop of the same queue in all slots at once, as fast as can be."""
    client = scene.adopt(d.Driver(scene.path).make_running())
    for i in range(200):
        for slot in range(16):
            if slot % 2 == i % 2:
                client.submit(d.QUEUE_START, d.pack_start(d.RX, slot % 3 % 2), slot)
            else:
                client.submit(d.QUEUE_STOP, d.pack_stop(d.RX, slot % 3 % 2), slot)
            client.post(d.CONTROL_DOORBELL, slot)
        client.write(d.TX_DOORBELL, 0)
        deadline = time.monotonic() + 5
        while any(client.get_done(slot)[2] != client.seq[slot] for slot in range(16)):
            assert time.monotonic() < deadline
        assert {client.get_done(slot)[0] for slot in range(16)} <= {d.OK, d.STATE}
