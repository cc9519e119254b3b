# SPDX-License-Identifier: BSD-3-Clause
"""File descriptors: floods, wrong kinds, such that are slow to close."""

import os
import socket
import struct
import time

import pytest

import driver as d
from dialect import FDS_MAX
from testpmd import wait_until


def test_flood_of_descriptors(scene):
    for _ in range(20):
        client = scene.client()
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
        client.send(scene.dialect.ANY, fds)
        for fd in fds:
            os.close(fd)
        assert client.is_closed(2)
        client.close()


def test_descriptors_of_every_wrong_kind(scene):
    pipe = os.pipe()
    kinds = [os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY), pipe[0], pipe[1],
             os.open("/proc/self/status", os.O_RDONLY), socket.socket().detach(),
             os.open(__file__, os.O_RDONLY), os.open("/dev/shm", os.O_RDONLY | os.O_PATH),
             os.pidfd_open(os.getpid()), d.open_epoll()]
    for fd in kinds:
        for request in scene.dialect.WITH_FD:
            client = scene.client()
            client.send(request, [fd])
            assert scene.dialect.is_refused(client.receive())
            client.close()
        os.close(fd)


def test_descriptors_that_are_good_elsewhere(scene):
    """They are only refused: the session goes on."""
    for request, make_fd in scene.dialect.MIXED_UP:
        client = scene.client()
        fd = make_fd()
        client.send(request, [fd])
        os.close(fd)
        answer = client.receive()
        assert answer is not None and scene.dialect.is_refused(answer)
        assert scene.dialect.is_alive(client)
        client.close()


def test_descriptors_behind_the_header(scene):
    """They travel with a message's header, or the connection is over."""
    request, header = scene.dialect.WITH_FD[0], scene.dialect.HEADER_BYTES
    for cut in (header, header + 1, len(request) - 1):
        client = scene.client()
        memory = d.make_file(1 << 20)
        client.send(request[:cut])
        client.wait_read()
        client.send(request[cut:], [memory])
        assert client.is_closed(2)
        os.close(memory)
        client.close()


def test_descriptors_on_every_byte_of_a_header(scene):
    """Sixteen are enough, however they come; one more is too many."""
    request, header = scene.dialect.MIXED_UP[1][0], scene.dialect.HEADER_BYTES
    for extra in (0, 1):
        client = scene.client()
        event = os.eventfd(0)
        for i in range(header):
            n = 1 if i else FDS_MAX - header + 1 + extra
            client.send(request[i:i + 1], [event] * n)
        os.close(event)
        client.send(request[header:])
        answer = client.receive()
        assert answer is None if extra else scene.dialect.is_refused(answer)
        assert extra or scene.dialect.is_alive(client)
        client.close()


def test_flood_of_connections(scene):
    """Many at once, each with descriptors that nobody reads: all but the first are turned away."""
    first = scene.client()
    event = os.eventfd(0)
    others = [scene.client(hello=False) for _ in range(100)]
    for other in others:
        other.send(scene.dialect.HELLO, [event] * FDS_MAX)
    os.close(event)
    for other in others:
        assert other.is_closed(2)
    assert scene.dialect.is_alive(first)


def make_lingering_socket(peers):
    """A socket whose last close takes three seconds: its peer doesn't read."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        peers.append(server.accept()[0])
    near.setblocking(False)
    try:
        while True:
            near.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3))
    return near


@pytest.mark.parametrize("where", ["header", "body", "unread", "refused"])
def test_descriptors_that_are_slow_to_close(scene, where):
    """Whoever closes them waits; that must not be a thread that others need."""
    peers = []
    slow = make_lingering_socket(peers)
    client = scene.client()
    request, header = scene.dialect.WITH_FD[0], scene.dialect.HEADER_BYTES
    # The host shall be the last to close: it sleeps until we have.
    scene.host.freeze()
    target = scene.client(hello=False) if where == "refused" else client
    if where == "header":
        client.send(request, [slow.fileno()])
    elif where == "body":
        client.send(request[:header])
        client.send(request[header:], [slow.fileno()])
    elif where == "unread":
        client.send(scene.dialect.BAD_HEADER)
        client.send(scene.dialect.ANY, [slow.fileno()])
    else:
        target.send(scene.dialect.HELLO, [slow.fileno()])
    slow.close()
    begin = time.monotonic()
    scene.host.thaw()
    assert target.is_closed(2)
    client.close()
    # The port itself waits for as long as its client made it.
    wait_until(lambda: not scene.is_busy(), "the port to be free")
    assert time.monotonic() - begin > 1.5
    for peer in peers:
        peer.close()
