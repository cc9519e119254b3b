# SPDX-License-Identifier: BSD-3-Clause
"""
Rings: what stands in them; where they are, of a vDPDK guest's. Of a virtio guest's:
test_virtio_rings.py.
"""

import random
import time

import pytest

import driver as d
from dialect import only
from testpmd import wait_until

SEGMENTS_MAX = 32
RING_BYTES = 128 + 16 * d.SLOTS
END = 1 << 64
WINDOW = 1 << 36
READ_ONLY, WRITE_ONLY, FIRST, SECOND = (n << 40 for n in (1, 2, 3, 4))


# Address of a ring of 256 slots, and the answer to its start.
ADDRESSES = {
    "good": (d.BASE + d.RINGS, d.OK),
    "a-byte-off": (d.BASE + d.RINGS + 1, d.INVALID),
    "half-a-line-off": (d.BASE + d.RINGS + 64, d.INVALID),
    "at-zero": (0, d.ADDRESS),
    "before-the-map": (d.BASE - 128, d.ADDRESS),
    "first-line": (d.BASE, d.OK),  # upon the control area, which is the guest's own loss
    "last-that-fits": (d.BASE + d.BYTES - RING_BYTES, d.OK),
    "a-line-beyond": (d.BASE + d.BYTES - RING_BYTES + 128, d.ADDRESS),
    "last-line": (d.BASE + d.BYTES - 128, d.ADDRESS),
    "behind-the-map": (d.BASE + d.BYTES, d.ADDRESS),
    "wraps": (END - 128, d.ADDRESS),
    "ends-at-the-end": (END - RING_BYTES, d.ADDRESS),
    "half-way": (1 << 63, d.ADDRESS),
    "read-only": (READ_ONLY, d.ADDRESS),
    "write-only": (WRITE_ONLY, d.ADDRESS),
    "over-two-maps": (FIRST + d.PAGE - 128, d.OK),
    "over-another-protection": (SECOND + d.PAGE - 128, d.ADDRESS),
    "over-a-window": (WINDOW - 128, d.ADDRESS),
    "behind-a-window": (WINDOW, d.OK),
}


def map_odd_places(client):
    """Where rings may be or may not, as their names say."""
    for address, size, offset, flags in (
            (READ_ONLY, d.BYTES, 0, 1), (WRITE_ONLY, d.BYTES, 0, 2),
            (FIRST, d.PAGE, 0, 3), (FIRST + d.PAGE, 2 * d.PAGE, 0x80000, 3),
            (SECOND, d.PAGE, 0, 3), (SECOND + d.PAGE, 2 * d.PAGE, 0x80000, 1),
            (WINDOW - d.PAGE, 4 * d.PAGE, 0x80000, 3)):
        assert client.map(address, size, offset, flags) == 0


@only("vdpdk")
@pytest.mark.parametrize("direction", [d.RX, d.TX])
def test_ring_address(scene, direction):
    client = scene.adopt(d.Driver(scene.path).make_running())
    map_odd_places(client)
    answers = {}
    for name, (address, _) in ADDRESSES.items():
        answers[name] = client.request(d.QUEUE_START, d.pack_start(direction, 0, address), slot=15)
        if answers[name] == d.OK:
            time.sleep(0.005)  # for bursts to look at it
            assert client.request(d.QUEUE_STOP, d.pack_stop(direction), slot=15) == d.OK
    assert answers == {name: answer for name, (_, answer) in ADDRESSES.items()}


