# SPDX-License-Identifier: BSD-3-Clause
"""
Every message in every state: whole, in pieces, cut off, and with descriptors.

Two states last only as long as a burst of the host does: a device that is resetting, a request that
is parked. For these the host's data thread is stopped inside a burst.

The short form takes each seventh cut, beginning elsewhere for each message; NMX_HOSTILE=1 takes all.
"""

import contextlib

import pytest

import driver as d
import vfio_user as vu
from dialect import FDS_MAX, STATES, Fds, Vdpdk, only
from scene import FULL


def take_cuts(dialect, name, state):
    """Where a message is cut: 1 to one byte before its end."""
    step = 1 if FULL else 7
    first = 1 + (list(dialect.MESSAGES).index(name) + 3 * STATES.index(state)) % step
    return range(first, len(dialect.MESSAGES[name].data), step)


class Clients:
    """One after the other, each in the wanted state; the present one as long as it is of use."""

    def __init__(self, scene, state):
        self.scene = scene
        self.state = state
        self.client = None

    def get(self):
        if self.client is None:
            self.client = self.scene.adopt(
                self.scene.dialect.make_state(self.scene.path, self.state))
        return self.client

    def drop(self):
        self.scene.attackers.remove(self.client)
        self.client.close()
        self.client = None


@pytest.mark.parametrize("state", STATES)
def test_message_in_pieces(scene, state):
    """Two sends with a pause between them are one message."""
    clients = Clients(scene, state)
    for name, message in scene.dialect.MESSAGES.items():
        for cut in take_cuts(scene.dialect, name, state):
            client = clients.get()
            with Fds(message) as fds:
                client.send(message.data[:cut], fds)
                # The host has read the first part, or closed.
                client.wait_read()
                client.send(message.data[cut:])
            if not scene.dialect.check_answer(client, state, name, message.wants):
                clients.drop()


@pytest.mark.parametrize("state", STATES)
def test_message_cut_off(scene, state):
    """A client that ends in the middle of a message, wherever, is gone and nothing else."""
    clients = Clients(scene, state)
    for name, message in scene.dialect.MESSAGES.items():
        for cut in take_cuts(scene.dialect, name, state):
            client = clients.get()
            with Fds(message) as fds:
                client.send(message.data[:cut], fds)
            client.end()
            assert client.is_closed(2)
            clients.drop()


@pytest.mark.parametrize("state", STATES)
def test_message_with_descriptors(scene, state):
    """None to one more than any message may have, on each message."""
    clients = Clients(scene, state)
    for name, message in scene.dialect.MESSAGES.items():
        for n_fds in range(FDS_MAX + 2) if FULL else (0, 1, 2, FDS_MAX, FDS_MAX + 1):
            client = clients.get()
            with Fds(message, n_fds) as fds:
                client.send(message.data, fds)
            if n_fds > FDS_MAX:
                assert client.is_closed(2)
                clients.drop()
            elif not scene.dialect.check_answer(client, state, name, n_fds):
                clients.drop()


@pytest.mark.parametrize("state", STATES)
def test_reply_that_nobody_asked_for(scene, state):
    """And other flags that no message of a client's has."""
    clients = Clients(scene, state)
    for data in scene.dialect.REPLIES:
        client = clients.get()
        client.send(data)
        assert scene.dialect.is_refused(client.receive())
        assert client.is_closed(2)
        clients.drop()


@only("vdpdk")
@pytest.mark.parametrize("state", STATES[1:])
def test_message_without_an_answer(scene, state):
    """No_reply is obeyed also where the message is refused, and takes nothing else with it."""
    client = scene.adopt(Vdpdk.make_state(scene.path, state))
    for name, message in Vdpdk.MESSAGES.items():
        if name == "version":
            continue
        body = message.data[Vdpdk.HEADER_BYTES:]
        with Fds(message) as fds:
            client.send(vu.message(message.kind, body, flags=vu.NO_REPLY), fds)
            client.send(vu.message(message.kind, bytes(64), flags=vu.NO_REPLY), fds)
        assert Vdpdk.is_alive(client)


# --- While a burst holds something up ---


@contextlib.contextmanager
def held(scene, what):
    """(client, hold, check): a request has found a burst in its way, and does until release."""
    data, name, is_good = scene.dialect.PARKED[what]
    for _ in range(500):
        client = scene.busy_client()
        with scene.hold_bursts() as hold:
            with Fds(scene.dialect.MESSAGES[name]) as fds:
                client.send(data, fds)
            # A machine that is busy with something else may take a moment, too.
            caught = not client.has_answer(0.05)
            if caught:
                yield client, hold, is_good
        scene.attackers.remove(client)
        client.close()
        if caught:
            return
    pytest.fail("the host's data thread was never caught inside a burst")


@only("vdpdk")
def test_message_while_resetting(scene):
    """The device answers, but for what the reset itself holds up."""
    for _ in range(500):
        client = scene.busy_client()
        with scene.hold_bursts() as hold:
            client.write(d.STATUS, 0)
            caught = bool(client.read(d.STATUS) & d.RESETTING)
            if caught:
                ask_while_resetting(client, hold)
        scene.attackers.remove(client)
        client.close()
        if caught:
            return
    pytest.fail("the host's data thread was never caught inside a burst")


def ask_while_resetting(client, hold):
    for name, message in Vdpdk.MESSAGES.items():
        with Fds(message) as fds:
            if name not in ("version", "reset"):
                client.send(message.data, fds)
                Vdpdk.check_answer(client, "busy", name, len(fds))
    assert client.read(d.STATUS) & d.RESETTING
    client.send(Vdpdk.MESSAGES["reset"].data)
    assert not client.has_answer(0.01)
    hold.release()
    Vdpdk.check_answer(client, "busy", "reset", 0)
    assert client.read(d.STATUS) == 0


def test_message_behind_a_parked_one(scene):
    """Nothing is read before the answer; then all is as ever."""
    for name, message in scene.dialect.MESSAGES.items():
        with held(scene, "memory") as (client, hold, is_good):
            with Fds(message) as fds:
                client.send(message.data, fds)
            assert not client.has_answer(0.01)
            hold.release()
            assert is_good(client.receive())
            scene.dialect.check_answer(client, "busy", name, message.wants)


@pytest.mark.parametrize("what", ["memory", "all"])
def test_message_cut_off_while_a_burst_runs(scene, what):
    """The end of the connection is the promise that no burst reaches the client's memory."""
    whole = scene.dialect.WITH_FD[1]
    for cut in range(0, len(whole), 1 if FULL else 9):
        with held(scene, what) as (client, hold, _):
            client.send(whole[:cut])
            client.end()
            assert not client.is_closed(0.02)
            hold.release()
            assert client.is_closed(2)


def test_parked_requests_upon_each_other(scene):
    """Resets, removals and ends of everything, behind each other, while a burst holds them all up."""
    pile = scene.dialect.PILE * 10
    with held(scene, "memory") as (client, hold, is_good):
        for data, _ in pile:
            client.send(data)
        assert not client.has_answer(0.01)
        hold.release()
        assert is_good(client.receive())
        assert all(check(client.receive()) for _, check in pile)
