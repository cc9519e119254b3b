# SPDX-License-Identifier: BSD-3-Clause
"""Guests of nicmuxd that attack each other, the wire, or the daemon; nobody else notices."""

import os
import select
import struct
import subprocess
import threading
import time

import pytest

import vfio_user as vu
import virtio_driver as vd
from lengths import get_length
from mux import Mux, Stations, Wire, mac
from test_mux_crowd import Bystanders
from testpmd import wait_until

FORGED = get_length("NMX_FORGED_FRAMES")
BROADCAST = "ff:ff:ff:ff:ff:ff"
SPOOFED = "from_guest_drop_spoofed"


def attack(rig, mux, name="attacker", order=None):
    """A guest that does as it is told; half of its buffers are for sending."""
    guest = rig.light_guest(name)
    guest.ask("start 128")
    mux.wait_linked(name)
    if order:
        guest.ask(f"send {order}")
    return guest


class VirtioForger(threading.Thread):
    """
    A virtio guest that hands the same frames over, round and round, and writes their source address
    meanwhile: now the one, now the other.
    """

    N, BYTES = 128, 300

    def __init__(self, path, to, own, forged):
        super().__init__(daemon=True)
        self.driver = vd.Driver(path).make_shared()
        self.driver.start_ring(1)
        self.ring = self.driver.rings[1]
        self.sources = [bytes.fromhex(address.replace(":", "")) for address in (forged, own)]
        self.ended = threading.Event()
        frame = bytes.fromhex(to.replace(":", "")) + self.sources[1] + b"\x88\xb6" + bytes(self.BYTES)
        for i in range(vd.SLOTS):
            if i < self.N:
                at = self.get_place(i)
                self.driver.memory[at:at + self.BYTES] = frame[:self.BYTES]
                self.ring.put(i, vd.BASE + at - vd.HEADER_BYTES, vd.HEADER_BYTES + self.BYTES, 0, 0)
            self.ring.write(vd.AVAIL_AT + 4 + 2 * i, struct.pack("<H", i % self.N))
        self.start()

    @staticmethod
    def get_place(i):
        return vd.BUFFERS + 2048 * i + vd.HEADER_BYTES

    def run(self):
        turn = 0
        while not self.ended.is_set():
            used, = self.ring.read("<H", vd.USED_AT + 2)
            self.ring.write(vd.AVAIL_AT + 2, struct.pack("<H", (used + self.N) % 65536))
            for i in range(self.N):
                at = self.get_place(i) + 6
                self.driver.memory[at:at + 6] = self.sources[turn % 2]
            turn += 1

    def quiet(self):
        self.ended.set()
        self.join()
        self.driver.stop_ring(1)


class LightForger:
    """The same, a vDPDK guest."""

    def __init__(self, rig, mux, to, own, forged):
        self.guest = attack(rig, mux, order=f"{to} {own} 300 1 {forged}")

    def quiet(self):
        self.guest.ask("quiet")


def start_forger(rig, mux, to):
    entry = mux.guests["attacker"]
    if entry["type"] == "vdpdk":
        return LightForger(rig, mux, to, mac(0), mac(0, 9))
    return VirtioForger(entry["path"], to, mac(0), mac(0, 9))


@pytest.mark.parametrize("entry", [{}, {"type": "vhost-user", "role": "listen"}],
                         ids=["vdpdk", "virtio"])
@pytest.mark.parametrize("to", ["a guest", "the wire", "all"])
def test_a_source_address_that_is_forged_while_it_is_read_reaches_nobody(rig, to, entry):
    """Some of the frames pass: those that had the guest's own address when they were judged."""
    mux = Mux(rig, [{"name": "attacker", "floods_max": 10 ** 9, **entry}, "a", "b"])
    macs = [mac(1), mac(2), mac(0, 1), f"+{mac(0)}"]
    group = Stations(rig, [mux.vdev("a", 0), mux.vdev("b", 1)], macs, 0, 0)
    wire = Stations(rig, [mux.uplink_vdev(mac(0, 1))], macs, 0, 0)
    mux.wait_linked("a", "b")
    address = {"a guest": mac(1), "the wire": mac(0, 1), "all": BROADCAST}[to]
    attacker = start_forger(rig, mux, address)
    wait_until(lambda: mux.guest("attacker")["from_guest_frames"] > FORGED, "forged frames",
               20 + FORGED / 5_000)
    attacker.quiet()
    time.sleep(0.2)
    for stations in (group, wire):
        stations.go()
        stations.wait_finished(10)
    assert [group.end(), wire.end()] == [0, 0]
    counters = {"a guest": [group], "the wire": [wire], "all": [group, wire]}[to]
    for stations in counters:
        assert stations.counters()["strange"] > FORGED / 100
        assert stations.counters()["foreign"] == 0
    assert mux.drops("attacker")[SPOOFED] > FORGED / 100


