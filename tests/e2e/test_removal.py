# SPDX-License-Identifier: BSD-3-Clause
"""Ports that are ended while a guest is there: it is told, has a moment, and reads an end."""

import os
import select
import socket
import struct
import time

import pytest

import driver as d
import vfio_user as vu
from mux import Mux
from testpmd import wait_until

REMOVED = 0x200
MOMENT = 2.0
PARTING = 0.5


def connect(path):
    """A driver whose device runs, with an eventfd for vector 0."""
    client = d.Driver(path)
    client.make_busy()
    event = os.eventfd(0, os.EFD_NONBLOCK)
    assert client.ask(vu.SET_IRQS, d.pack_vectors(1), [event])[1] == 0
    return client, event


@pytest.fixture
def told(host):
    """A driver that was told; the port's close goes on meanwhile."""
    client, event = connect(host.path)
    host.close_port(event)
    assert is_signalled(event)
    yield client
    os.close(event)


class Host:
    """A testpmd whose guest port is being closed."""

    def __init__(self, rig):
        self.program = rig.host(queues=2)
        self.path = rig.path("g0")
        self.begin = None

    def close_port(self, event=None):
        """Not waited for; `event` is not signalled before, or only by this."""
        self.program.command("port stop 0")
        if event is not None:
            time.sleep(0.1)
            if is_signalled(event, 0):
                os.eventfd_read(event)
        self.begin = time.monotonic()
        self.program.send("port close 0")

    def wait_closed(self):
        """Seconds that it took."""
        self.program.expect("Port 0 is closed")
        return time.monotonic() - self.begin


@pytest.fixture
def host(rig):
    return Host(rig)


def is_signalled(event, timeout=0.5):
    return bool(select.select([event], [], [], timeout)[0])


def expect_end(client):
    """Whatever comes first: then end of file, and no error."""
    client.socket.settimeout(5)
    while client.socket.recv(65536):
        pass


def test_a_driver_is_told_and_has_a_moment(host, told):
    begin = time.monotonic()
    while time.monotonic() - begin < 0.7 * MOMENT:
        assert told.read(d.STATUS) == d.RUNNING | REMOVED
        assert told.request(d.INFO_GET) == d.OK
        assert struct.unpack_from("<Q", told.memory, d.AREA)[0] >> 63 == 0  # link down
        time.sleep(0.01)
    expect_end(told)
    assert 0.9 * MOMENT < time.monotonic() - begin < 1.5 * MOMENT
    assert host.wait_closed() < 3


def test_a_driver_that_leaves_holds_nothing_up(host, told):
    told.post(d.STATUS, 0)
    told.wait_reset()
    assert told.read(d.STATUS) == REMOVED
    assert told.write(0x04, 0x2, region=7) == 0  # no bus mastering, as a kernel would have it
    begin = time.monotonic()
    while time.monotonic() - begin < 0.5 * PARTING:
        assert told.read(0, region=7) & 0xFFFF == 0x1AF4
    expect_end(told)
    assert host.wait_closed() < 1


def test_a_client_that_hangs_up_holds_nothing_up(host, told):
    told.close()
    assert host.wait_closed() < 0.5


def test_a_client_without_a_driver_holds_nothing_up(host):
    client = d.Driver(host.path)
    client.make_mapped()
    assert client.write(0x04, 0x2, region=7) == 0
    host.close_port()
    expect_end(client)
    assert host.wait_closed() < 0.5


def flood(client, data, fds=()):
    """As much as goes into the socket."""
    client.socket.setblocking(False)
    try:
        if fds:
            socket.send_fds(client.socket, [data], fds)
        while client.socket.send(data):
            pass
    except (BlockingIOError, BrokenPipeError):
        pass


def test_what_nobody_reads_is_no_reset_of_the_connection(host):
    """Each way in which a host ends a connection, with bytes and descriptors in its queue."""
    post = vu.message(vu.REGION_WRITE, d.pack_access(d.STATUS + 0x400, bytes(4)), vu.NO_REPLY)
    # It breaks the rules.
    client = d.Driver(host.path)
    flood(client, vu.message(vu.GET_INFO, bytes(16), flags=1) + bytes(65536), [client.spare])
    expect_end(client)
    # It is one too many.
    wait_until(lambda: not host.program.link_is_up(), "the former client's end")
    first, event = connect(host.path)
    for _ in range(20):
        second = vu.Client(host.path, hello=False)
        flood(second, vu.version())
        expect_end(second)
    # Its memory vanishes.
    os.ftruncate(first.file, 0)
    flood(first, vu.message(vu.REGION_WRITE, d.pack_access(d.CONTROL_DOORBELL, bytes(4)),
                            vu.NO_REPLY))
    expect_end(first)
    os.close(event)
    # It is told to go, and doesn't listen.
    wait_until(lambda: not host.program.link_is_up(), "the former client's end")
    last, event = connect(host.path)
    host.close_port()
    end = time.monotonic() + 1.5 * MOMENT
    while time.monotonic() < end:
        flood(last, post)
    expect_end(last)
    host.wait_closed()
    os.close(event)


def test_many_guests_of_the_daemon_leave_together(rig):
    names = [f"guest{i}" for i in range(8)]
    mux = Mux(rig, names)
    clients = []
    for name in names:
        client = d.Driver(mux.guests[name]["path"])
        client.make_running()
        clients.append(client)
    # Some are removed, none of which looks; the others notice nothing.
    mux.set_guests(names[:4])
    begin = time.monotonic()
    mux.hang_up()
    assert 0.9 * MOMENT < time.monotonic() - begin < 1.8 * MOMENT
    for client in clients[4:]:
        expect_end(client)
    for client in clients[:4]:
        assert client.read(d.STATUS) == d.RUNNING
    # The rest goes with the daemon; two look, and leave.
    begin = time.monotonic()
    mux.program.process.terminate()
    for client in clients[:2]:
        wait_until(lambda client=client: client.read(d.STATUS) & REMOVED, "REMOVED")
        client.close()
    for client in clients[2:4]:
        expect_end(client)
    assert 0.9 * MOMENT < time.monotonic() - begin < 1.8 * MOMENT
    assert mux.program.wait() == 0
