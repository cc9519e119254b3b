# SPDX-License-Identifier: BSD-3-Clause
"""The stream itself: sizes, texts, halves of messages, clients that don't read, floods."""

import time

import pytest

import driver as d
import vfio_user as vu
from scene import FULL


@pytest.mark.parametrize("size", [0, 1, 15, 65536 + 33, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF])
def test_bad_size_in_a_header(scene, size):
    for hello in (False, True):
        client = scene.client(hello=hello)
        client.send(vu.message(vu.REGION_READ if hello else vu.VERSION, b"x" * 32, size=size))
        assert client.receive() in (None, (vu.REGION_READ if hello else vu.VERSION, 22, b""))
        assert client.is_closed(2)


JSON = {
    "unterminated": b"{",
    "open": b"{\0",
    "array": b"[]\0",
    "string": b'"x"\0',
    "no-nul": b"{}",
    "number": b'{"capabilities":1}\0',
    "bytes": b"\xff\xfe\0",
    "negative": b'{"capabilities":{"max_msg_fds":-1}}\0',
    "huge": b'{"capabilities":{"max_msg_fds":1e99}}\0',
    "text": b'{"capabilities":{"max_msg_fds":"16"}}\0',
    "deep": b"[" * 4000 + b"\0",
    "two": b"{}\0{}\0",
}


@pytest.mark.parametrize("name", JSON)
def test_bad_json(scene, name):
    client = scene.client(hello=False)
    client.send(vu.version(JSON[name]))
    assert client.receive() in (None, (vu.VERSION, 22, b""))
    assert client.is_closed(2)


def test_deep_json_under_an_unknown_key_is_nothing_to_us(scene):
    client = scene.client(hello=False)
    client.send(vu.version(b'{"a":' * 500 + b"1" + b"}" * 500 + b"\0"))
    assert client.receive()[1] == 0


@pytest.mark.parametrize("cut", [0, 1, 8, 15, 16, 17, 40] if FULL else [0, 8, 17])
def test_half_a_message(scene, cut):
    """A client that stops in the middle meets a deadline; one between messages doesn't."""
    client = scene.client(hello=cut > 0)
    whole = vu.message(vu.REGION_WRITE, d.pack_access(0, b"z" * 24, region=7))
    client.send(whole[:cut])
    assert not client.is_closed(1)
    assert scene.is_busy()
    assert client.is_closed(7)


def test_client_that_never_reads(scene):
    client = scene.client()
    read = vu.message(vu.REGION_READ, d.pack_access(0, 4096, region=7))
    client.socket.setblocking(False)
    sent = 0
    try:
        while True:
            sent += client.socket.send(read)
    except BlockingIOError:
        pass
    assert sent > 0
    assert client.is_closed(10)


def test_storm_of_posted_messages(scene):
    """Doorbells and resets as fast as the socket takes them."""
    client = scene.client()
    doorbell, control, status = (
        vu.message(vu.REGION_WRITE, d.pack_access(offset, bytes(4)), vu.NO_REPLY)
        for offset in (d.TX_DOORBELL, d.CONTROL_DOORBELL, d.STATUS))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert client.send((doorbell + control + status) * 50)


def test_storm_of_posted_messages_that_are_refused(scene):
    """Errors of messages without an answer cost no more than good ones."""
    client = scene.client()
    bad = vu.message(vu.DMA_MAP, bytes(32), vu.NO_REPLY) + vu.message(0xFFFF, b"", vu.NO_REPLY)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert client.send(bad * 100)


def test_answers_left_unread_under_load(scene):
    """The device works on while its answers find no room; they cost the client, and it only."""
    client = scene.adopt(d.Driver(scene.path).make_busy())
    read = vu.message(vu.REGION_READ, d.pack_access(0, 4096, region=7))
    client.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            client.socket.send(read)
    assert client.is_closed(10)


def test_clients_in_quick_succession(scene):
    for _ in range(200):
        scene.client(hello=False).close()
