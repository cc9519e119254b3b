# SPDX-License-Identifier: BSD-3-Clause
"""A virtio guest's rings, split and packed: where they are, what stands in them."""

import os
import random
import struct
import time

import pytest

import vhost_user as vh
import virtio_driver as vd
from driver import make_file
from testpmd import wait_until

DIALECT = "virtio"
END = 1 << 64
DATA = vd.BASE + vd.BUFFERS
LAST = vd.BASE + vd.BYTES
FRAME = vd.HEADER_BYTES + 60
FLAGS, CHAIN, LENGTH, ADDRESS, IDX, ID = (
    f"guest_fault_{reason}" for reason in ("flags", "chain", "length", "address", "index", "id"))
EXTENTS_MAX = 33  # and one for the net header


@pytest.fixture(params=["split", "packed"])
def packed(request):
    return request.param == "packed"


def start(scene, packed, index, **keys):
    client = scene.driver(packed=packed, **keys).make_shared()
    client.start_ring(index)
    return client


# Buffers of the Tx ring, and why its queue is stopped; None: it isn't.
FROM_GUEST = {
    "good": ([(DATA, FRAME, 0)], None),
    "header-apart": ([(DATA, 12, 0), (DATA, 60, 0)], None),
    "header-in-two": ([(DATA, 5, 0), (DATA, 67, 0)], LENGTH),  # nobody's; here it is one piece
    "of-the-most-pieces": ([(DATA, 12, 0)] + [(DATA, 20, 0)] * EXTENTS_MAX, None),
    "of-a-piece-more": ([(DATA, 12, 0)] + [(DATA, 20, 0)] * (EXTENTS_MAX + 1), CHAIN),
    "of-the-whole-ring": ([(DATA, 20, 0)] * (vd.SLOTS - 1), CHAIN),
    "empty": ([(DATA, 0, 0)], LENGTH),
    "shorter-than-a-header": ([(DATA, 11, 0)], LENGTH),
    "header-only": ([(DATA, 12, 0)], LENGTH),
    "shorter-than-a-frame": ([(DATA, 12 + 13, 0)], LENGTH),
    "with-an-empty-piece": ([(DATA, 12, 0), (DATA, 0, 0), (DATA, 60, 0)], LENGTH),
    "longest-piece": ([(DATA, 0xFFFFFFFF, 0)], LENGTH),
    "whose-sum-wraps": ([(DATA, 12, 0)] + [(DATA, 0x80000000, 0)] * 2, LENGTH),
    "to-be-written-to": ([(DATA, FRAME, vd.WRITE)], FLAGS),
    "partly-to-be-written-to": ([(DATA, 12, 0), (DATA, 60, vd.WRITE)], FLAGS),
    "last-bytes": ([(LAST - FRAME, FRAME, 0)], None),
    "a-byte-beyond": ([(LAST - FRAME + 1, FRAME, 0)], ADDRESS),
    "header-before": ([(vd.BASE - 6, FRAME, 0)], ADDRESS),
    "header-beyond": ([(LAST - 6, 12, 0), (DATA, 60, 0)], ADDRESS),
    "behind": ([(LAST, FRAME, 0)], ADDRESS),
    "at-zero": ([(0, FRAME, 0)], ADDRESS),
    "wraps": ([(END - 6, FRAME, 0)], ADDRESS),
    "ends-at-the-end": ([(END - FRAME, FRAME, 0)], ADDRESS),
    "second-piece-behind": ([(DATA, 12, 0), (LAST, 60, 0)], ADDRESS),
    "user-address": ([(vd.USER + vd.BUFFERS, FRAME, 0)], ADDRESS),
}
# The same of the Rx ring. Of a buffer only those bytes need to be there that a frame takes.
TO_GUEST = {
    "good": ([(DATA, 16384, vd.WRITE)], None),
    "to-be-read": ([(DATA, 16384, 0)], FLAGS),
    "partly-to-be-read": ([(DATA, 12, vd.WRITE), (DATA, 16384, 0)], FLAGS),
    "empty": ([(DATA, 0, vd.WRITE)], LENGTH),
    "shorter-than-a-header": ([(DATA, 11, vd.WRITE)], LENGTH),
    "header-only": ([(DATA, 12, vd.WRITE)], LENGTH),
    "longest": ([(DATA, 0xFFFFFFFF, vd.WRITE)], None),
    "header-before": ([(vd.BASE - 6, 16384, vd.WRITE)], ADDRESS),
    "behind": ([(LAST, 16384, vd.WRITE)], ADDRESS),
    "last-bytes": ([(LAST - 20, 16384, vd.WRITE)], ADDRESS),
    "at-zero": ([(0, 16384, vd.WRITE)], ADDRESS),
    "wraps": ([(END - 64, 16384, vd.WRITE)], ADDRESS),
    "of-too-many-pieces": ([(DATA, 12, vd.WRITE)] + [(DATA, 2000, vd.WRITE)] * 60, CHAIN),
    "over-its-own-ring": ([(vd.BASE, 16384, vd.WRITE)], None),
}


