# SPDX-License-Identifier: BSD-3-Clause
"""File descriptors: floods, wrong kinds, such that are slow to close."""

import os
import socket
import struct
import time

import pytest

import driver as d
import vfio_user as vu
from testpmd import wait_until


def test_flood_of_descriptors(scene):
    for _ in range(20):
        client = scene.client()
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
        client.send(vu.message(vu.RESET), fds)
        for fd in fds:
            os.close(fd)
        assert client.is_closed(2)
        client.close()


MAP = d.pack_map(d.BASE, d.PAGE)
ONE_VECTOR = d.pack_vectors(1)


def test_descriptors_of_every_wrong_kind(scene):
    pipe = os.pipe()
    kinds = [os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY), pipe[0], pipe[1],
             os.open("/proc/self/status", os.O_RDONLY), socket.socket().detach(),
             os.open(__file__, os.O_RDONLY), os.open("/dev/shm", os.O_RDONLY | os.O_PATH),
             os.pidfd_open(os.getpid()), d.open_epoll()]
    for fd in kinds:
        for request in (vu.message(vu.DMA_MAP, MAP), vu.message(vu.SET_IRQS, ONE_VECTOR)):
            client = scene.client()
            client.send(request, [fd])
            assert client.is_closed(2)
        os.close(fd)
    # Kinds that are good elsewhere are only refused.
    client = scene.client()
    memory, event = os.memfd_create("nmx-wrong"), os.eventfd(0)
    assert client.ask(vu.DMA_MAP, MAP, [event])[1] != 0
    assert client.ask(vu.SET_IRQS, ONE_VECTOR, [memory])[1] != 0
    os.close(memory)
    os.close(event)


def test_descriptors_behind_the_header(scene):
    """They travel with a message's header, or the connection is over."""
    request = vu.message(vu.DMA_MAP, MAP)
    for cut in (16, 17, len(request) - 1):
        client = scene.client()
        memory = d.make_file(d.PAGE)
        client.send(request[:cut])
        client.wait_read()
        client.send(request[cut:], [memory])
        assert client.is_closed(2)
        os.close(memory)
        client.close()


def test_descriptors_on_every_byte_of_a_header(scene):
    """One with each byte makes sixteen, which is enough; one more is too many."""
    request = vu.message(vu.SET_IRQS, d.pack_vectors(2))
    for extra in (0, 1):
        client = scene.client()
        event = os.eventfd(0)
        for i in range(16):
            client.send(request[i:i + 1], [event] * (1 + (i < extra)))
        os.close(event)
        client.send(request[16:])
        assert client.receive() == (None if extra else (vu.SET_IRQS, 22, b""))
        client.close()


def test_flood_of_connections(scene):
    """Many at once, each with descriptors that nobody reads: all but the first are turned away."""
    first = scene.client()
    event = os.eventfd(0)
    others = [scene.client(hello=False) for _ in range(100)]
    for other in others:
        other.send(vu.version(), [event] * 16)
    os.close(event)
    for other in others:
        assert other.is_closed(2)
    assert first.ask(vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0))[1] == 0


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
    # The host shall be the last to close: it sleeps until we have.
    scene.host.freeze()
    target = scene.client(hello=False) if where == "refused" else client
    if where == "header":
        client.send(vu.message(vu.DMA_MAP, MAP), [slow.fileno()])
    elif where == "body":
        request = vu.message(vu.DMA_MAP, MAP)
        client.send(request[:16])
        client.send(request[16:], [slow.fileno()])
    elif where == "unread":
        client.send(vu.header(vu.RESET, size=3))
        client.send(vu.message(vu.RESET), [slow.fileno()])
    else:
        target.send(vu.version(), [slow.fileno()])
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
