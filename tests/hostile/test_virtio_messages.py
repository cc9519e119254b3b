# SPDX-License-Identifier: BSD-3-Clause
"""
vhost-user's messages with what makes no sense, and in the way of each other.

A message that is refused is answered so if an answer was asked for, and the session goes on; else
there is no way to say it, and it ends.
"""

import os
import time

import pytest

import driver as d
import vhost_user as vh
import virtio_driver as vd
from dialect import Fds, Virtio
from scene import FULL

DIALECT = "virtio"
END = 1 << 64
ONE = ((vd.BASE, vd.BYTES, vd.USER, 0),)
UNKNOWN = (0, 6, 7, 19, 21, 24, 25, 31, 40, 99, 0x7FFFFFFF, 0xFFFFFFFF)


def drop(scene, client):
    scene.attackers.remove(client)
    client.close()


@pytest.mark.parametrize("state", ["fresh", "agreed", "busy"])
def test_sizes_that_dont_fit_the_request(scene, state):
    """A byte less, none: refused. More than it has is read; more than any message has isn't."""
    for name, message in Virtio.MESSAGES.items():
        body = message.data[Virtio.HEADER_BYTES:]
        for size in {0, max(0, len(body) - 1), len(body) + 1, 4096, 0xFFFFFFFF} - {len(body)}:
            client = scene.adopt(Virtio.make_state(scene.path, state))
            with Fds(message) as fds:
                client.send(vh.message(message.kind, (body + bytes(4096))[:min(size, 4096)],
                                       vh.VERSION | vh.NEED_REPLY, size), fds)
            if size == 0xFFFFFFFF:
                assert client.is_closed(2), name
            elif name not in Virtio.ANSWERED and state == "agreed" and size < len(body):
                answer = client.receive()
                assert answer is None or answer[1] != 0, (name, size)
            drop(scene, client)


@pytest.mark.parametrize("request_number", UNKNOWN)
def test_request_of_nothing(scene, request_number):
    """Refused; without a way to say so the session ends."""
    client = scene.adopt(vd.Driver(scene.path))
    assert client.ask_whether(request_number, bytes(8)) != 0
    drop(scene, client)
    client = scene.adopt(vd.Driver(scene.path))
    client.tell(request_number, bytes(8))
    assert client.is_closed(2)


# Request and body, of a front end whose rings aren't started.
SENSELESS = {
    "features-that-arent-offered": (vh.SET_FEATURES, vh.pack_number(END - 1)),
    "in-order": (vh.SET_FEATURES, vh.pack_number(vd.FEATURES | 1 << 35)),
    "dirty-logging": (vh.SET_FEATURES, vh.pack_number(vd.FEATURES | 1 << 26)),
    "protocol-that-isnt-offered": (vh.SET_PROTOCOL, vh.pack_number(END - 1)),
    "ring-that-isnt-there": (vh.SET_NUM, vh.pack_state(4, 256)),
    "last-ring": (vh.SET_NUM, vh.pack_state(0xFFFFFFFF, 256)),
    "no-slots": (vh.SET_NUM, vh.pack_state(0, 0)),
    "three-slots": (vh.SET_NUM, vh.pack_state(0, 3)),
    "slots-too-many": (vh.SET_NUM, vh.pack_state(0, 1 << 16)),
    "slots-of-all-bits": (vh.SET_NUM, vh.pack_state(0, 0xFFFFFFFF)),
    "base-of-no-ring": (vh.SET_BASE, vh.pack_state(4, 0)),
    "addresses-of-no-ring": (vh.SET_ADDR, vh.pack_addresses(4, 0, 0, 0)),
    "half-enabled": (vh.SET_ENABLE, vh.pack_state(0, 2)),
    "enabled-and-not-there": (vh.SET_ENABLE, vh.pack_state(77, 1)),
    "kick-of-no-ring": (vh.SET_KICK, vh.pack_number(4 | vh.NO_FD)),
    "kick-with-unknown-bits": (vh.SET_KICK, vh.pack_number(1 << 40 | vh.NO_FD)),
    "mtu-of-nothing": (vh.SET_MTU, vh.pack_number(0)),
    "mtu-of-all-bits": (vh.SET_MTU, vh.pack_number(END - 1)),
}


