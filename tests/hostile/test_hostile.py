# SPDX-License-Identifier: BSD-3-Clause
"""
Hostile clients, each with a bystander.

The host has two guest ports. One is attacked, while a flood of frames goes to it; at the other a
well-behaved guest reflects a windowed, audited stream. Behind each attack: the bystander's stream
went on all the time and is clean, the attacked port serves the next client at once, and the host has
as many descriptors and mappings as before.
"""

import os
import signal
import socket
import struct
import threading
import time

import pytest

import vfio_user as vu
from testpmd import wait_until

STREAM = {"window": 32, "sizes": "60-1514", "segments": "1-3", "flows": 16}
# The bystander's stream may pause for as long as the scheduler of a busy machine takes, not for a
# client's deadline, the shortest of which is two seconds.
PAUSE_MAX = 1.0


class Bystander(threading.Thread):
    """Watches the other guest: the longest pause of its stream, and of an answer to its driver."""

    def __init__(self, rig, guest):
        super().__init__(daemon=True)
        self.rig = rig
        self.guest = guest
        self.ended = threading.Event()
        self.longest = 0.0
        self.longest_answer = 0.0
        self.start()

    def run(self):
        last, since = self.rig.report("bystander").acknowledged, time.monotonic()
        while not self.ended.wait(0.01):
            now = self.rig.report("bystander").acknowledged
            if now != last:
                last, since = now, time.monotonic()
            self.longest = max(self.longest, time.monotonic() - since)
            begin = time.monotonic()
            self.guest.ask("state")  # reads a register
            self.longest_answer = max(self.longest_answer, time.monotonic() - begin)

    def check(self):
        self.ended.set()
        self.join()
        report = self.rig.report("bystander")
        assert self.longest < PAUSE_MAX, f"the bystander's stream paused for {self.longest:.2f} s"
        assert self.longest_answer < PAUSE_MAX, f"its device answered in {self.longest_answer:.2f} s"
        wrong = [line for line in report.verdict() if "has not ended" not in line]
        assert wrong == []
        assert report.good > 1000


class Scene:
    """The host, its bystander, and where to attack."""

    def __init__(self, rig):
        self.rig = rig
        self.path = rig.path("attacked")
        self.attackers = []
        self.host = rig.testpmd("host", [
            f"net_vdpdk_host0,path={self.path},queues=2",
            rig.tnic(0, "flood", **{**STREAM, "window": 0, "sizes": "60-9000"}),
            f"net_vdpdk_host1,path={rig.path('calm')},queues=2",
            rig.tnic(1, "bystander", **STREAM)], ["--rxq=2", "--txq=2"])
        self.guest = rig.light_guest("calm", 2)
        self.guest.ask("start")
        self.guest.ask("reflect")
        # A first client, so that what is allocated once is there before the count.
        self.attack_once()
        self.host.command("start")
        wait_until(lambda: rig.report("bystander").acknowledged > 1000, "the bystander's stream")
        self.fds, self.maps = self.host.count_fds(), self.host.count_maps()
        self.bystander = Bystander(rig, self.guest)

    def attack_once(self):
        client = vu.Client(self.path)
        client.close()
        wait_until(lambda: not self.is_busy(), "the port to be free")

    def is_busy(self):
        """True while the attacked port has a client: another one is closed at once."""
        client = vu.Client(self.path, hello=False)
        client.send(vu.version())
        busy = client.receive() is None
        client.close()
        return busy

    def client(self, **keys):
        """An attacker that speaks the protocol, or some of it."""
        self.attackers.append(vu.Client(self.path, **keys))
        return self.attackers[-1]

    def light_guest(self, reflect=True):
        """An attacker that has a device first."""
        guest = self.rig.light_guest("attacked", 2)
        self.attackers.append(guest)
        guest.ask("start")
        if reflect:
            guest.ask("reflect")
            wait_until(lambda: int(guest.ask("count")[0]) > 100, "traffic")
        return guest

    def check(self):
        for attacker in self.attackers:
            attacker.close()
            if attacker in self.rig.programs:
                attacker.kill()
        wait_until(lambda: not self.is_busy(), "the port to be free")
        guest = self.light_guest()
        assert guest.ask("count")[2] == "0"
        guest.kill()
        self.bystander.check()
        assert self.guest.ask("count")[2] == "0"
        wait_until(lambda: self.host.count_fds() == self.fds, "as many descriptors as before")
        wait_until(lambda: abs(self.host.count_maps() - self.maps) <= 2, "as many mappings")