@only("vdpdk")
@pytest.mark.parametrize("direction", [d.RX, d.TX])
def test_ring_size(scene, direction):
    client = scene.adopt(d.Driver(scene.path).make_running())
    good = (64, 128, 4096)
    for slots in (0, 1, 2, 32, 63, 65, 100, 255, 4095, 4097, 8192, 1 << 31, 0xFFFFFFFF, *good):
        start = d.pack_start(direction, 0, d.BASE + d.BUFFERS, slots)
        assert client.request(d.QUEUE_START, start) == (d.OK if slots in good else d.INVALID)
        if slots in good:
            assert client.request(d.QUEUE_STOP, d.pack_stop(direction)) == d.OK
    # One of 4096 slots needs 65664 bytes.
    start = d.pack_start(direction, 0, d.BASE + d.BYTES - 65536, 4096)
    assert client.request(d.QUEUE_START, start) == d.ADDRESS


def test_rings_upon_each_other(scene):
    """All four at one place, which is a buffer of each of them as well."""
    for form in scene.dialect.FORMS:
        client = scene.adopt(scene.dialect.start_upon_each_other(scene.path, **form))
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            scene.dialect.post_over_rings(client)
        assert scene.dialect.is_alive(client)
        client.close()


def test_ring_of_noise(scene):
    """Any bytes whatever in all rings, while bursts read them; and the queues start anew."""
    for form in scene.dialect.FORMS:
        client = scene.busy_client(**form)
        source = random.Random(1)
        for _ in range(20):
            for _ in range(5):
                scene.dialect.make_noise(client, source)
            scene.dialect.restart_rings(client)
            scene.host.pump(0)  # it tells of each change of the link
        client.close()


def test_ring_of_likely_noise(scene):
    """Descriptors that are nearly right, changed in between: the copy is what is judged."""
    for form in scene.dialect.FORMS:
        client = scene.busy_client(**form)
        source = random.Random(2)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            scene.dialect.make_likely_noise(client, source)
            scene.host.pump(0)
        assert scene.dialect.is_alive(client)
        client.close()


# --- Chains ---


def send_chain(client, first, lengths, last_flags=d.AVAIL, addresses=None):
    """Hand a frame over: its first slot last. All its segments are at one place without others."""
    n = len(lengths)
    for i in reversed(range(n)):
        client.put(d.TX, first + i, addresses[i] if addresses else d.BASE + d.BUFFERS, lengths[i],
                   last_flags if i == n - 1 else d.AVAIL | d.NEXT)


def wait_taken(client, first, n):
    """Until the device has answered n slots, each as taken and with its own id."""
    wait_until(lambda: not any(client.get(d.TX, first + i)[3] & d.AVAIL for i in range(n)),
               "completions", 5)
    assert [client.get(d.TX, first + i)[1:] for i in range(n)] == [
        (0, first + i, 0) for i in range(n)]


# Lengths of the segments, flags of the last one, fault; 0: the frame is good.
CHAINS = {
    "of-the-most-segments": ([20] * SEGMENTS_MAX, d.AVAIL, 0),
    "of-one-segment-more": ([20] * (SEGMENTS_MAX + 1), d.AVAIL, d.FAULT_CHAIN),
    "of-the-whole-ring": ([20] * d.SLOTS, d.AVAIL, d.FAULT_CHAIN),
    "without-an-end": ([20] * d.SLOTS, d.AVAIL | d.NEXT, d.FAULT_CHAIN),
    "that-ends-in-nothing": ([20] * 3, d.AVAIL | d.NEXT, d.FAULT_CHAIN),
    "with-an-empty-end": ([60, 0], d.AVAIL, d.FAULT_LENGTH),
    "too-short": ([6, 7], d.AVAIL, d.FAULT_LENGTH),
    "of-the-least-bytes": ([7, 7], d.AVAIL, 0),
    "of-the-most-bytes": ([9000, 728], d.AVAIL, 0),
    "of-one-byte-more": ([9000, 729], d.AVAIL, d.FAULT_LENGTH),
    "whose-sum-wraps-16-bits": ([65535, 60], d.AVAIL, d.FAULT_LENGTH),
    "of-two-million-bytes": ([65535] * SEGMENTS_MAX, d.AVAIL, d.FAULT_LENGTH),
    "with-reserved-flags-behind": ([60, 60], d.AVAIL | 0x8000, d.FAULT_FLAGS),
    "not-handed-over-behind": ([60, 60], 0, d.FAULT_CHAIN),
}