def check_answer(scene, client, ring, reason):
    if reason is None:
        wait_until(lambda: ring.count_used() > 0, "an answer")
        assert scene.count("guest_queue_faults") == 0
    else:
        scene.expect_fault(reason)
    assert client.is_alive()
    client.stop_ring(0 if ring is client.rings[0] else 1)


@pytest.mark.parametrize("name", FROM_GUEST)
def test_buffer_from_the_guest(scene, packed, name):
    buffer, reason = FROM_GUEST[name]
    client = start(scene, packed, 1)
    client.rings[1].hand_over(buffer)
    check_answer(scene, client, client.rings[1], reason)


@pytest.mark.parametrize("name", TO_GUEST)
def test_buffer_to_the_guest(scene, packed, name):
    buffer, reason = TO_GUEST[name]
    client = start(scene, packed, 0)
    client.rings[0].hand_over(buffer)
    if name == "over-its-own-ring":  # what stands there then is anything
        time.sleep(0.05)
        client.stop_ring(0)
    else:
        check_answer(scene, client, client.rings[0], reason)


# --- Tables ---

T = vd.BASE + vd.TABLES
# Entries of a table (address, length, flags, next), what the ring says of it (address, bytes,
# flags), and why the queue is stopped: split, packed.
TABLES = {
    "good": ([(DATA, 12, 1, 1), (DATA, 60, 0, 0)], (T, 32, 0), None, None),
    "of-one": ([(DATA, FRAME, 0, 0)], (T, 16, 0), None, None),
    "empty": ([], (T, 0, 0), LENGTH, LENGTH),
    "of-a-broken-entry": ([(DATA, FRAME, 0, 0)], (T, 24, 0), LENGTH, LENGTH),
    "of-a-gigabyte": ([(DATA, FRAME, 0, 0)], (T, 1 << 30, 0), LENGTH, LENGTH),
    "behind": ([], (LAST, 16, 0), ADDRESS, ADDRESS),
    "over-the-end": ([], (LAST - 16, 32, 0), ADDRESS, ADDRESS),
    "wraps": ([], (END - 16, 32, 0), ADDRESS, ADDRESS),
    # A packed ring's table has one flag that means something, and the others mean nothing: 2.7.7.
    "in-a-table": ([(T, 32, 4, 0), (DATA, FRAME, 0, 0)], (T, 32, 0), FLAGS, None),
    "that-goes-on-in-the-ring": ([(DATA, FRAME, 0, 0)], (T, 16, 1), FLAGS, FLAGS),
    "that-loops": ([(DATA, 12, 1, 1), (DATA, 60, 1, 0)], (T, 32, 0), CHAIN, None),
    "that-leads-out": ([(DATA, 12, 1, 7), (DATA, 60, 0, 0)], (T, 32, 0), ID, None),
    "of-buffers-outside": ([(DATA, 12, 1, 1), (LAST, 60, 0, 0)], (T, 32, 0), ADDRESS, ADDRESS),
}


@pytest.mark.parametrize("name", TABLES)
def test_table(scene, packed, name):
    entries, (address, size, flags), *reasons = TABLES[name]
    client = start(scene, packed, 1)
    for i, (at, length, bits, following) in enumerate(entries):
        order = (0, bits & ~1) if packed else (bits, following)
        struct.pack_into("<QIHH", client.memory, vd.TABLES + 16 * i, at, length, *order)
    client.rings[1].hand_over([(address, size, vd.INDIRECT | flags)])
    check_answer(scene, client, client.rings[1], reasons[packed])


# --- Chains in a split ring ---


def test_chain_that_loops(scene):
    client = start(scene, False, 1)
    ring = client.rings[1]
    for i in range(3):
        ring.put(i, DATA, 60, vd.NEXT, (i + 1) % 3)
    ring.offer(0)
    scene.expect_fault(CHAIN)


def test_chain_that_leads_out_of_the_ring(scene):
    client = start(scene, False, 1)
    client.rings[1].put(0, DATA, 12, vd.NEXT, vd.SLOTS)
    client.rings[1].offer(0)
    scene.expect_fault(ID)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("head", [vd.SLOTS, 0x8000, 0xFFFF])