@pytest.fixture
def scene(rig):
    scene = Scene(rig)
    yield scene
    scene.check()


# --- The stream ---

@pytest.mark.parametrize("size", [0, 1, 15, 65536 + 33, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF])
def test_bad_size_in_a_header(scene, size):
    for hello in (False, True):
        client = scene.client(hello=hello)
        client.send(vu.message(vu.REGION_READ if hello else vu.VERSION, b"x" * 32, size=size))
        assert client.receive() in (None, (vu.REGION_READ if hello else vu.VERSION, 22, b""))
        assert client.is_closed(2)


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


@pytest.mark.parametrize("name", JSON)
def test_bad_json(scene, name):
    client = scene.client(hello=False)
    client.send(vu.version(JSON[name]))
    assert client.receive() in (None, (vu.VERSION, 22, b""))
    assert client.is_closed(2)


def test_deep_json_under_an_unknown_key_is_nothing_to_us(scene):
    client = scene.client(hello=False)
    client.send(vu.version(b'{"a":' * 500 + b"1" + b"}" * 500 + b"\0"))
    assert client.receive()[1] == 0


@pytest.mark.parametrize("cut", [0, 1, 8, 15, 16, 17, 40])
def test_half_a_message(scene, cut):
    """A client that stops in the middle is thrown out by its deadline; one between messages isn't."""
    client = scene.client(hello=cut > 0)
    whole = vu.message(vu.REGION_WRITE, struct.pack("<QII", 0, 7, 24) + b"z" * 24)
    client.send(whole[:cut])
    assert not client.is_closed(1)
    assert scene.is_busy()
    assert client.is_closed(7)


def test_client_that_never_reads(scene):
    client = scene.client()
    read = vu.message(vu.REGION_READ, struct.pack("<QII", 0, 7, 4096))
    client.socket.setblocking(False)
    sent = 0
    try:
        while True:
            sent += client.socket.send(read)
    except BlockingIOError:
        pass
    assert sent > 0
    assert client.is_closed(10)


def test_flood_of_descriptors(scene):
    for _ in range(20):
        client = scene.client()
        fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(100)]
        client.send(vu.message(vu.RESET), fds)
        for fd in fds:
            os.close(fd)
        assert client.is_closed(2)
        client.close()


MAP = struct.pack("<IIQQQ", 32, 3, 0, 1 << 32, 4096)
ONE_VECTOR = struct.pack("<IIIII", 20, 0x24, 2, 0, 1)


def test_descriptors_of_every_wrong_kind(scene):
    pipe = os.pipe()
    kinds = [os.open("/dev/zero", os.O_RDWR), os.open("/", os.O_RDONLY), pipe[0], pipe[1],
             os.open("/proc/self/status", os.O_RDONLY), socket.socket().detach()]
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
    scene.host.process.send_signal(signal.SIGSTOP)
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
    scene.host.process.send_signal(signal.SIGCONT)
    assert target.is_closed(2)
    client.close()
    # The port itself waits for as long as its client made it.
    wait_until(lambda: not scene.is_busy(), "the port to be free")
    assert time.monotonic() - begin > 1.5
    for peer in peers:
        peer.close()


def test_storm_of_posted_messages(scene):
    """Doorbells and resets as fast as the socket takes them."""
    client = scene.client()
    doorbell = vu.message(vu.REGION_WRITE, struct.pack("<QIII", 0x100, 0, 4, 0), vu.NO_REPLY)
    control = vu.message(vu.REGION_WRITE, struct.pack("<QIII", 0x30, 0, 4, 3), vu.NO_REPLY)
    status = vu.message(vu.REGION_WRITE, struct.pack("<QIII", 0x08, 0, 4, 0), vu.NO_REPLY)
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert client.send((doorbell + control + status) * 50)


# --- Memory ---

