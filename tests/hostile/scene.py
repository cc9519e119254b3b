# SPDX-License-Identifier: BSD-3-Clause
"""
The common runner of all attacks on a host, and what must be true behind each.

One host has two guest ports. One is attacked, while a flood of frames goes to it; at the other a
well-behaved guest, the bystander, reflects a windowed, audited stream. The host serves all tests
one after the other, so that what an attack leaves behind meets the next. Behind each attack:

  - the host lives, and the attacked port serves the next ordinary client, with traffic;
  - it has as many descriptors and mappings as before the first attack;
  - the bystander's stream has lost, changed, doubled and reordered nothing and never paused for a
    second, and its device answered within a second all the time.

Where one of these is not so, the next test gets a new host.
"""

import ctypes
import os
import threading
import time

import dialect
import virtio_driver as vd
from lengths import get_length
from testpmd import Failure, wait_until

STREAM = {"window": 32, "sizes": "60-1514", "segments": "1-3", "flows": 16}
# The bystander's stream may pause for as long as the scheduler of a busy machine takes, not for a
# client's deadline, the shortest of which is two seconds.
PAUSE_MAX = 1.0
FULL = get_length("NMX_HOSTILE") > 0
# Of a mapped queue; the light guest's rings have 256 slots.
RING = 64


class Bystander(threading.Thread):
    """Watches the other guest: the longest pause of its stream, and of an answer to its driver."""

    def __init__(self, rig, guest):
        super().__init__(daemon=True)
        self.rig = rig
        self.guest = guest
        self.ended = threading.Event()
        self.longest = 0.0
        self.longest_answer = 0.0
        self.failure = None
        self.first = self.rig.report("bystander").acknowledged
        self.start()

    def watch(self):
        last, since = self.first, time.monotonic()
        while not self.ended.wait(0.01):
            now = self.rig.report("bystander").acknowledged
            if now != last:
                last, since = now, time.monotonic()
            self.longest = max(self.longest, time.monotonic() - since)
            begin = time.monotonic()
            self.guest.ask("state")  # reads a register
            self.longest_answer = max(self.longest_answer, time.monotonic() - begin)

    def run(self):
        try:
            self.watch()
        except (Failure, OSError) as failure:
            self.failure = failure

    def is_served(self):
        """True if its stream has gone on since this test began."""
        return self.rig.report("bystander").acknowledged > self.first + 100

    def check(self):
        wait_until(self.is_served, "the bystander's stream to go on")
        self.ended.set()
        self.join()
        assert self.failure is None, f"the bystander: {self.failure}"
        assert self.longest < PAUSE_MAX, f"the bystander's stream paused for {self.longest:.2f} s"
        assert self.longest_answer < PAUSE_MAX, f"its device took {self.longest_answer:.2f} s"
        wrong = [line for line in self.rig.report("bystander").verdict()
                 if "has not ended" not in line]
        assert wrong == []