@pytest.mark.parametrize("name", SENSELESS)
def test_what_makes_no_sense(scene, name):
    client = scene.adopt(vd.Driver(scene.path))
    assert client.ask_whether(*SENSELESS[name]) not in (0, None)
    assert client.is_alive()
    client.tell(*SENSELESS[name])
    assert client.is_closed(2)


# Regions (guest, size, user, offset), how many the message claims, how many descriptors come.
TABLES = {
    "of-nothing": ((), 0, 0),
    "of-nine": (ONE * 8, 9, 8),
    "of-all-bits": (ONE, 0xFFFFFFFF, 1),
    "without-a-file": (ONE, 1, 0),
    "with-two-files": (ONE, 1, 2),
    "empty": (((vd.BASE, 0, vd.USER, 0),), 1, 1),
    "a-byte-off": (((vd.BASE + 1, 4096, vd.USER, 0),), 1, 1),
    "half-a-page": (((vd.BASE, 2048, vd.USER, 0),), 1, 1),
    "guest-wraps": (((END - 4096, 8192, vd.USER, 0),), 1, 1),
    "user-wraps": (((vd.BASE, 8192, END - 4096, 0),), 1, 1),
    "offset-wraps": (((vd.BASE, 8192, vd.USER, END - 4096),), 1, 1),
    "longer-than-its-file": (((vd.BASE, 2 * vd.BYTES, vd.USER, 0),), 1, 1),
    "behind-its-file": (((vd.BASE, 4096, vd.USER, vd.BYTES),), 1, 1),
    "upon-each-other": (ONE + ((vd.BASE + 4096, vd.BYTES, vd.USER + (1 << 30), 0),), 2, 2),
    "users-upon-each-other": (ONE + ((vd.BASE + (1 << 30), vd.BYTES, vd.USER, 0),), 2, 2),
    "of-a-terabyte": (((vd.BASE, 1 << 40, vd.USER, 0),), 1, 1),
}


@pytest.mark.parametrize("name", TABLES)
def test_table_of_memory(scene, name):
    """It is refused, or ends the session; nothing of it is used."""
    regions, claimed, n_fds = TABLES[name]
    client = scene.adopt(vd.Driver(scene.path))
    client.send(vh.message(vh.SET_MEM_TABLE, vh.pack_table(regions, claimed),
                           vh.VERSION | vh.NEED_REPLY), [client.file] * n_fds)
    answer = client.receive()
    assert answer is None or answer[1] != 0


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
def test_table_again_and_again_under_load(scene, packed):
    """Other memory at each other message: rings stop, go on, and are where they were."""
    client = scene.driver(packed=packed).make_busy()
    more = ONE + ((vd.BASE + (1 << 30), 4096, vd.USER + (1 << 30), 0),)
    other = ((vd.BASE, vd.BYTES, vd.USER, 0),)
    copy = d.make_file(vd.BYTES)
    for i in range(100):
        assert client.share(more if i % 2 else ONE) == 0
    for i in range(20):
        assert client.share(other, [copy if i % 2 == 0 else client.file]) == 0
    os.close(copy)
    assert client.is_alive()


def test_kicks_and_calls_by_the_thousand(scene):
    client = scene.driver().make_busy()
    for i in range(1000 if FULL else 200):
        for request in (vh.SET_KICK, vh.SET_CALL):
            assert client.tell_file(request, i % 4) == 0
            assert client.tell_file(request, i % 4, -1) == 0
    assert client.is_alive()


def test_rings_started_and_stopped_under_load(scene):
    client = scene.driver().make_busy()
    for i in range(100):
        index = i % 4
        client.stop_ring(index)
        client.stop_ring(index)  # there is nothing to stop
        ring = client.rings[index] = vd.Ring(client, index)
        ring.write(0, bytes(vd.RING_ROOM))
        client.start_ring(index)
        if index % 2 == 0:
            client.post_buffers(index)
    client.receive_frames(100)