def test_a_guest_sets_its_own_addresses_only(rig):
    mux = Mux(rig, [{"name": "attacker", "macs": [mac(0), mac(1)]}, {"name": "a", "macs": [mac(2)]}])
    guest = attack(rig, mux)
    assert guest.ask(f"set_mac {mac(1)}") == ["0"]
    assert guest.ask(f"set_mac {mac(2)}") == ["11"]  # VDPDK_ANSWER_DENIED


class Log:
    """Lines that the daemon writes meanwhile, a second and guest."""

    def __init__(self, mux, n_guests):
        self.mux, self.n_guests = mux, n_guests
        mux.program.pump(0)
        self.begin, self.since = len(mux.program.said), time.monotonic()

    def check(self):
        while self.mux.program.pump(0.1):
            if time.monotonic() > self.since + 1:
                break
        seconds = max(time.monotonic() - self.since, 1)
        lines = self.mux.program.said[self.begin:].count(b"\n")
        # What may be said at once comes on top.
        assert lines <= self.n_guests * (10 * seconds + 20), f"{lines} lines in {seconds:.1f} s"


def test_broadcast_storms_are_held_to_their_budget(rig):
    mux = Mux(rig, [{"name": "attacker", "floods_max": 2000}, "a", "b", "c"])
    bystanders = Bystanders(rig, mux, ["a", "b", "c"], known=[mac(0)])
    log = Log(mux, 1)
    begin = time.monotonic()
    attack(rig, mux, order=f"{BROADCAST} {mac(0)} 60 1")
    wait_until(lambda: mux.drops("attacker").get("from_guest_drop_floods", 0) > 100_000, "a storm",
               60)
    bystanders.go_on()
    mux.ask("/nicmux/guests")
    state = mux.guest("attacker")
    passed = state["from_guest_frames"] - state["from_guest_drop_floods"]
    assert passed <= 2000 * (time.monotonic() - begin) + 200
    log.check()
    bystanders.check()


class Flood(threading.Thread):
    """Messages to a guest's socket, one after the other, until it ends."""

    def __init__(self, path, data, reads):
        super().__init__(daemon=True)
        self.client = vu.Client(path)
        self.data = data
        self.reads = reads
        self.ended = threading.Event()
        self.sent = 0
        self.start()

    def run(self):
        while not self.ended.is_set() and self.client.send(self.data):
            self.sent += 1
            if self.reads:
                self.client.receive()

    def end(self):
        self.ended.set()
        self.join(10)
        self.client.close()


def write_register(offset, value):
    body = offset.to_bytes(8, "little") + (0).to_bytes(4, "little") + (4).to_bytes(4, "little")
    return vu.message(vu.REGION_WRITE, body + value.to_bytes(4, "little"), flags=vu.NO_REPLY)


def test_doorbells_messages_and_reconnects_of_half_of_the_guests_hold_nobody_up(rig):
    names = ["doorbells", "doorbells2", "messages", "resets", "comes", "a", "b", "c", "d", "e"]
    mux = Mux(rig, names)
    bystanders = Bystanders(rig, mux, names[5:])
    log = Log(mux, 5)
    def path(name):
        return mux.guests[name]["path"]
    floods = [Flood(path("doorbells"), write_register(0x100, 0) * 50, False),
              Flood(path("doorbells2"), write_register(0x30, 3) * 50, False),
              Flood(path("messages"), vu.message(vu.GET_INFO, bytes(16)), True),
              Flood(path("resets"), vu.message(vu.RESET), True)]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        vu.Client(path("comes")).close()
        mux.program.pump(0)
    for flood in floods:
        assert flood.sent > 100
        flood.end()
    log.check()
    bystanders.check()


