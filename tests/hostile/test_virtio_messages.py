# SPDX-License-Identifier: BSD-3-Clause
"""
vhost-user's messages: whole, in pieces, cut off, with descriptors, and with what makes no sense.

A message that is refused is answered so if an answer was asked for, and the session goes on; else
there is no way to say it, and it ends.
"""

import os
import time

import pytest

import driver as d
import vhost_user as vh
import virtio_driver as vd
from scene import FULL

FDS_MAX = 16
END = 1 << 64
ONE = ((vd.BASE, vd.BYTES, vd.USER, 0),)

# Request, body, descriptors that it should have.
MESSAGES = {
    "get-features": (vh.GET_FEATURES, b"", 0),
    "set-features": (vh.SET_FEATURES, vh.pack_number(vd.FEATURES | vh.PROTOCOL), 0),
    "set-owner": (vh.SET_OWNER, b"", 0),
    "reset-owner": (vh.RESET_OWNER, b"", 0),
    "memory": (vh.SET_MEM_TABLE, vh.pack_table(ONE), 1),
    "size": (vh.SET_NUM, vh.pack_state(1, vd.SLOTS), 0),
    "addresses": (vh.SET_ADDR, vh.pack_addresses(1, vd.USER, vd.USER + 0x1000,
                                                 vd.USER + 0x2000), 0),
    "set-base": (vh.SET_BASE, vh.pack_state(1, 0), 0),
    "get-base": (vh.GET_BASE, vh.pack_state(1, 0), 0),
    "kick": (vh.SET_KICK, vh.pack_number(1), 1),
    "call": (vh.SET_CALL, vh.pack_number(1), 1),
    "error": (vh.SET_ERR, vh.pack_number(1), 1),
    "get-protocol": (vh.GET_PROTOCOL, b"", 0),
    "set-protocol": (vh.SET_PROTOCOL,
                     vh.pack_number(vh.MQ | vh.REPLY_ACK | vh.NET_MTU), 0),
    "queues": (vh.GET_QUEUE_NUM, b"", 0),
    "enable": (vh.SET_ENABLE, vh.pack_state(1, 1), 0),
    "mtu": (vh.SET_MTU, vh.pack_number(1500), 0),
}
ANSWERED = ("get-features", "get-base", "get-protocol", "queues")
UNKNOWN = (0, 6, 7, 19, 21, 24, 25, 31, 40, 99, 0x7FFFFFFF, 0xFFFFFFFF)

STATES = {
    "fresh": lambda path: vd.Driver(path, hello=False),
    "agreed": vd.Driver,
    "busy": lambda path: vd.Driver(path).make_busy(),
}


def make_fds(name, n):
    return [d.make_file(vd.BYTES) if name == "memory" else os.eventfd(0) for _ in range(n)]


class Fds:
    """Descriptors of the kind that a message has."""

    def __init__(self, name, n):
        self.fds = make_fds(name, n)

    def __enter__(self):
        return self.fds

    def __exit__(self, *_):
        for fd in self.fds:
            os.close(fd)


def drop(scene, client):
    scene.attackers.remove(client)
    client.close()


def send_beginnings(scene, state):
    """Of each message, to clients of their own: (its name, the client, the rest)"""
    for k, (name, (request, body, n_fds)) in enumerate(MESSAGES.items()):
        whole = vh.message(request, body)
        for cut in range(1 + k % 7, len(whole), 1 if FULL else 7):
            client = scene.adopt(STATES[state](scene.path))
            with Fds(name, n_fds) as fds:
                client.send(whole[:cut], fds)
            yield name, client, whole[cut:]
            drop(scene, client)


@pytest.mark.parametrize("state", STATES)
def test_message_of_virtio_in_pieces(scene, state):
    """Two sends with a pause between them are one message."""
    for name, client, rest in send_beginnings(scene, state):
        client.wait_read()
        client.send(rest)
        if name in ANSWERED and state != "fresh":
            assert client.receive()[0] == MESSAGES[name][0]
        assert client.is_alive() or state != "agreed", name


@pytest.mark.parametrize("state", STATES)
def test_message_of_virtio_cut_off(scene, state):
    """A client that ends in the middle of a message, wherever, is gone and nothing else."""
    for name, client, _ in send_beginnings(scene, state):
        client.end()
        assert client.is_closed(2), name


