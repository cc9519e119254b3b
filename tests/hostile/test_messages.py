# SPDX-License-Identifier: BSD-3-Clause
"""
Every message in every state: whole, in pieces, cut off, and with descriptors.

Two states last only as long as a burst of the host does: a device that is resetting, a request that
is parked. For these the host's data thread is stopped inside a burst.

What is expected doesn't depend on the state but before VERSION, so one function says it. The short
form takes each seventh cut, beginning elsewhere for each message; NMX_HOSTILE=1 takes all.
"""

import contextlib
import os
import struct

import pytest

import driver as d
import vfio_user as vu
from scene import FULL

EINVAL = 22
FDS_MAX = 16
CLOSED = None

# Name: command, body, descriptors that it should have, descriptors that it may have, errno.
MESSAGES = {
    "version": (vu.VERSION, struct.pack("<HH", 0, 0) + vu.CAPABILITIES, 0, 0, 0),
    "map": (vu.DMA_MAP, d.pack_map(d.SPARE + (1 << 20), d.PAGE), 1, 1, 0),
    "unmap": (vu.DMA_UNMAP, d.pack_unmap(d.SPARE + (2 << 20), d.PAGE), 0, 1, 0),
    "info": (vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0), 0, 0, 0),
    "region-info": (vu.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 0, 0, 0, 0), 0, 0, 0),
    "doorbells": (vu.GET_IO_FDS, struct.pack("<IIII", 4096, 0, 0, 0), 0, 0, 0),
    "irq-info": (vu.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 2, 0), 0, 0, 0),
    "vectors": (vu.SET_IRQS, d.pack_vectors(1), 1, 1, 0),
    "read": (vu.REGION_READ, d.pack_access(0, 64, region=7), 0, 0, 0),
    "write": (vu.REGION_WRITE, d.pack_access(d.TX_DOORBELL, b"\0\0\0\0"), 0, 0, 0),
    "reset": (vu.RESET, b"", 0, 0, 0),
    # Not served: DMA_READ and DMA_WRITE are a server's, others nobody's.
    "none": (0, b"", 0, -1, EINVAL),
    "dma-read": (11, struct.pack("<QQ", d.BASE, 64), 0, -1, EINVAL),
    "dma-write": (12, struct.pack("<QQ", d.BASE, 4) + b"data", 0, -1, EINVAL),
    "beyond": (14, bytes(16), 0, -1, EINVAL),
    "last": (0xFFFF, bytes(16), 0, -1, EINVAL),
}

# After these the next message gets a client of its own.
ENDS_STATE = ("version", "map", "reset")

STATES = {
    "unversioned": lambda path: d.Driver(path, hello=False),
    "versioned": d.Driver,
    "ready": lambda path: d.Driver(path).make_ready(),
    "busy": lambda path: d.Driver(path).make_busy(),
    "failed": lambda path: d.Driver(path).make_failed(),
}


def expect(state, name, n_fds):
    """errno of the answer, and whether the connection goes on."""
    _, _, _, fds_max, error = MESSAGES[name]
    if state == "unversioned":
        good = name == "version" and n_fds == 0
        return (0 if good else EINVAL), good
    if name == "version":
        return EINVAL, False
    return (EINVAL if n_fds > fds_max >= 0 else error), True


def take_cuts(name, state):
    """Where a message is cut: 1 to one byte before its end."""
    command, body, *_ = MESSAGES[name]
    size = vu.HEADER.size + len(body)
    step = 1 if FULL else 7
    first = 1 + (list(MESSAGES).index(name) + 3 * list(STATES).index(state)) % step
    return range(first, size, step)


def make_message(name):
    command, body, *_ = MESSAGES[name]
    return vu.message(command, body)


class Fds:
    """As many descriptors as a message should have, and then some: a page of memory, eventfds."""

    def __init__(self, name, n):
        self.fds = [d.make_file(d.PAGE) if name in ("map", "unmap") else os.eventfd(0)
                    for _ in range(n)]

    def __enter__(self):
        return self.fds

    def __exit__(self, *_):
        for fd in self.fds:
            os.close(fd)


def check_answer(client, state, name, n_fds):
    """The answer is the expected one; False: the connection is over, as expected, too."""
    error, goes_on = expect(state, name, n_fds)
    answer = client.receive()
    assert answer is not None, f"{name} in {state}: no answer"
    assert answer[:2] == (MESSAGES[name][0], error), f"{name} with {n_fds} descriptors in {state}"
    if not goes_on:
        assert client.is_closed(2)
    return goes_on


class Clients:
    """One after the other, each in the wanted state; the present one as long as it is of use."""

    def __init__(self, scene, state):
        self.scene = scene
        self.state = state
        self.client = None

    def get(self):
        if self.client is None:
            self.client = self.scene.adopt(STATES[self.state](self.scene.path))
        return self.client

    def drop(self):
        self.scene.attackers.remove(self.client)
        self.client.close()
        self.client = None


@pytest.mark.parametrize("state", STATES)
def test_message_in_pieces(scene, state):
    """Two sends with a pause between them are one message."""
    clients = Clients(scene, state)
    for name in MESSAGES:
        n_fds = MESSAGES[name][2]
        whole = make_message(name)
        for cut in take_cuts(name, state):
            client = clients.get()
            with Fds(name, n_fds) as fds:
                client.send(whole[:cut], fds)
                # The host has read the first part, or closed.
                client.wait_read()
                client.send(whole[cut:])
            if not check_answer(client, state, name, n_fds) or name in ENDS_STATE:
                clients.drop()


