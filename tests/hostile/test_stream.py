# SPDX-License-Identifier: BSD-3-Clause
"""The stream itself: sizes, texts, halves of messages, clients that don't read, floods."""

import time

import pytest

import vfio_user as vu
from dialect import only
from scene import FULL


def test_bad_size_in_a_header(scene):
    for data in scene.dialect.BAD_SIZES:
        for hello in (False, True):
            client = scene.client(hello=hello)
            client.send(data)
            assert scene.dialect.is_refused(client.receive())
            assert client.is_closed(2)
            client.close()


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


@only("vdpdk")
@pytest.mark.parametrize("name", JSON)
def test_bad_json(scene, name):
    client = scene.client(hello=False)
    client.send(vu.version(JSON[name]))
    assert client.receive() in (None, (vu.VERSION, 22, b""))
    assert client.is_closed(2)


@only("vdpdk")
def test_deep_json_under_an_unknown_key_is_nothing_to_us(scene):
    client = scene.client(hello=False)
    client.send(vu.version(b'{"a":' * 500 + b"1" + b"}" * 500 + b"\0"))
    assert client.receive()[1] == 0


@only("vdpdk")
def test_client_that_says_nothing(scene):
    """A version is owed."""
    client = scene.client(hello=False)
    assert not client.is_closed(1)
    assert client.is_closed(7)


def test_half_a_message(scene):
    """A client that stops in the middle meets a deadline; one between messages doesn't."""
    header, whole = scene.dialect.HEADER_BYTES, scene.dialect.WITH_FD[1]
    for cut in (1, header // 2, header - 1, header, header + 1) if FULL else (header - 1, header):
        client = scene.client()
        client.send(whole[:cut])
        assert not client.is_closed(1)
        assert scene.is_busy()
        assert client.is_closed(7)
        client.close()


def ask_without_end(client, question):
    """Until the socket takes no more."""
    client.socket.setblocking(False)
    deadline = time.monotonic() + 10
    with pytest.raises(BlockingIOError):
        while time.monotonic() < deadline:
            client.socket.send(question * 16)


def test_client_that_never_reads(scene):
    client = scene.client()
    ask_without_end(client, scene.dialect.QUESTION)
    assert client.is_closed(10)


def test_answers_left_unread_under_load(scene):
    """The rings are served while answers find no room; they cost the client, and it only."""
    client = scene.busy_client()
    ask_without_end(client, scene.dialect.QUESTION)
    assert client.is_closed(10)


def test_storm_of_posted_messages(scene):
    """What has no answer, as fast as the socket takes it."""
    client = scene.client()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert client.send(scene.dialect.POSTED * 50)


@only("vdpdk")
def test_storm_of_posted_messages_that_are_refused(scene):
    """Errors of messages without an answer cost no more than good ones."""
    client = scene.client()
    bad = vu.message(vu.DMA_MAP, bytes(32), vu.NO_REPLY) + vu.message(0xFFFF, b"", vu.NO_REPLY)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert client.send(bad * 100)


def test_clients_in_quick_succession(scene):
    for _ in range(200):
        scene.client(hello=False).close()
