# SPDX-License-Identifier: BSD-3-Clause
"""
Mapped queues over an ordinary port that the test NIC has made one which posts, holds and misbehaves.

What is on the wire is the kernel's, at the other end of the port. By itself such a port holds no
buffers, or its tags keep it from being mapped (test_uplinks.py).
"""

import os
import subprocess

import pytest

from mux import Wire
from rig import ROOT
from test_mapping import ask_map, start_mapped_host
from test_nic_faults import SAYS_NO_NEWS
from test_uplinks import GIVES, KEEPS
from testpmd import wait_until

CLIENT = os.path.join(ROOT, "tests/e2e/echo_client.py")
NEAR, FAR = "nmx-nic", "nmx-wire"
RING = 256
FRAMES = 3000
LONGEST = 2048  # what a buffer holds
# Frames longer than a page want larger slots of this driver.
AF_PACKET = f"net_af_packet0,iface={NEAR},blocksz=8192,framesz=8192,framecnt=512"
FAULTS = {
    "no-ring": {"ring": 0},
    "small-ring": {"ring": 32, "alloc_fail": 2},
    "rx-shuffled": {"rx_order": "shuffled"},
    "alloc-fails": {"alloc_fail": 3},
    "iommu": {"dma": 64},
    "tx-held": {"tx_ring": 512},
    "tx-shuffled": {"tx_ring": 512, "tx_order": "shuffled"},
    "tx-kept": {"tx_ring": 4096, "tx_keep": "until-stop"},
    "link-flaps": {"flap_ms": 20},
    "all": {"rx_order": "shuffled", "alloc_fail": 3, "tx_ring": 512, "tx_order": "shuffled",
            "flap_ms": 20},
}


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@pytest.fixture
def pair(rig):
    """The port's end is here, the other one in a namespace of its own."""
    wire = Wire(rig)
    wire.run("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
    ip("link", "add", NEAR, "mtu", "9000", "type", "veth", "peer", "name", FAR, "mtu", "9000",
       "netns", wire.name)
    wire.run("ip", "link", "set", FAR, "up")
    # Its own kernel has nothing to say.
    ip("link", "set", NEAR, "addrgenmode", "none", "arp", "off", "up")
    yield wire
    rig.clean_up()
    ip("link", "delete", NEAR)
    wire.remove()


def start(rig, lower, **nic):
    """The program forwards between the guest's port and the last one; the guest swaps addresses."""
    words = [f"{key}={value}" for key, value in {"ring": RING, **nic}.items()]
    host = start_mapped_host(
        rig, ",".join([f"net_tnic0,lower={lower.split(',')[0]}", *words]), [lower], tiny=True,
        args=SAYS_NO_NEWS)
    host.command("port config mtu 0 9000")  # what the guest may send
    guest = rig.guest(args=["--forward-mode=macswap", "--auto-start"])
    wait_until(guest.link_is_up, "the guest's link")
    host.command("start")
    return host


def exchange(wire):
    done = wire.run("/usr/bin/python3", CLIENT, FAR, str(FRAMES), str(LONGEST), check=False,
                    timeout=60)
    assert (done.stderr, done.stdout) == ("", f"{FRAMES} came back\n")


def check_mapped(host, nic):
    """What the NIC was filled with before the guest came is copied, and nothing else."""
    counters = host.xstats(0)
    assert counters["to_guest_frames"] == FRAMES
    assert FRAMES - counters["to_guest_mapped"] <= nic.get("ring", RING)
    assert ask_map(host)["lent"] >= counters["to_guest_mapped"]


@pytest.mark.parametrize("fault", ["none", *FAULTS])
def test_frames_of_the_kernel_are_whole_and_mapped_over_a_nic_with(rig, pair, fault):
    nic = FAULTS.get(fault, {})
    host = start(rig, AF_PACKET, **nic)
    exchange(pair)
    check_mapped(host, nic)
    if nic.get("ring") != 0:
        assert ask_map(host)["uplink"] == GIVES
    assert host.quit() == 0


def test_frames_are_whole_and_mapped_over_pcap(rig, pair):
    host = start(rig, f"net_pcap0,rx_iface_in={NEAR},tx_iface={NEAR}")
    exchange(pair)
    check_mapped(host, {})


@pytest.mark.parametrize("stop", ["refuses", "lies"])
def test_nic_over_a_port_that_keeps_its_buffers_gets_none_of_the_guests(rig, pair, stop):
    host = start(rig, AF_PACKET, stop=stop)
    exchange(pair)
    counters = host.xstats(0)
    assert (counters["to_guest_frames"], counters["to_guest_mapped"]) == (FRAMES, 0)
    assert ask_map(host)["uplink"] == KEEPS


def test_frames_longer_than_a_buffer_are_dropped_and_counted(rig, pair):
    host = start(rig, AF_PACKET)
    done = pair.run("/usr/bin/python3", "-c", f"""
import socket
end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
end.bind(("{FAR}", 0))
for length in ({LONGEST + 1}, 4000, 8000):
    end.send(bytes(12) + bytes.fromhex("88b5") + bytes(length - 14))
""", check=False)
    assert done.stderr == ""
    wait_until(lambda: host.stats(3)["RX-errors"] == 3, "three errors")
    assert host.stats(3)["RX-packets"] == host.xstats(0)["to_guest_frames"] == 0
    exchange(pair)
    assert host.stats(3)["RX-packets"] == FRAMES
    assert host.stats(3)["RX-errors"] == 3


def test_lower_port_may_be_made_with_the_nic(rig, pair):
    host = rig.testpmd("host", [f"net_tnic0,lower=[{AF_PACKET}],ring={RING},tx_ring=512"],
                       ["--forward-mode=macswap"], tiny=True)
    host.command("start")
    exchange(pair)
    assert host.stats(0)["RX-packets"] == FRAMES
    assert host.quit() == 0