@pytest.mark.parametrize("state", STATES)
def test_message_of_virtio_with_descriptors(scene, state):
    """None to one more than any message may have. What is served has as many as it should."""
    for name, (request, body, n_fds) in MESSAGES.items():
        for n in range(FDS_MAX + 2) if FULL else (0, 1, 2, FDS_MAX, FDS_MAX + 1):
            client = scene.adopt(STATES[state](scene.path))
            with Fds(name, n) as fds:
                client.send(vh.message(request, body, vh.VERSION | vh.NEED_REPLY), fds)
            answer = client.receive() if state == "agreed" or name in ANSWERED else None
            if n > FDS_MAX:
                assert client.is_closed(2), name
            elif n_fds and n != n_fds and answer is not None:
                assert answer[1] != 0, (name, n)
            drop(scene, client)


@pytest.mark.parametrize("state", STATES)
def test_sizes_that_dont_fit_the_request(scene, state):
    """A byte less, none: refused. More than it has is read; more than any message has isn't."""
    for name, (request, body, n_fds) in MESSAGES.items():
        for size in {0, max(0, len(body) - 1), len(body) + 1, 4096, 0xFFFFFFFF} - {len(body)}:
            client = scene.adopt(STATES[state](scene.path))
            with Fds(name, n_fds) as fds:
                client.send(vh.message(request, (body + bytes(4096))[:min(size, 4096)],
                                       vh.VERSION | vh.NEED_REPLY, size), fds)
            if size == 0xFFFFFFFF:
                assert client.is_closed(2), name
            elif name not in ANSWERED and state == "agreed" and size < len(body):
                answer = client.receive()
                assert answer is None or answer[1] != 0, (name, size)
            drop(scene, client)


def test_versions_and_flags_of_nothing(scene):
    for flags in (0, 2, 3, vh.VERSION | vh.REPLY, 0xFFFFFFFF):
        client = scene.adopt(vd.Driver(scene.path))
        client.send(vh.message(vh.GET_FEATURES, b"", flags))
        assert client.is_closed(2), flags
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


def open_pipe():
    read, write = os.pipe()
    os.close(write)
    return read


FILES = {
    "pipe": open_pipe,
    "socket": vh.make_pair,
    "device": lambda: os.open("/dev/zero", os.O_RDWR),
    "folder": lambda: os.open("/dev/shm", os.O_RDONLY),
    "path": lambda: os.open("/dev/shm", os.O_PATH),
    "on-a-disk": lambda: os.open(__file__, os.O_RDONLY),
    "epoll": d.open_epoll,
    "memory": lambda: d.make_file(vd.BYTES),
    "eventfd": lambda: os.eventfd(0),
}


@pytest.mark.parametrize("kind", FILES)
def test_file_of_a_wrong_kind_over_vhost_user(scene, kind):
    for name, good in (("memory", "memory"), ("kick", "eventfd"), ("call", "eventfd"),
                       ("error", "eventfd")):
        client = scene.adopt(vd.Driver(scene.path))
        request, body, _ = MESSAGES[name]
        fd = FILES[kind]()
        answer = client.ask_whether(request, body, [fd])
        os.close(fd)
        assert (answer == 0) == (kind == good), (name, answer)
        drop(scene, client)


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


def test_flood_of_messages_that_nobody_reads(scene):
    """The host's answers find no room: the session ends at its deadline, others don't wait."""
    client = scene.adopt(vd.Driver(scene.path))
    client.socket.setblocking(False)
    deadline = time.monotonic() + 10
    try:
        while time.monotonic() < deadline:
            client.socket.send(vh.message(vh.GET_FEATURES) * 100)
    except BlockingIOError:
        pass
    assert client.is_closed(10)


@pytest.mark.parametrize("part", [1, 11, 12, 15])
def test_half_a_message_and_silence(scene, part):
    client = scene.adopt(vd.Driver(scene.path))
    client.send(vh.message(vh.SET_NUM, vh.pack_state(0, 256))[:part])
    begin = time.monotonic()
    assert client.is_closed(5)
    assert time.monotonic() - begin > 1


@pytest.mark.parametrize("how", ["truncated", "punched"])
def test_memory_that_vanishes_under_rings(scene, how):
    client = scene.driver().make_busy()
    client.receive_frames(100)
    if how == "truncated":
        os.ftruncate(client.file, 0)
        assert client.is_closed(5)
    else:
        d.punch(client.file, 0, vd.BYTES)  # its pages come again, empty
        time.sleep(0.05)
        assert client.is_alive()


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


def test_front_end_that_ends_while_a_burst_stands_still(scene):
    client = scene.driver().make_busy()
    with scene.hold_bursts() as hold:
        client.end()
        client.is_closed(0.02)
        hold.release()
        assert client.is_closed(2)


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