def test_gigabyte_that_is_let_go_of(scene):
    """Its last descriptor is the host's; freeing it costs the client alone."""
    size = 1 << 30
    client = scene.adopt(vd.Driver(scene.path))
    for _ in range(2):
        fd = d.make_file(size)
        zeroes = bytes(1 << 24)
        for at in range(0, size, len(zeroes)):
            os.pwrite(fd, zeroes, at)
        assert client.share(((vd.BASE, size, vd.USER, 0),), [fd]) == 0
        os.close(fd)
        assert client.share() == 0
    assert client.is_alive()


@pytest.mark.parametrize("packed", [False, True], ids=["split", "packed"])
@pytest.mark.parametrize("what", ["memory", "stop"])
def test_request_while_a_burst_stands_still(scene, what, packed):
    """It is answered within a second, by force; and what the burst does then harms nobody."""
    client = scene.driver(packed=packed).make_busy()
    client.receive_frames(100)
    with scene.hold_bursts():
        begin = time.monotonic()
        if what == "memory":
            fd = d.make_file(vd.BYTES)
            assert client.share(ONE, [fd]) == 0
            os.close(fd)
        else:
            client.stop_ring(0)
        assert time.monotonic() - begin < 0.9
    assert client.is_alive()



def test_second_front_end_is_turned_away(scene):
    client = scene.driver().make_busy()
    for _ in range(20):
        other = scene.client(hello=False)
        other.tell(vh.GET_FEATURES)
        assert other.is_closed(2)
    client.receive_frames(100)
    assert client.is_alive()


# What a running ring is told all the same.
CHANGES = {
    "size": (vh.SET_NUM, vh.pack_state(1, 128)),
    "addresses": (vh.SET_ADDR, vh.pack_addresses(1, vd.USER, vd.USER + 0x1000, vd.USER + 0x2000)),
    "base": (vh.SET_BASE, vh.pack_state(1, 7)),
    "features": (vh.SET_FEATURES, vh.pack_number(vh.VERSION_1 | vh.PROTOCOL)),
    "other-kind-of-ring": (vh.SET_FEATURES, vh.pack_number(vd.FEATURES | vh.PACKED | vh.PROTOCOL)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_running_ring_is_told_something_else(scene, name):
    """Refused, or for its next start: the run goes on as it began."""
    client = scene.driver().make_busy()
    client.receive_frames(100)
    for _ in range(20):
        client.ask_whether(*CHANGES[name])
    if client.is_alive():
        client.receive_frames(100)
        client.send_frames(10)


def test_rings_before_there_is_memory(scene):
    """All but the table: they start when that comes."""
    client = scene.driver()
    client.set_ring(1)
    for request in (vh.SET_CALL, vh.SET_KICK):
        client.tell_file(request, 1)
    client.ask_whether(vh.SET_ENABLE, vh.pack_state(1, 1))
    assert client.is_alive()
    assert scene.count("from_guest_frames") == 0
    client.make_shared()
    client.start_ring(1)
    client.send_frames(5)


def test_eventfds_that_are_full(scene):
    """A write to them would wait for ever: whoever signals must not."""
    client = scene.driver(features=vd.FEATURES).make_busy()
    for index in range(4):
        for request in (vh.SET_CALL, vh.SET_ERR):
            fd = os.eventfd(0)
            os.eventfd_write(fd, END - 2)
            client.ask_whether(request, vh.pack_number(index), [fd])
            os.close(fd)
    client.receive_frames(1000)
    client.send_frames(100)
    assert client.is_alive()


def test_flood_of_messages_that_want_an_answer(scene):
    """Each gets its own, in order, while the rings run; none is read for a while."""
    client = scene.driver().make_busy()
    n = 100
    for i in range(n):
        client.send(vh.message(vh.SET_MTU, vh.pack_number(1500 if i % 2 else 0),
                               vh.VERSION | vh.NEED_REPLY))
    time.sleep(0.05)
    answers = [client.receive()[1] for _ in range(n)]
    assert [answer == 0 for answer in answers] == [i % 2 == 1 for i in range(n)]
    assert client.is_alive()
