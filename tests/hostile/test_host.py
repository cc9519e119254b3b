# SPDX-License-Identifier: BSD-3-Clause
"""
The other way round: a guest's driver and a hostile host.

One testpmd with net_vdpdk lives through all rows. Behind each: it lives, the port reports the fault
or says in one sentence why it is none, then the port, or a new one, serves a host that is in order,
and when it is closed there are as many descriptors as before.
"""

import os
import re
import shutil
import struct

import pytest

import hostile_host as h
from rig import ROOT, Rig
from testpmd import wait_until


class Victim:
    """A program with our driver, and a port of it at a time."""

    def __init__(self, plugins):
        logs = os.path.join(ROOT, "build/e2e/hostile-host")
        shutil.rmtree(logs, ignore_errors=True)
        self.rig = Rig(plugins, logs)
        self.path = self.rig.path("g0")
        self.program = self.rig.testpmd("guest", [], ["--forward-mode=macswap"],
                                        eal=self.rig.plugin("vdpdk"))
        self.host = None
        with self.serve():
            assert self.attach() is None
        self.detach()
        self.fds = self.program.count_fds()

    def serve(self, **fault):
        """A host at the port's path until the context, or the next one's begin, ends it."""
        self.end_host()
        self.host = h.HostileHost(self.path, **fault)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end_host()

    def end_host(self):
        if self.host is not None:
            self.host.stop()
            os.unlink(self.path)
        self.host = None

    def has_port(self):
        return "net_vdpdk0" in self.program.command("show port summary all")

    def attach(self):
        """Why there is no port; None: there is, and it polls."""
        answer = self.program.command(f"port attach net_vdpdk0,path={self.path}", 60)
        said = re.findall(r"^net_vdpdk: (.*)$", answer, re.M)
        if not self.has_port():
            assert len(said) == 1, answer
            return said[0]
        self.program.command("port start 0", 30)
        self.program.command("start")
        return None

    def detach(self):
        if self.has_port():
            for command in ("stop", "port stop 0", "port close 0", "device detach net_vdpdk0"):
                self.program.command(command, 60)

    def count(self, name):
        return self.program.xstats(0)[name]

    def check(self):
        self.end_host()
        assert self.program.process.poll() is None, "testpmd is dead:\n" + self.program.tail()
        with self.serve():
            if not self.has_port():
                assert self.attach() is None
            self.program.command("port start 0")
            self.program.command("start")
            wait_until(self.program.link_is_up, "the link with a good host")
            self.program.command("clear port stats all")
            wait_until(lambda: self.program.stats(0)["RX-packets"] > 100, "frames")
            wait_until(lambda: self.program.stats(0)["TX-packets"] > 100, "frames sent back")
            assert self.count("mbufs_in_quarantine") == self.count("mbufs_kept") == 0
            self.detach()
        wait_until(lambda: self.program.count_fds() == self.fds, "as many descriptors as before")

    def clean_up(self):
        self.end_host()
        self.rig.clean_up()


@pytest.fixture(scope="module")
def shared(plugins):
    holder = {}
    yield lambda: holder.get("victim") or holder.setdefault("victim", Victim(plugins)), holder
    if "victim" in holder:
        holder["victim"].clean_up()


@pytest.fixture
def victim(shared):
    get, holder = shared
    try:
        victim = get()
        yield victim
        victim.check()
    except BaseException:
        holder.pop("victim").clean_up()
        raise


def once(complete):
    """A fault of the hundredth completion, and of those behind it until the queue stands."""
    seen = [0]

    def fault(ring, *rest):
        seen[0] += 1
        return seen[0] > 100 and complete(ring, *rest) is not False
    return fault


def w1(length=60, number=0, flags=0, extra=0):
    return length | number << 16 | flags << 32 | extra << 48


# What is wrong with a completion; each stops the queue.
RECEIVED = {
    "id-beyond-the-ring": lambda ring, _, number: ring.complete(w1(number=ring.n_slots)),
    "id-of-16-bits": lambda ring, _, number: ring.complete(w1(number=0xFFFF)),
    "id-not-in-flight": lambda ring, _, number: complete_twice(ring, w1(60, number)),
    "longer-than-posted": lambda ring, _, number: ring.complete(w1(65535, number)),
    "unknown-flag": lambda ring, _, number: ring.complete(w1(60, number, 0x8000)),
    "hash-not-agreed-on": lambda ring, _, number: ring.complete(w1(60, number, 0x80)),
    "more-to-come-and-nothing-comes": lambda ring, _, number: ring.complete(w1(60, number, 2)),
    "empty-segment-behind": lambda ring, _, number: complete_chain(ring, number),
}
SENT = {
    "id-beyond-the-ring": lambda ring, number: ring.complete(w1(0, ring.n_slots)),
    "id-not-in-flight": lambda ring, number: complete_twice(ring, w1(0, number)),
    "flag": lambda ring, number: ring.complete(w1(0, number, 2)),
}