@only("vdpdk")
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("name", CHAINS)
def test_chain(scene, name, wrapped):
    """At the ring's beginning, and over its end."""
    lengths, last_flags, fault = CHAINS[name]
    client = scene.adopt(d.Driver(scene.path).make_busy())
    first = d.SLOTS - 1 if wrapped else 0
    for i in reversed(range(first)):
        client.put(d.TX, i, d.BASE + d.BUFFERS, 60)
    wait_taken(client, 0, first)
    send_chain(client, first, lengths, last_flags)
    if fault == 0:
        wait_taken(client, first, len(lengths))
    else:
        client.expect_fault(d.TX, fault)
        assert client.get_state(d.RX) == (1, 0)  # the other queue runs


@only("vdpdk")
def test_chain_with_one_bad_address(scene):
    """Nothing of the frame reaches the host's program, wherever the bad one is."""
    for bad in (0, 1, SEGMENTS_MAX - 1):
        client = scene.adopt(d.Driver(scene.path).make_busy())
        addresses = [d.BASE + d.BUFFERS] * SEGMENTS_MAX
        addresses[bad] = d.BASE + d.BYTES - 10
        send_chain(client, 0, [60] * SEGMENTS_MAX, addresses=addresses)
        client.expect_fault(d.TX, d.FAULT_ADDRESS)
        assert client.get(d.TX, 0)[3] & d.AVAIL  # not taken
        client.close()


# --- Descriptors ---


@only("vdpdk")
def test_id_out_of_range(scene):
    """Ids are the driver's own: whatever they are, doubled too, they come back as they went."""
    client = scene.adopt(d.Driver(scene.path).make_running())
    assert client.request(d.QUEUE_START, d.pack_start(d.RX)) == d.OK
    assert client.request(d.QUEUE_START, d.pack_start(d.TX)) == d.OK
    numbers = [0xFFFF, 0x8000, d.SLOTS, d.SLOTS, 0, 0, 0xFFFF, 1]
    for direction in (d.RX, d.TX):
        for i in reversed(range(len(numbers))):
            client.put(direction, i, d.BASE + d.BUFFERS + i * 16384, 16384 if direction == d.RX
                       else 60, number=numbers[i])
        wait_until(lambda: not client.get(direction, len(numbers) - 1)[3] & d.AVAIL, "answers", 5)
        answered = [client.get(direction, i)[2] for i in range(len(numbers))]
        if scene.mapped and direction == d.RX:
            answered, numbers = sorted(answered), sorted(numbers)  # some are out at the NIC
        assert answered == numbers
        assert client.get_state(direction) == (1, 0)