def test_head_that_isnt_there(scene, head, index):
    client = start(scene, False, index)
    client.rings[index].offer(head)
    scene.expect_fault(ID)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("jump", [vd.SLOTS + 1, 1000, 0x8000, 0xFFFF])
def test_available_index_that_jumps(scene, jump, index):
    client = start(scene, False, index)
    client.rings[index].write(vd.AVAIL_AT + 2, struct.pack("<H", jump))
    scene.expect_fault(IDX)


def test_heads_that_are_doubled(scene):
    """One descriptor, offered again and again before it is answered: the guest's own loss."""
    client = scene.driver().make_busy()
    for _ in range(50):
        for index in range(4):
            for _ in range(vd.SLOTS // 8):
                client.rings[index].offer(3)
        time.sleep(0.005)
        for index in (0, 2):
            client.rings[index].count_used()
    assert client.is_alive()


# --- A packed ring ---


def test_packed_chain_that_never_ends(scene):
    client = start(scene, True, 1)
    ring = client.rings[1]
    for i in reversed(range(vd.SLOTS)):
        ring.put(i, DATA, 60, vd.NEXT | vd.PACKED_AVAIL, i)
    scene.expect_fault(CHAIN)


def test_packed_chain_that_isnt_handed_over(scene):
    client = start(scene, True, 1)
    client.rings[1].put(1, DATA, 60, 0, 1)
    client.rings[1].put(0, DATA, 12, vd.NEXT | vd.PACKED_AVAIL, 0)
    time.sleep(0.05)
    assert client.is_alive()
    client.stop_ring(1)


def test_packed_ids_of_any_number(scene):
    """They are the driver's own, and come back as they went, doubled too."""
    client = start(scene, True, 1)
    ring = client.rings[1]
    numbers = [0xFFFF, 0x8000, vd.SLOTS, 0, 0, 7]
    for number in numbers:
        ring.hand_over([(DATA, FRAME, 0)], number)
    wait_until(lambda: ring.count_used() > 0 and ring.n_used == len(numbers)
               or ring.n_used == len(numbers), "answers")
    assert [ring.read("<H", 16 * i + 12)[0] for i in range(len(numbers))] == numbers


def test_packed_laps_turned_under_load(scene):
    client = scene.driver(packed=True).make_busy()
    source = random.Random(3)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        for index in range(4):
            at = 16 * source.randrange(vd.SLOTS) + 14
            flags, = client.rings[index].read("<H", at)
            client.rings[index].write(at, struct.pack(
                "<H", flags ^ source.choice((0x80, 0x8000, 0x8080))))
    assert client.is_alive()


# --- Any ring ---


@pytest.mark.parametrize("header", [
    (1, 0, 0, 0, 14, 2), (0, 1, 54, 1460, 0, 0), (0, 0x81, 54, 1, 0, 0), (0xFF,) * 6,
    (1, 0, 0, 0, 0xFFFF, 0xFFFF),
])
def test_net_header_that_asks_for_what_isnt_offered(scene, packed, header):
    client = start(scene, packed, 1)
    struct.pack_into("<BBHHHH", client.memory, vd.BUFFERS, *header)
    client.rings[1].hand_over([(DATA, FRAME, 0)])
    scene.expect_fault(FLAGS)


def test_crumbs(scene, packed):
    """
    Buffers of a byte each, and the room of a net header: no large frame fits into as many as one may
    take, and is dropped. Small ones use them up.
    """
    client = start(scene, packed, 0)
    for i in range(vd.SLOTS - 1):
        client.rings[0].hand_over([(DATA + i * 64, 13, vd.WRITE)])
    wait_until(lambda: scene.count("to_guest_drop_too_long") > 100, "dropped frames")
    assert scene.count("guest_queue_faults") == 0
    client.stop_ring(0)




def test_answers_overwritten_by_the_guest(scene, packed):
    """What a guest writes over the host's answers moves nothing in the host."""
    client = scene.driver(packed=packed).make_busy()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        for index in range(4):
            if packed:
                client.rings[index].write(0, bytes(16 * vd.SLOTS))
            else:
                client.rings[index].write(vd.USED_AT, b"\xFF" * (6 + 8 * vd.SLOTS))
    assert client.is_alive()



# Where ring 1 is said to be, from the region's first user address, in which it is at RING_ROOM.
PLACES = {
    "good": (vd.RING_ROOM, True),
    "a-byte-off": (vd.RING_ROOM + 1, False),
    "half-off": (vd.RING_ROOM + 8, False),
    "before": (-16, False),
    "first-that-doesnt-fit": (vd.BYTES - vd.USED_AT, False),
    "behind": (vd.BYTES, False),
    "wraps": (END - vd.USER - 16, False),
    "at-zero": (-vd.USER, False),
}


@pytest.mark.parametrize("name", PLACES)
def test_place_of_a_ring(scene, packed, name):
    """One that isn't wholly in memory, or not aligned, doesn't start; the session goes on."""
    offset, starts = PLACES[name]
    client = scene.driver(packed=packed).make_shared()
    client.set_ring(1, start=(vd.USER + offset) % END)
    client.tell_file(vh.SET_CALL, 1)
    client.tell_file(vh.SET_KICK, 1)
    client.ask_whether(vh.SET_ENABLE, vh.pack_state(1, 1))
    if starts:
        client.send_frames(5)
    else:
        client.rings[1].hand_over([(DATA, FRAME, 0)])
        time.sleep(0.02)
        assert scene.count("from_guest_frames") == 0
    assert client.is_alive()
    client.stop_ring(1)


@pytest.mark.parametrize("base", [1, 0x7FFF, 0xFFFF, 0x80018000, 0xFFFFFFFF, 0x7FFF8000])
def test_base_of_a_ring(scene, packed, base):
    """Another than the guest goes by: it gets what it asked for, or is refused."""
    client = scene.driver(packed=packed).make_shared()
    answers = client.set_ring(1, base=base)
    if 0 in answers:
        client.tell_file(vh.SET_KICK, 1)
    if client.is_alive():
        client.tell_file(vh.SET_CALL, 1)
        client.ask_whether(vh.SET_ENABLE, vh.pack_state(1, 1))
        client.rings[1].hand_over([(DATA, FRAME, 0)])
        time.sleep(0.02)
        client.stop_ring(1)


# Places of one part alone: the others are where they should be.
PARTS = {
    "descriptors-behind": (vd.BYTES, vd.AVAIL_AT, vd.USED_AT),
    "available-behind": (0, vd.BYTES, vd.USED_AT),
    "used-behind": (0, vd.AVAIL_AT, vd.BYTES),
    "used-over-the-end": (0, vd.AVAIL_AT, vd.BYTES - vd.RING_ROOM - 4),
    "descriptors-a-byte-off": (1, vd.AVAIL_AT, vd.USED_AT),
    "available-a-byte-off": (0, vd.AVAIL_AT + 1, vd.USED_AT),
    "used-two-bytes-off": (0, vd.AVAIL_AT, vd.USED_AT + 2),
}


@pytest.mark.parametrize("name", PARTS)
def test_place_of_a_part_of_a_ring(scene, packed, name):
    """It doesn't start, or reads what isn't a ring: nothing comes of it."""
    client = scene.driver(packed=packed).make_shared()
    client.set_ring(1)
    start = vd.USER + client.rings[1].start
    client.ask_whether(vh.SET_ADDR, vh.pack_addresses(1, *(start + at for at in PARTS[name])))
    client.tell_file(vh.SET_CALL, 1)
    client.tell_file(vh.SET_KICK, 1)
    client.ask_whether(vh.SET_ENABLE, vh.pack_state(1, 1))
    client.rings[1].hand_over([(DATA, FRAME, 0)])
    time.sleep(0.02)
    # A packed ring has four bytes there, of its events.
    if not (packed and name in ("used-two-bytes-off", "used-over-the-end")):
        assert scene.count("from_guest_frames") == 0
    assert client.is_alive()


@pytest.mark.parametrize("slots", [1, 2, 32768])
def test_ring_of_an_unusual_size(scene, packed, slots):
    """The smallest go round for each buffer or two; the largest fills nearly all that there is."""
    client = scene.driver(packed=packed)
    ring = client.rings[1]
    if slots > vd.SLOTS:
        ring.start, ring.avail_at, ring.used_at = 0, 0x80000, 0xA0000
    ring.slots = slots
    client.make_shared()
    client.start_ring(1)
    at = DATA if slots <= vd.SLOTS else vd.BASE + vd.BYTES - FRAME
    for i in range(20):
        ring.hand_over([(at, FRAME, 0)])
        wait_until(ring.count_used, f"answer {i}")
    client.stop_ring(1)


def test_event_words_of_noise(scene, packed):
    """Where the guest says when it wants to be signalled stands anything: it is, or it isn't."""
    source = random.Random(4)
    client = scene.driver(packed=packed, features=vd.FEATURES | vh.EVENT_IDX).make_busy()
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        for ring in client.rings:
            if packed:
                ring.write(vd.AVAIL_AT, source.randbytes(4))
                ring.write(vd.USED_AT, source.randbytes(4))
            else:
                ring.write(vd.AVAIL_AT, source.randbytes(2))  # flags
                ring.write(vd.AVAIL_AT + 4 + 2 * vd.SLOTS, source.randbytes(2))
                ring.write(vd.USED_AT, source.randbytes(2))
                ring.write(vd.USED_AT + 4 + 8 * vd.SLOTS, source.randbytes(2))
        client.receive_frames(10)
    client.send_frames(10)
    assert client.is_alive()


# Without MRG_RXBUF and VERSION_1 the header has two bytes less.
LEGACY = {
    "good": ([(DATA, 10 + 60, 0)], None),
    "header-apart": ([(DATA, 10, 0), (DATA, 60, 0)], None),
    "header-only": ([(DATA, 10, 0)], LENGTH),
    "shorter-than-a-header": ([(DATA, 9, 0)], LENGTH),
    "shorter-than-a-frame": ([(DATA, 10 + 13, 0)], LENGTH),
    "header-before": ([(vd.BASE - 6, 70, 0)], ADDRESS),
}


@pytest.mark.parametrize("name", LEGACY)
def test_legacy_buffer_from_the_guest(scene, name):
    buffer, reason = LEGACY[name]
    client = start(scene, False, 1, features=vh.INDIRECT)
    client.rings[1].hand_over(buffer)
    check_answer(scene, client, client.rings[1], reason)


@pytest.mark.parametrize("features", [0, vh.VERSION_1], ids=["legacy", "modern"])
def test_buffers_of_one_frame_each(scene, features):
    """Not mergeable: what doesn't fit into one is dropped, the next one gets the next frame."""
    client = start(scene, False, 0, features=features)
    client.post_buffers()
    client.receive_frames(200)
    assert scene.count("to_guest_drop_too_long") > 0
    assert scene.count("guest_queue_faults") == 0
    client.stop_ring(0)


def test_frames_longer_than_any(scene, packed):
    """Over the port's limit they are dropped; over what an IP packet can be they are a fault."""
    client = start(scene, packed, 1)
    ring = client.rings[1]
    for n_bytes in (9729, 30000, 65553):
        pieces, rest = divmod(n_bytes, 30000)
        ring.hand_over([(DATA, 12, 0)] + [(DATA, 30000, 0)] * pieces
                       + ([(DATA, rest, 0)] if rest else []))
    wait_until(lambda: scene.count("from_guest_drop_too_long") == 3, "dropped frames")
    assert scene.count("guest_queue_faults") == 0
    ring.hand_over([(DATA, 12, 0), (DATA, 30000, 0), (DATA, 30000, 0), (DATA, 5554, 0)])
    scene.expect_fault(LENGTH)


@pytest.mark.parametrize("gap", [0, 4096])
def test_buffer_over_two_regions(scene, packed, gap):
    """Side by side they are one to the guest, whatever files they are of; else none goes across."""
    client = scene.driver(packed=packed)
    half = vd.BYTES // 2
    other = make_file(half)
    second = vd.BASE + half + gap
    assert client.share(((vd.BASE, half, vd.USER, 0), (second, half, vd.USER + half, 0)),
                        [client.file, other]) == 0
    os.close(other)
    client.start_ring(1)
    ring = client.rings[1]
    ring.hand_over([(vd.BASE + half - 12, 12, 0), (second, 60, 0)])
    wait_until(lambda: scene.count("from_guest_frames") == 1, "a frame of two regions")
    ring.hand_over([(vd.BASE + half - 12, FRAME, 0)])
    check_answer(scene, client, ring, ADDRESS if gap else None)


def test_offloads_of_noise(scene, packed):
    """Headers of any bytes, for which nearly all was negotiated, changed while they are read."""
    offloads = sum(1 << n for n in (0, 1, 7, 8, 11, 12))
    source = random.Random(5)
    for _ in range(10):
        client = start(scene, packed, 1, features=vd.FEATURES | offloads)
        for _ in range(200):
            struct.pack_into("<BBHHHH", client.memory, vd.BUFFERS, 1,
                             source.choice((0, 0, 0, 1, 4, 3)), *(
                                 source.choice((0, 14, 34, 54, 60, 1448, 0xFFFF)) for _ in range(4)))
            client.rings[1].hand_over([(DATA, source.choice((72, 1500, 2048)), 0)])
        assert client.is_alive()
        client.close()
