# SPDX-License-Identifier: BSD-3-Clause
"""
What lies around a posted buffer is the guest's own: nothing but the buffer is ever written to.

The guest is the attackers' driver, which posts where it likes: a pattern is in front of each
buffer and behind it.
"""

import subprocess

import driver as d
import pytest
import virtio_driver as vd
from test_mapping import FLOOD, start_mapped_host
from testpmd import wait_until
from test_uplinks import interface, strip_tags  # noqa: F401  (a fixture)

N, STEP, FRONT, LENGTH = 128, 4096, 1024, 2048
PATTERN = b"\xc5"

# Frames on the other end of the pair, with a tag and without, short ones and ones that no buffer holds.
SEND = """
import socket, sys
end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
end.bind((sys.argv[1], 0))
for i in range(1000):
    size = (60, 200, 1514, 4000)[i % 4]
    tag = bytes.fromhex("81006005") if i % 8 < 4 else b""
    head = bytes.fromhex("ffffffffffff020000000001") + tag + bytes.fromhex("88b5")
    end.send(head + bytes(size - len(head)))
"""


def post(client):
    """All buffers, each in the midst of its pattern."""
    client.memory[d.BUFFERS:d.BUFFERS + N * STEP] = PATTERN * (N * STEP)
    for i in reversed(range(N)):
        client.put(d.RX, i, d.BASE + d.BUFFERS + i * STEP + FRONT, LENGTH)


def count_answered(client):
    return sum(not client.get(d.RX, i)[3] & d.AVAIL for i in range(N))


def check_patterns(client, header_bytes=0):
    front = FRONT - header_bytes
    for i in range(N):
        at = d.BUFFERS + i * STEP
        assert client.memory[at:at + front] == PATTERN * front
        assert client.memory[at + FRONT + LENGTH:at + STEP] == PATTERN * (STEP - FRONT - LENGTH)


class VirtioGuest(vd.Driver):
    """The same with virtio's rings, and what the test asks of it."""

    def __init__(self, path, packed):
        super().__init__(path, packed)
        self.make_shared()
        self.answered = 0
        self.memory[d.BUFFERS:d.BUFFERS + N * STEP] = PATTERN * (N * STEP)
        for index in range(2):
            self.start_ring(index)
        for i in range(N):
            self.rings[0].hand_over([(vd.BASE + d.BUFFERS + i * STEP + FRONT - vd.HEADER_BYTES,
                                      LENGTH + vd.HEADER_BYTES, vd.WRITE)])

    def count_answered(self):
        self.answered += self.rings[0].count_used()
        return self.answered


def start_guest_of(rig, kind):
    """And how to count its answers."""
    if kind == "vdpdk":
        client = start_guest(rig)
        return client, lambda: count_answered(client)
    client = VirtioGuest(rig.path("g0"), kind == "packed")
    return client, client.count_answered


def start_guest(rig):
    client = d.Driver(rig.path("g0")).make_running()
    for direction in (d.RX, d.TX):
        assert client.request(d.QUEUE_START, d.pack_start(direction)) == d.OK
    post(client)
    return client


@pytest.mark.parametrize("ring", [0, 32, 64])
def test_nic_writes_to_buffers_only(rig, kind, ring):
    host = start_mapped_host(rig, rig.tnic(ring=ring, **{**FLOOD, "sizes": "60-2040"}), tiny=True)
    client, count = start_guest_of(rig, kind)
    host.command("start")
    wait_until(lambda: count() == N, "frames")
    assert host.xstats(0)["to_guest_mapped"] > 0
    host.command("stop")
    check_patterns(client, 0 if kind == "vdpdk" else vd.HEADER_BYTES)
    client.close()


@pytest.mark.parametrize("strips", [False, True])
def test_tags_and_frames_that_are_too_long_stay_out_of_the_guest(rig, interface, strips):  # noqa: F811
    """This driver puts a tag back in front of where its frame lies, unless it is to strip it."""
    for end in (interface, "nmx-down"):
        subprocess.run(["ip", "link", "set", end, "mtu", "9000"], check=True)
    host = start_mapped_host(rig, f"net_af_packet0,iface={interface}", tiny=True)
    if strips:
        strip_tags(host)
    client = start_guest(rig)
    host.command("start")
    subprocess.run(["python3", "-c", SEND, "nmx-down"], check=True)
    wait_until(lambda: count_answered(client) == N, "frames")
    host.command("stop")
    check_patterns(client)
    assert (host.xstats(0)["to_guest_mapped"] > 0) == strips
    client.close()