# Address and length of a buffer, and the fault of an Rx and of a Tx ring; 0: none. Of an Rx buffer
# only those bytes need to be there that a frame takes.
EDGES = {
    "last-bytes": (d.BASE + d.BYTES - 1500, 1500, 0, 0),
    "a-byte-beyond": (d.BASE + d.BYTES - 1499, 1500, 0, d.FAULT_ADDRESS),
    "last-byte": (d.BASE + d.BYTES - 1, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "first-bytes": (d.BASE, 1500, 0, 0),
    "a-byte-before": (d.BASE - 1, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "before": (d.BASE - 1500, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "behind": (d.BASE + d.BYTES, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "at-zero": (0, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "wraps": (END - 1, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "ends-at-the-end": (END - 1500, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "longest": (d.BASE + d.BUFFERS, 65535, 0, d.FAULT_LENGTH),
    "longest-and-wraps": (END - 1024, 65535, d.FAULT_ADDRESS, d.FAULT_LENGTH),
    "negative": (1 << 63, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "high-bits": (d.BASE + d.BUFFERS + (1 << 48), 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "in-a-hole": (d.SPARE - 50, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
    "over-a-small-maps-end": (d.SPARE + d.PAGE - 50, 1500, d.FAULT_ADDRESS, d.FAULT_ADDRESS),
}


@only("vdpdk")
@pytest.mark.parametrize("direction", [d.RX, d.TX])
@pytest.mark.parametrize("name", EDGES)
def test_buffer_at_the_edge(scene, name, direction):
    address, length, *faults = EDGES[name]
    client = scene.adopt(d.Driver(scene.path).make_running())
    assert client.request(d.QUEUE_START, d.pack_start(direction, 1)) == d.OK
    client.put(direction, 0, address, length, index=1)
    if faults[direction] == 0:
        wait_until(lambda: not client.get(direction, 0, 1)[3] & d.AVAIL, "an answer", 5)
        assert client.get_state(direction, 1) == (1, 0)
    else:
        client.expect_fault(direction, faults[direction], 1)


@only("vdpdk")
def test_buffers_upon_ring_and_area(scene):
    """Frames are written where the guest said, over its own rings and answers if it said so."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        for slot in range(0, d.SLOTS, 3):
            client.put(d.RX, slot, d.BASE + 4 * 1024 * slot % d.BUFFERS, 65535)
        if client.get_state(d.RX)[0] == d.ERROR:
            break
    client.write(d.STATUS, 0)
    client.wait_reset()
    assert client.read(d.STATUS) == 0


@only("vdpdk")
def test_avail_bits_flipped_under_load(scene):
    guest = scene.light_guest()
    for _ in range(5):
        guest.ask("flip")
        time.sleep(0.4)
        guest.ask("unflip")
        guest.ask("pause")
        guest.ask("reset")
        guest.ask("start")
        guest.ask("reflect")


@only("vdpdk")
@pytest.mark.parametrize("command,reason", [
    ("submit 0x100000000 60 1", 0),  # good, for comparison
    ("submit 0x100000000 0 1", 3),
    ("submit 0x100000000 13 1", 3),
    ("submit 0x100000000 9729 1", 3),
    ("submit 0x100000000 60 0x8001", 1),
    ("submit 0x100000000 60 5", 1),
    ("submit 0x100000000 60 3", 2),  # NEXT, and nothing follows
    ("submit 0x1000 60 1", 4),
    ("submit 0xffffffffffffffff 60 1", 4),
    ("submit 0xffffffffffffffc5 60 1", 4),
    ("submit 0x0fffffffe 60 1", 4),  # begins before the first map
])
def test_bad_tx_descriptor(scene, command, reason):
    guest = scene.light_guest(reflect=False)
    guest.ask(command)
    if reason == 0:
        wait_until(lambda: scene.count("from_guest_frames") > 0, "the good frame")
        assert guest.ask("state")[2] == "1/0"
        return
    wait_until(lambda: guest.ask("state")[2] == f"2/{reason}", f"reason {reason}")
    assert guest.ask("state")[0] == "0x3"  # the device runs on
    guest.ask("reset")
    guest.ask("start")
    assert guest.ask("state")[2] == "1/0"


@only("vdpdk")
@pytest.mark.parametrize("command,reason", [
    ("post 0x100000000 0 1", 3),
    ("post 0x100000000 2048 3", 1),
    ("post 0x100000000 2048 0x1001", 1),
    ("post 0xdead0000 2048 1", 4),
    ("post 0xfffffffffffff800 65535 1", 4),
])
def test_bad_rx_descriptor(scene, command, reason):
    guest = scene.light_guest(reflect=False)
    # The good buffers posted before go first; then it is this one's turn.
    guest.ask("reflect")
    wait_until(lambda: int(guest.ask("count")[0]) > 100, "traffic")
    guest.ask("pause")
    guest.ask(command)
    wait_until(lambda: guest.ask("state")[1] == f"2/{reason}", f"reason {reason}")