def complete_twice(ring, word):
    """Both at once: between two bursts the guest might have posted that id again."""
    ring.complete(word, 1)
    ring.complete(word)


def complete_chain(ring, number):
    """A frame of two slots, the second of which is empty."""
    second = ring.memory.read(ring.slot(1) + 8, 8)
    ring.complete(w1(0, second[2] | second[3] << 8), 1)
    ring.complete(w1(60, number, 2))


def expect_breach(victim, queue, **wrong):
    with victim.serve(**wrong):
        assert victim.attach() is None
        wait_until(lambda: victim.count("queue_faults") > 0, "the fault")
        assert f"{queue} queue 0 stopped: the device broke the rules" in victim.program.text()


@pytest.mark.parametrize("name", RECEIVED)
def test_wrong_rx_completion(victim, name):
    expect_breach(victim, "Rx", received=once(RECEIVED[name]))


@pytest.mark.parametrize("name", SENT)
def test_wrong_tx_completion(victim, name):
    expect_breach(victim, "Tx", sent=once(SENT[name]))


@pytest.mark.parametrize("reason", [0, 4, 0xFFFF])
def test_queue_that_the_device_stops(victim, reason):
    """Whatever reason it gives: it is told, and nothing is sent or received any more."""
    with victim.serve() as context:
        assert victim.attach() is None
        host = context.host
        with host.lock:
            for ring in host.rings.values():
                host.memory.write(ring.address + 64 + 4, struct.pack("<HH", 2, reason))
            host.rings = {}
        host.signal_control()
        wait_until(lambda: victim.count("queue_faults") == 2, "both faults")
        assert f"(reason {reason})" in victim.program.text()


def test_control_page_of_noise(victim):
    """The link goes up and down as the device says; other numbers mean nothing without a fault."""
    with victim.serve() as context:
        assert victim.attach() is None
        for _ in range(50):
            context.host.memory.write(context.host.get_area(), os.urandom(4096))
            context.host.signal_control()
        assert victim.count("queue_faults") == 0


# --- Requests ---

# Of INFO_GET's answer; the port isn't made.
INFORMATION = {
    "no-queue-pairs": (0, h.pack_info(0)),
    "queue-pairs-beyond-the-most": (0, h.pack_info(65)),
    "queue-pairs-of-16-bits": (0, h.pack_info(0xFFFF)),
    "queue-pairs-without-doorbells": (0, h.pack_info(2)),
    "mac-of-a-group": (0, h.pack_info(mac=b"\1\0\0\0\0\7")),
    "mac-zero": (0, h.pack_info(mac=bytes(6))),
    "mtu-upside-down": (0, h.pack_info(mtu_min=2000, mtu_max=1000)),
    "frames-of-nothing": (0, h.pack_info(rx_max=0, tx_max=0)),
    "answer-too-short": (0, h.pack_info()[:-1]),
    "answer-too-long": (0, h.pack_info() + b"x"),
    "answer-of-the-whole-slot": (0, bytes(896)),
    "refused": (3, b""),
    "unknown-answer": (0xFFFFFFFF, b""),
}


@pytest.mark.parametrize("name", INFORMATION)
def test_wrong_information(victim, name):
    fault = INFORMATION[name]
    with victim.serve(respond=lambda op, _: fault if op == h.INFO_GET else None):
        reason = victim.attach()
        assert "its device breaks the protocol" in reason or "doorbells" in reason or \
            name == "refused", reason


def test_queues_that_are_not_started(victim):
    """Refused, the port isn't started; with the next host it is."""
    with victim.serve(respond=lambda op, _: (7, b"") if op == h.QUEUE_START else None):
        victim.attach()
        assert not victim.program.link_is_up()


def test_request_that_is_never_answered(victim):
    """The session is given up after five seconds, and the next one begun."""
    with victim.serve(respond=lambda op, _: "silence" if op == h.STATS_GET else None):
        begin = len(victim.program.said)
        assert victim.attach() is None  # its "start" asks for the statistics
        word = victim.program.expect("the host doesn't answer a request", 20, begin)
        begin = len(victim.program.said)
        victim.program.send("show port stats 0")
        victim.program.expect("Throughput", 20, begin)
        back = victim.program.expect("the host is back", 20, word.end())
        victim.program.expect("link state change event", 20, back.end())
        # The driver's lines may have come into the midst of a prompt: here is another one.
        begin = len(victim.program.said)
        victim.program.send("")
        victim.program.expect(r"testpmd> ", 20, begin)


