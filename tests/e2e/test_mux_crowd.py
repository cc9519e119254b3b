# SPDX-License-Identifier: BSD-3-Clause
"""nicmuxd with many guests: streams among all of them, while some come, go and die."""

import random
import time

from lengths import get_length
from mux import Mux, Stations, Wire, mac
from testpmd import wait_until
from test_life import Baseline

GUESTS = 128
STOCK = 8  # of them stock testpmd
GROUP = 30  # ports of one process; DPDK has room for 32
STREAMS = get_length("NMX_CROWD_STREAMS")
KILLS = get_length("NMX_MUX_KILLS")
ATTACHES = get_length("NMX_MUX_ATTACHES")
RESTARTS = get_length("NMX_MUX_RESTARTS")
ENDLESS = 10 ** 9


def make_groups(rig, mux, names, macs, streams, frames):
    """Processes with as many guests each as they can have."""
    return [Stations(rig, [mux.vdev(name, i) for i, name in enumerate(names[begin:begin + GROUP])],
                     macs, streams, frames, seed=begin)
            for begin in range(0, len(names), GROUP)]


def stock_guest(rig, mux, name):
    return rig.testpmd("guest", [mux.vdev(name, 0)],
                       ["--forward-mode=macswap", "--auto-start", "--total-num-mbufs=4096"])


def stock_wire(rig, mux, mode):
    """What is on the other end of the uplink; memif knows neither scatter nor long frames."""
    return rig.testpmd("guest", [mux.uplink_vdev(mac(0, 1))],
                       [f"--forward-mode={mode}", "--auto-start", "--total-num-mbufs=4096"],
                       tiny=True)


def test_streams_among_128_guests_and_the_wire_lose_nothing(rig):
    names = [f"g{number}" for number in range(GUESTS)]
    macs = [mac(number) for number in range(GUESTS)] + [mac(0, 1)]
    mux = Mux(rig, names)
    for name in names[:STOCK]:
        stock_guest(rig, mux, name)
    groups = make_groups(rig, mux, names[STOCK:], macs, STREAMS, 50)
    groups.append(Stations(rig, [mux.uplink_vdev(macs[-1])], macs, STREAMS, 50, seed=99))
    mux.wait_linked(*names, timeout=60)
    groups[-1].go()
    mux.wait_wired()
    for group in groups[:-1]:
        group.go()
    for group in groups:
        group.wait_finished(60 + 2 * STREAMS)
    assert [group.end() for group in groups] == [0] * len(groups)
    for name in names:
        assert mux.drops(name) == {}
    frames = sum(mux.guest(name)["from_guest_frames"] for name in names)
    # Each guest but the stock ones has sent its own, and each frame was answered.
    assert frames > (GUESTS - STOCK) * STREAMS * 50


class Bystanders:
    """Stations with endless streams among themselves, that must lose nothing."""

    def __init__(self, rig, mux, names, known=()):
        """`known`: addresses of others whose frames may come."""
        macs = [mux.guests[name]["macs"][0] for name in names] + [f"+{one}" for one in known]
        self.mux = mux
        self.names = names
        self.group = Stations(rig, [mux.vdev(name, i) for i, name in enumerate(names)], macs,
                              ENDLESS, 100, window=16)
        mux.wait_linked(*names)
        self.group.go()

    def count(self):
        return sum(self.mux.guest(name)["from_guest_frames"] for name in self.names)

    def go_on(self):
        """Their streams still move."""
        before = self.count()
        wait_until(lambda: self.count() > before + 1000, "the bystanders' streams to go on")

    def check(self):
        self.go_on()
        # Before they end: one of them ends last.
        for name in self.names:
            assert self.mux.drops(name) == {}
        self.group.end()
        counters = self.group.counters()
        assert [counters[name] for name in ("lost", "changed", "doubled", "foreign")] == [0] * 4


def test_killed_guests_harm_nobody_and_leave_nothing(rig):
    """kill -9 at a random moment of forwarding; the next one with that address is there at once."""
    rng = random.Random(3)
    mux = Mux(rig, ["a", "b", "c", "victim"])
    bystanders = Bystanders(rig, mux, ["a", "b", "c"])
    # What the victims send comes back from the wire.
    stock_wire(rig, mux, "macswap")
    victims = [mac(3), mac(0, 1)]
    for kill in range(KILLS):
        victim = Stations(rig, [mux.vdev("victim", 0)], victims, ENDLESS, ENDLESS, window=64,
                          seed=kill)
        mux.wait_linked("victim")
        victim.go()
        before = mux.guest("victim")["to_guest_frames"]
        wait_until(lambda before=before: mux.guest("victim")["to_guest_frames"] > before + 100,
                   "the victim to forward")
        time.sleep(rng.uniform(0, 0.02))
        victim.program.kill()
        rig.forget(victim.program)
        wait_until(lambda: not mux.guest("victim")["linked"], "its end to be noticed")
        if kill == max(KILLS // 10 - 1, 1):
            baseline = Baseline(mux.program)
            free = mux.wire()["buffers_free"]
    baseline.check()
    wait_until(lambda: mux.wire()["buffers_free"] == free, "the pool to be as full as before")
    bystanders.check()
    assert mux.guest("victim")["sessions"] == KILLS


def test_guests_attach_and_detach_beside_others(rig):
    mux = Mux(rig, ["a", "b", "c"])
    bystanders = Bystanders(rig, mux, ["a", "b"])
    guest = rig.testpmd("guest", [mux.vdev("c", 0)], ["--total-num-mbufs=4096"])
    vdev = mux.vdev("c", 0)
    mux.wait_linked("c")
    for count in range(ATTACHES):
        guest.command("port stop 0")
        guest.command("port detach 0")
        wait_until(lambda: not mux.guest("c")["linked"], "the detached guest to be gone")
        if count == max(ATTACHES // 10, 1):
            baseline = Baseline(mux.program)
        guest.command(f"port attach {vdev}")
        guest.command("port start 0")
        mux.wait_linked("c")
    guest.command("port stop 0")
    guest.command("port detach 0")
    wait_until(lambda: not mux.guest("c")["linked"], "the detached guest to be gone")
    baseline.check()
    bystanders.check()
    assert mux.guest("c")["sessions"] == ATTACHES + 1


def test_a_killed_daemon_comes_back_to_its_guests(rig):
    """Stock guests that poll all the time: each is there again, and gets what is on the wire."""
    names = ["a", "b", "c"]
    wire = Wire(rig)
    try:
        mux = Mux(rig, names, device="net_tap0,iface=nmxwire", netns=wire.name)
        guests = [stock_guest(rig, mux, name) for name in names]
        for guest in guests:
            wait_until(guest.link_is_up, "the link")
        for _ in range(RESTARTS):
            mux.program.kill()
            rig.forget(mux.program)
            for guest in guests:
                wait_until(lambda guest=guest: not guest.link_is_up(), "the link to go down")
            mux.start()
            wire.set_up("nmxwire", "10.9.0.1/24")
            mux.wait_linked(*names)
            for guest in guests:
                wait_until(guest.link_is_up, "the link to come back")
            wire.run("ping", "-b", "-c", "20", "-i", "0.01", "-W", "1", "10.9.0.255", check=False)
            for name in names:
                assert mux.guest(name)["to_guest_frames"] >= 20
        assert mux.end() == 0
    finally:
        wire.remove()