class HeldThread:
    """A thread of another process that is stopped, while the others run on."""

    SEIZE, INTERRUPT, CONTINUE, DETACH, PEEK_USER = 0x4206, 0x4207, 7, 17, 3
    WALL = 0x40000000
    INSTRUCTION_POINTER = 16 * 8  # in struct user of x86-64
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long] * 4
    ptrace.restype = ctypes.c_long

    def __init__(self, thread, places=()):
        self.thread = thread
        self.places = places

    def call(self, request):
        if self.ptrace(request, self.thread, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def interrupt(self):
        self.call(self.INTERRUPT)
        os.waitpid(self.thread, self.WALL)

    def is_in_place(self):
        at = self.ptrace(self.PEEK_USER, self.thread, self.INSTRUCTION_POINTER, 0)
        return not self.places or any(at in place for place in self.places)

    def __enter__(self):
        self.call(self.SEIZE)
        self.interrupt()
        for _ in range(10000):
            if self.is_in_place():
                break
            self.call(self.CONTINUE)
            self.interrupt()
        return self

    def __exit__(self, *_):
        self.release()

    def release(self):
        if self.thread:
            self.call(self.DETACH)
        self.thread = None


def find_code(program, library):
    """Where a library's code is in a program."""
    places = []
    with open(f"/proc/{program.pid}/maps") as file:
        for line in file:
            addresses, rights = line.split()[:2]
            if library in line and "x" in rights:
                places.append(range(*(int(word, 16) for word in addresses.split("-"))))
    return places


def hold_thread(program, name="worker", inside=None):
    """Stop a DPDK program's data thread; with `inside` in the code of that library, if it can be."""
    tasks = f"/proc/{program.pid}/task"
    for thread in os.listdir(tasks):
        with open(f"{tasks}/{thread}/comm") as file:
            if name in file.read():
                return HeldThread(int(thread), find_code(program, inside) if inside else ())
    raise Failure("it has no data thread")


class Scene:
    """The host, its bystander, and where to attack: a vDPDK port."""

    PORT = "net_vdpdk_host0,path={path}"
    dialect = dialect.Vdpdk

    def __init__(self, rig, mapped):
        self.rig = rig
        self.mapped = mapped
        self.path = rig.path("attacked")
        self.attackers = []
        flood = {**STREAM, "window": 0, "sizes": "60-9000"}
        self.host = rig.testpmd("host", [
            f"{self.PORT},queues=2".format(path=self.path),
            *self.make_uplink(0, "flood", mapped, flood),
            f"net_vdpdk_host1,path={rig.path('calm')},queues=2",
            *self.make_uplink(1, "bystander", mapped, STREAM)], ["--rxq=2", "--txq=2"])
        self.guest = rig.light_guest("calm", 2)
        self.guest.ask("start")
        self.guest.ask("reflect")
        # First clients, so that what is allocated once is there before the count.
        self.make_client().close()
        self.host.command("start")
        wait_until(lambda: rig.report("bystander").acknowledged > 1000, "the bystander's stream")
        self.serve_next()
        wait_until(lambda: not self.is_busy(), "the port to be free")
        self.fds, self.maps = self.count_at_rest()
        self.bystander = None
        self.before = {}

    def make_uplink(self, number, report, mapped, stream):
        """A stream for guest port `number`; with `mapped` in that guest's buffers."""
        port = f"net_vdpdk_host{number}" if number else self.PORT.split(",")[0]
        if not mapped:
            return [self.rig.tnic(number, report, **stream)]
        return [self.rig.tnic(number, report, ring=RING, dma=1024, **stream),
                f"net_softflow{number},lower=net_tnic{number},"
                f"map=0:{port},map=1:{port}:1"]

    # --- What tests use ---

    def make_client(self, **keys):
        return self.dialect.make_client(self.path, **keys)

    def is_busy(self):
        """True while the attacked port has a client: another one is closed at once."""
        client = self.make_client(hello=False)
        client.send(self.dialect.HELLO)
        busy = client.receive() is None
        client.close()
        return busy

    def client(self, **keys):
        """An attacker that speaks the protocol, or some of it."""
        self.attackers.append(self.make_client(**keys))
        return self.attackers[-1]

    def busy_client(self, **form):
        """An attacker whose rings run, all buffers posted: the flood comes."""
        return self.adopt(self.dialect.make_busy(self.path, **form))

    def adopt(self, attacker):
        """An attacker of another kind: it has close()."""
        # A host whose terminal is full waits in the callback that tells of each client's link.
        self.host.pump(0)
        self.attackers.append(attacker)
        return attacker

    def light_guest(self, reflect=True):
        """An attacker that has a device first."""
        guest = self.adopt(self.rig.light_guest("attacked", 2))
        guest.ask("start")
        if reflect:
            guest.ask("reflect")
            wait_until(lambda: int(guest.ask("count")[0]) > 100, "traffic")
        return guest

    def count(self, name):
        """How much a counter of the attacked port has grown since the test began."""
        return self.host.xstats(0)[name] - self.before.get(name, 0)

    def hold_bursts(self):
        """Stop the host's data thread, wherever it is; to be left again within a fraction of a
        second, as the bystander waits as well."""
        return hold_thread(self.host)

    # --- What the runner does ---

    def count_at_rest(self):
        """Descriptors and mappings of the host, when nobody has been there for a while."""
        counts = []
        while len(set(counts[-20:])) != 1 or len(counts) < 20:
            counts.append((self.host.count_fds(), self.host.count_maps()))
            time.sleep(0.01)
        return counts[-1]

    def begin(self):
        self.before = self.host.xstats(0)
        self.since = len(self.host.said)
        self.bystander = Bystander(self.rig, self.guest)

    def serve_next(self):
        """The next ordinary client of the attacked port."""
        guest = self.rig.light_guest("attacked", 2)
        guest.ask("start")
        guest.ask("reflect")
        wait_until(lambda: int(guest.ask("count")[0]) > 100, "traffic of the next client")
        guest.ask("pause")
        guest.ask("stop")
        assert guest.ask("count")[2] == "0"
        guest.kill()
        self.rig.programs.remove(guest)

    def end_attackers(self):
        for attacker in self.attackers:
            if attacker in self.rig.programs:
                attacker.kill()
                self.rig.programs.remove(attacker)
            else:
                attacker.close()
        self.attackers = []

    def check_nic(self):
        """What a NIC of a mapped queue has posted is in memory that is mapped for it."""
        # By force, it may be taken from under it. Asked first: all that was said is read then.
        if self.count("guest_answers_forced") == 0:
            said = self.host.said[self.since:]
            assert b"isn't mapped for the device" not in said
            assert b"memory is unmapped for the device" not in said

    def check(self):
        self.end_attackers()
        assert self.host.process.poll() is None, "the host is dead:\n" + self.host.tail()
        wait_until(lambda: not self.is_busy(), "the port to be free")
        self.check_nic()
        self.serve_next()
        self.bystander.check()
        assert self.guest.ask("count")[2] == "0"
        wait_until(lambda: self.host.count_fds() == self.fds, "as many descriptors as before")
        wait_until(lambda: abs(self.host.count_maps() - self.maps) <= 2, "as many mappings")


class VirtioScene(Scene):
    """The same, where what is attacked is a vhost-user port."""

    PORT = "net_iovtee0,iface={path},tso=1"
    dialect = dialect.Virtio

    def serve_next(self):
        client = vd.Driver(self.path).make_busy()
        client.receive_frames(100)
        client.send_frames(10)
        for index in range(4):
            client.stop_ring(index)
        client.close()

    def driver(self, **keys):
        """An attacker with rings."""
        return self.adopt(vd.Driver(self.path, **keys))

    def expect_fault(self, reason):
        """A queue was stopped once, for what that counter counts."""
        wait_until(lambda: self.count("guest_queue_faults") > 0, f"a fault: {reason}")
        faults = {name: self.count(name) for name in self.before if "guest_fault_" in name}
        assert {name: n for name, n in faults.items() if n > 0} == {reason: 1}