def test_statistics_of_noise(victim):
    answers = iter([(0, b"\xff" * 776), (0, bytes(8)), (5, b""), (99, b"x")])
    with victim.serve(respond=lambda op, _: next(answers, None) if op == h.STATS_GET else None):
        assert victim.attach() is None
        for _ in range(4):
            victim.count("sessions")


# --- Registers and the stream ---

REGISTERS = {
    "rings-of-one-slot": {"registers": {0x24: 0}},
    "rings-of-32-slots": {"registers": {0x24: 5}},
    "rings-of-8192-slots": {"registers": {0x24: 13}},
    "rings-of-noise": {"registers": {0x24: 0xFFFFFFFF}},
    "features-of-noise": {"registers": {0x10: 0xFFFFFFFF, 0x14: 0xFFFFFFFF}, "status": 0xFFFFFBFF},
    "failed": {"status": 0x100},
    "always-resetting": {"status": 0x400},
}


@pytest.mark.parametrize("name", REGISTERS)
def test_wrong_registers(victim, name):
    with victim.serve(**REGISTERS[name]):
        assert victim.attach() is not None


def answer_to(command, change):
    """A fault of the replies to one command; `change` is given the good one."""
    return {"reply": lambda asked, whole: change(whole) if asked == command else None}


def set_size(size):
    return lambda whole: whole[:4] + struct.pack("<I", size) + whole[8:]


def set_doorbell(count=1, index=0, kind=0):
    return lambda whole: whole[:28] + struct.pack("<I", count) + whole[32:48] + \
        struct.pack("<II", index, kind) + whole[56:]


READ, DOORBELLS, VERSION, MAP, VECTORS = 9, 6, 1, 2, 8
REPLIES = {
    "another-number": answer_to(READ, lambda whole: b"\xff\xff" + whole[2:]),
    "another-command": answer_to(READ, lambda whole: whole[:2] + b"\x0a\0" + whole[4:]),
    "shorter-than-its-header": answer_to(READ, set_size(15)),
    "of-no-bytes": answer_to(READ, set_size(0)),
    "longer-than-any": answer_to(READ, set_size(0xFFFFFFFF)),
    "without-its-data": answer_to(READ, lambda whole: set_size(32)(whole)[:32]),
    "with-an-unknown-error": answer_to(READ, lambda whole: set_size(16)(whole)[:8] +
                                       struct.pack("<II", 0x21, 0xFFFFFFFF)),
    "of-noise": answer_to(READ, lambda whole: b"\xff" * len(whole)),
    "version-of-noise": answer_to(VERSION, lambda whole: whole[:20] + b"{" * (len(whole) - 20)),
    "refused-memory": answer_to(MAP, lambda whole: whole[:8] + struct.pack("<II", 0x21, 28)),
    "refused-vectors": answer_to(VECTORS, lambda whole: whole[:8] + struct.pack("<II", 0x21, 22)),
    "no-doorbells": answer_to(DOORBELLS, set_doorbell(0)),
    "doorbells-without-entries": answer_to(DOORBELLS, set_doorbell(64)),
    "doorbells-beyond-the-most": answer_to(DOORBELLS, set_doorbell(0xFFFFFFFF)),
    "doorbell-without-descriptor": answer_to(DOORBELLS, set_doorbell(1, 1)),
    "doorbell-of-the-last-descriptor": answer_to(DOORBELLS, set_doorbell(1, 0xFFFFFFFF)),
    "doorbell-of-another-kind": answer_to(DOORBELLS, set_doorbell(1, 0, 1)),
}


@pytest.mark.parametrize("name", REPLIES)
def test_wrong_reply(victim, name):
    with victim.serve(**REPLIES[name]):
        assert victim.attach() is not None


def test_half_a_reply(victim):
    """Given up after five seconds."""
    with victim.serve(**answer_to(READ, lambda whole: whole[:20])):
        assert victim.attach() is not None


def test_host_that_ends_at_any_message(victim):
    """However far the handshake has come, the port isn't made, or goes down, and lives."""
    n = 0
    reason = "none yet"
    while reason is not None:
        assert n < 100
        with victim.serve(messages=n):
            reason = victim.attach()
        n += 1
    assert n > 10