@pytest.mark.parametrize("part", ["buffers", "rings", "area"])
def test_unmap_under_load(scene, part):
    guest = scene.light_guest()
    for _ in range(20):
        micros = int(guest.ask(f"unmap {part}")[0])
        assert micros < 1000000
        guest.ask(f"map {part}")
        guest.ask("pause")
        guest.ask("reset")
        guest.ask("start")
        guest.ask("reflect")


def test_unmap_all_under_load(scene):
    guest = scene.light_guest()
    guest.ask("unmap buffers")
    wait_until(lambda: guest.ask("state")[1:] != ["1/0", "1/0"], "a queue in error")
    # Reason 4: a buffer outside the memory that is mapped.
    assert "2/4" in guest.ask("state")[1:]


def test_unmapped_ring_stops_its_queue(scene):
    guest = scene.light_guest()
    guest.ask("unmap rings")
    wait_until(lambda: scene.host.xstats(0)["guest_queue_faults"] >= 2, "faults")


def test_memory_truncated_under_load(scene):
    guest = scene.light_guest()
    # Its own accesses would end it: it sleeps while its memory goes.
    guest.process.send_signal(signal.SIGSTOP)
    files = [f"/proc/{guest.pid}/fd/{name}" for name in os.listdir(f"/proc/{guest.pid}/fd")]
    memory = [path for path in files if "nmx-test-guest" in os.readlink(path)]
    assert len(memory) == 1
    os.truncate(memory[0], 0)
    wait_until(lambda: scene.host.xstats(0)["guest_resets"] > 1 and not scene.is_busy(),
               "the end of the session")


# --- Rings ---

def test_avail_bits_flipped_under_load(scene):
    guest = scene.light_guest()
    for _ in range(5):
        guest.ask("flip")
        time.sleep(0.4)
        guest.ask("unflip")
        guest.ask("pause")
        guest.ask("reset")
        guest.ask("start")
        guest.ask("reflect")


@pytest.mark.parametrize("command,reason", [
    ("submit 0x100000000 60 1", 0),  # good, for comparison
    ("submit 0x100000000 0 1", 3),
    ("submit 0x100000000 13 1", 3),
    ("submit 0x100000000 9729 1", 3),
    ("submit 0x100000000 60 0x8001", 1),
    ("submit 0x100000000 60 5", 1),
    ("submit 0x100000000 60 3", 2),  # NEXT, and nothing follows
    ("submit 0x1000 60 1", 4),
    ("submit 0xffffffffffffffff 60 1", 4),
    ("submit 0xffffffffffffffc5 60 1", 4),
    ("submit 0x0fffffffe 60 1", 4),  # begins before the first map
])
def test_bad_tx_descriptor(scene, command, reason):
    guest = scene.light_guest(reflect=False)
    guest.ask(command)
    if reason == 0:
        wait_until(lambda: scene.host.xstats(0)["from_guest_frames"] > 0, "the good frame")
        assert guest.ask("state")[2] == "1/0"
        return
    wait_until(lambda: guest.ask("state")[2] == f"2/{reason}", f"reason {reason}")
    assert guest.ask("state")[0] == "0x3"  # the device runs on
    guest.ask("reset")
    guest.ask("start")
    assert guest.ask("state")[2] == "1/0"


@pytest.mark.parametrize("command,reason", [
    ("post 0x100000000 0 1", 3),
    ("post 0x100000000 2048 3", 1),
    ("post 0x100000000 2048 0x1001", 1),
    ("post 0xdead0000 2048 1", 4),
    ("post 0xfffffffffffff800 65535 1", 4),
])
def test_bad_rx_descriptor(scene, command, reason):
    guest = scene.light_guest(reflect=False)
    # The good buffers posted before go first; then it is this one's turn.
    guest.ask("reflect")
    wait_until(lambda: int(guest.ask("count")[0]) > 100, "traffic")
    guest.ask("pause")
    guest.ask(command)
    wait_until(lambda: guest.ask("state")[1] == f"2/{reason}", f"reason {reason}")


def test_saturated_doorbell_of_a_dead_guest(scene):
    """A full eventfd is no reason for the next guest's doorbell to wake nobody."""
    guest = scene.light_guest(reflect=False)
    guest.ask("saturate")
    guest.kill()


def test_clients_in_quick_succession(scene):
    for _ in range(200):
        scene.client(hello=False).close()