CAPTURE = """
import socket, sys, time
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind((sys.argv[1], 0))
s.settimeout(0.2)
print("listening", flush=True)
end = time.monotonic() + float(sys.argv[2])
seen = set()
while time.monotonic() < end:
    try:
        frame = s.recv(2048)
    except TimeoutError:
        continue
    if frame[12:14] == b"\\x88\\xb6" and len(frame) < 1000:
        seen.add(frame)
for frame in seen:
    print(frame.hex())
"""


def test_short_frames_are_padded_with_zeros_and_with_nothing_else(rig):
    """The uplink's buffers are full of something else before."""
    wire = Wire(rig)
    try:
        mux = Mux(rig, ["attacker"], device="net_tap0,iface=nmxwire", netns=wire.name,
                  buffers=1024, ring=64)
        wire.set_up("nmxwire", "10.9.0.1/24")
        attacker = attack(rig, mux, order=f"{mac(0, 1)} {mac(0)} 1514 170")
        wait_until(lambda: mux.wire()["to_uplink_frames"] > 5000, "poison")
        attacker.ask("quiet")
        for length in (14, 15, 37, 59, 60, 61):
            capture = rig.program("capture", ["ip", "netns", "exec", wire.name, "/usr/bin/python3",
                                              "-c", CAPTURE, "nmxwire", "1"])
            capture.expect("listening")
            attacker.ask(f"send {mac(0, 1)} {mac(0)} {length} 85")
            assert capture.wait() == 0
            attacker.ask("quiet")
            frames = capture.text().split("listening\n")[1].split()
            head = bytes.fromhex(mac(0, 1).replace(":", "") + mac(0).replace(":", "") + "88b6")
            wanted = head + b"\x55" * (length - len(head)) + bytes(max(60 - length, 0))
            assert frames == [wanted.hex()]
    finally:
        wire.remove()


def test_flows_for_queues_that_arent_started_go_to_the_first(rig):
    """Three queues granted, two started: all flows arrive, on both."""
    mux = Mux(rig, [{"name": "a", "queues": 3}, {"name": "b", "macs": [mac(1)]}])
    receiver = rig.testpmd("guest", [mux.vdev("a", 0)],
                           ["--forward-mode=rxonly", "--auto-start", "--rxq=2", "--txq=2"])
    mux.wait_linked("a")
    sender = rig.testpmd("guest", [mux.vdev("b", 0)],
                         ["--forward-mode=txonly", "--txonly-multi-flow",
                          f"--eth-peer=0,{mac(0)}", "--auto-start"])
    mux.wait_linked("b")
    wait_until(lambda: mux.guest("a")["to_guest_frames"] > 20_000, "frames")
    sender.command("stop")
    assert "to_guest_drop_no_queue" not in mux.drops("a")
    stats = receiver.xstats()
    # Both may be as full as they get: sender and receiver take turns on a CPU.
    assert stats["rx_q0_packets"] >= stats["rx_q1_packets"] > 1000


def fill_pipe(writer):
    """Not by its own open file: whoever else has that would be made non-blocking, too."""
    fd = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    for size in (4096, 1):
        try:
            while True:
                os.write(fd, b"-" * size)
        except BlockingIOError:
            pass
    os.close(fd)


def test_a_log_that_nobody_reads_holds_nobody_up(rig):
    """The daemon's standard error is a full pipe; guests come and go, each worth a line."""
    mux = Mux(rig, ["a", "b"])
    assert mux.end() == 0
    reader, writer = os.pipe()
    daemon = subprocess.Popen([*mux.argv], stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
    try:
        said = b""
        while b"nicmuxd: ready" not in said:
            said += os.read(reader, 65536)
        fill_pipe(writer)
        os.close(writer)
        steady = rig.light_guest("b")
        for _ in range(5):
            guest = rig.light_guest("a")
            steady.ask("state", 2)
            guest.kill()
            rig.forget(guest)
        # There is room again: the next line comes, and before it how many didn't.
        os.set_blocking(reader, False)
        deadline = time.monotonic() + 20
        while b"log lines were lost" not in said and time.monotonic() < deadline:
            guest = rig.light_guest("a")
            guest.kill()
            rig.forget(guest)
            time.sleep(0.2)
            if select.select([reader], [], [], 0)[0]:
                said += os.read(reader, 65536)
        assert b"log lines were lost" in said
        daemon.terminate()
        assert daemon.wait(10) == 0
    finally:
        daemon.kill()
        os.close(reader)