@pytest.mark.parametrize("state", STATES)
def test_message_cut_off(scene, state):
    """A client that ends in the middle of a message, wherever, is gone and nothing else."""
    clients = Clients(scene, state)
    for name in MESSAGES:
        whole = make_message(name)
        for cut in take_cuts(name, state):
            client = clients.get()
            with Fds(name, MESSAGES[name][2]) as fds:
                client.send(whole[:cut], fds)
            client.end()
            assert client.is_closed(2)
            clients.drop()


@pytest.mark.parametrize("state", STATES)
def test_message_with_descriptors(scene, state):
    """None to one more than any message may have, on each message."""
    clients = Clients(scene, state)
    for name in MESSAGES:
        for n_fds in range(FDS_MAX + 2) if FULL else (0, 1, 2, FDS_MAX, FDS_MAX + 1):
            client = clients.get()
            with Fds(name, n_fds) as fds:
                client.send(make_message(name), fds)
            if n_fds > FDS_MAX:
                assert client.is_closed(2)
                clients.drop()
            elif not check_answer(client, state, name, n_fds) or name in ENDS_STATE:
                clients.drop()


@pytest.mark.parametrize("state", STATES)
def test_reply_that_nobody_asked_for(scene, state):
    for kind in (0x1, 0x2, 0xF):
        client = scene.adopt(STATES[state](scene.path))
        client.send(vu.message(vu.GET_INFO, bytes(16), flags=kind))
        answer = client.receive()
        assert answer is None or answer[1] == EINVAL
        assert client.is_closed(2)
        client.close()


@pytest.mark.parametrize("state", [state for state in STATES if state != "unversioned"])
def test_message_without_an_answer(scene, state):
    """No_reply is obeyed also where the message is refused, and takes nothing else with it."""
    client = scene.adopt(STATES[state](scene.path))
    for name in MESSAGES:
        if name == "version":
            continue
        command, body, n_fds, *_ = MESSAGES[name]
        with Fds(name, n_fds) as fds:
            client.send(vu.message(command, body, flags=vu.NO_REPLY), fds)
            client.send(vu.message(command, bytes(64), flags=vu.NO_REPLY), fds)
        assert client.ask(vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0))[:2] == (vu.GET_INFO, 0)


# --- While a burst holds something up ---




def start_reset(client):
    """True if the burst under way holds the reset up."""
    client.write(d.STATUS, 0)
    return bool(client.read(d.STATUS) & d.RESETTING)


def start_unmap(client):
    """True if the burst under way holds the answer up."""
    client.send(vu.message(vu.DMA_UNMAP, d.pack_unmap(d.SPARE, d.PAGE)))
    # A machine that is busy with something else may take a moment, too.
    if not client.has_answer(0.05):
        return True
    assert client.receive()[1] == 0
    return False


@contextlib.contextmanager
def held(scene, start):
    """(client, hold): start() has found a burst in its way, and does until hold.release()."""
    for _ in range(500):
        client = scene.adopt(d.Driver(scene.path).make_busy())
        with scene.hold_bursts() as hold:
            caught = start(client)
            if caught:
                yield client, hold
        scene.attackers.remove(client)
        client.close()
        if caught:
            return
    pytest.fail("the host's data thread was never caught inside a burst")


def test_message_while_resetting(scene):
    """The device answers, but for what the reset itself holds up."""
    with held(scene, start_reset) as (client, hold):
        for name in MESSAGES:
            with Fds(name, MESSAGES[name][2]) as fds:
                if name not in ("version", "reset"):
                    client.send(make_message(name), fds)
                    assert check_answer(client, "busy", name, len(fds))
        assert client.read(d.STATUS) & d.RESETTING
        client.send(make_message("reset"))
        assert not client.has_answer(0.01)
        hold.release()
        assert check_answer(client, "busy", "reset", 0)
        assert client.read(d.STATUS) == 0


@pytest.mark.parametrize("name", MESSAGES)
def test_message_behind_a_parked_one(scene, name):
    """Nothing is read before the answer; then all is as ever."""
    with held(scene, start_unmap) as (client, hold):
        with Fds(name, MESSAGES[name][2]) as fds:
            client.send(make_message(name), fds)
        assert not client.has_answer(0.01)
        hold.release()
        assert client.receive()[:2] == (vu.DMA_UNMAP, 0)
        check_answer(client, "busy", name, MESSAGES[name][2])


@pytest.mark.parametrize("start", [start_reset, start_unmap])
def test_message_cut_off_while_a_burst_runs(scene, start):
    """The end of the connection is the promise that no burst reaches the client's memory."""
    whole = make_message("vectors")
    for cut in range(0, len(whole), 1 if FULL else 9):
        with held(scene, start) as (client, hold):
            client.send(whole[:cut])
            client.end()
            assert not client.is_closed(0.02)
            hold.release()
            assert client.is_closed(2)


def test_reset_and_parked_requests_upon_each_other(scene):
    """Resets and removals of everything, one behind the other, while a burst holds them all up."""
    with held(scene, start_unmap) as (client, hold):
        for _ in range(10):
            client.send(vu.message(vu.REGION_WRITE, d.pack_access(d.STATUS, bytes(4))))
            client.send(vu.message(vu.DMA_UNMAP, d.pack_unmap(0, 0, 2)))
            client.send(vu.message(vu.RESET))
        assert not client.has_answer(0.01)
        hold.release()
        answers = [client.receive()[:2] for _ in range(31)]
    kinds = (vu.REGION_WRITE, vu.DMA_UNMAP, vu.RESET)
    assert answers == [(vu.DMA_UNMAP, 0)] + [(kind, 0) for kind in kinds] * 10
