# SPDX-License-Identifier: BSD-3-Clause
"""The guest's driver as a DPDK program sees it."""

import os
import re

import pytest

from rig import ROOT
from testpmd import wait_until


def test_mbufs_out_of_the_ordinary(rig):
    """Copied where the host can't reach them, dropped and counted where they make no frame."""
    rig.host(args=["--auto-start"])
    odd = rig.program("oddtx", [os.path.join(ROOT, "build/bin/nmx-oddtx"),
                                *rig.eal("guest", [f"net_vdpdk0,path={rig.path('g0')}"])])
    assert odd.wait(60) == 0
    verdicts = dict(re.findall(r"^([a-z-]+) (same|changed|dropped|not consumed|refused|accepted)$",
                               odd.text(), re.M))
    assert verdicts == {
        "plain": "same", "external": "same", "clone": "same", "half-external": "same",
        "zero-length": "dropped", "hollow": "dropped", "runt": "dropped", "centipede": "dropped",
        "plain-again": "same", "external-heap": "same", "external-heap-rx": "refused"}
    stats = {name: int(value) for name, value in re.findall(r"^(\w+) (\d+)$", odd.text(), re.M)}
    assert stats["tx_bounced"] == 2
    assert stats["tx_drop_zero_length"] == 2
    assert stats["tx_drop_malformed"] == 2
    assert stats["leaked"] == 0
    # The pool that can't be received into is named.
    assert "pool foreign" in odd.text()


def test_testpmd_asks_for_everything(rig):
    """Each command is answered, or refused with a reason; none is without an effect it claims."""
    rig.host(args=["--auto-start"])
    guest = rig.guest()
    wait_until(guest.link_is_up, "link up")
    info = guest.command("show port info 0")
    assert "Driver name: net_vdpdk" in info
    assert "Maximum configurable length of RX packet: 9728" in info
    assert "Max possible number of RXDs per queue: 4096" in info
    mac = "02:11:22:33:44:55"
    guest.command(f"mac_addr set 0 {mac}")
    assert f"MAC address: {mac}" in guest.command("show port info 0")
    guest.command("port stop 0")
    guest.command("port config mtu 0 5000")
    guest.command("port start 0")
    assert "MTU: 5000" in guest.command("show port info 0")
    for command in ("set promisc 0 on", "set allmulti 0 on", "mac_addr add 0 02:00:00:00:00:09",
                    "port config all rss ip", "flow list 0", "rx_vlan add 5 0"):
        answer = guest.command(command)
        assert "PANIC" not in answer and "Segmentation" not in answer
    refused = guest.command("flow create 0 ingress pattern eth / end actions drop / end")
    assert "not implemented" in refused.lower() or "not supported" in refused.lower()
    guest.command("clear port stats 0")
    guest.command("clear port xstats 0")


# testpmd's commands about a port and its queues at rest, and what DPDK's documents have them
# answer: testpmd_funcs, sections "show port" and "set"; ethdev's rte_eth_*_descriptor_status().
QUESTIONS = [
    ("show rxq info 0 0", r"RX scattered packets: on(?s:.*)Number of RXDs: 256"),
    ("show txq info 0 0", r"Number of TXDs: 512"),
    ("show rxq info 0 0", r"Burst mode: Scalar, vDPDK ring"),
    ("show txq info 0 0", r"Burst mode: Scalar, vDPDK ring"),
    ("show port 0 rxq 0 desc 0 status", r"Desc status = AVAILABLE"),
    ("show port 0 rxq 0 desc 255 status", r"Desc status = AVAILABLE"),
    ("show port 0 rxq 0 desc 256 status", r"Invalid input"),
    ("show port 0 txq 0 desc 0 status", r"Desc status = DONE"),
    ("show port 0 txq 0 desc 511 status", r"Desc status = DONE"),
    ("show port 0 rxq 0 desc used count", r"Used desc count = 0"),
    ("show port 0 ptypes", r"L2 ptypes unsupported"),
    ("show port 0 macs", r"Number of MAC address added: 1"),
    ("set promisc 0 off", r"Operation not supported"),
    ("show port info 0", r"Promiscuous mode: enabled"),
    ("show port info 0", r"Allmulticast mode: enabled"),
]


def test_testpmd_asks_about_queues(rig):
    rig.host(args=["--auto-start"])
    guest = rig.guest(args=["--rxd=256", "--txd=512"])
    wait_until(guest.link_is_up, "link up")
    for command, answer in QUESTIONS:
        assert re.search(answer, guest.command(command)), command


def test_descriptors_tell_where_frames_are(rig):
    """Frames that nobody has received yet are counted, and gone when somebody has."""
    host = rig.host(args=["--forward-mode=txonly"])
    guest = rig.guest(args=["--rxd=256", "--forward-mode=rxonly"])
    wait_until(guest.link_is_up, "link up")
    host.command("start tx_first 2")
    host.command("stop")
    answer = guest.command("show port 0 rxq 0 desc used count")
    used = int(re.search(r"Used desc count = (\d+)", answer).group(1))
    assert 0 < used <= 256
    assert "DONE" in guest.command("show port 0 rxq 0 desc 0 status")
    assert "DONE" in guest.command(f"show port 0 rxq 0 desc {used - 1} status")
    guest.command("start")
    wait_until(lambda: guest.stats(0)["RX-packets"] >= used, "frames")
    guest.command("stop")
    assert "AVAILABLE" in guest.command("show port 0 rxq 0 desc 0 status")


def run_proc_info(rig, primary, plugin, *options):
    """What a secondary process of `primary` tells."""
    prefix = primary.argv[primary.argv.index("--file-prefix") + 1]
    second = rig.program("second", ["dpdk-proc-info", *rig.plugin(plugin), "--file-prefix", prefix,
                                    "--no-pci", "--", *options])
    assert second.wait(30) == 0
    return second.text()


def read_numbers(text):
    """`name: number` by lines or columns; the first of a name, as sums come before queues."""
    found = re.findall(r"([\w-]+):\s+(\d+)\b", text)
    return {name: int(number) for name, number in reversed(found)}


@pytest.mark.parametrize("side", ["host", "guest"])
def test_secondary_process_sees_the_counters(rig, side):
    host = rig.host(rig.tnic(window=32, frames=5000), queues=2)
    guest = rig.guest(queues=2, args=["--auto-start"])
    primary, plugin = (host, "vdpdk_host") if side == "host" else (guest, "vdpdk")
    if "--no-huge" in primary.argv:
        pytest.skip("EAL has no secondary processes without huge pages")
    host.command("start")
    rig.check_stream()
    host.command("stop")
    xstats = primary.xstats(0)
    seen = read_numbers(run_proc_info(rig, primary, plugin, "--xstats"))
    assert {name: seen.get(name) for name in xstats} == xstats
    assert xstats["guest_requests" if side == "host" else "sessions"] > 0
    seen = read_numbers(run_proc_info(rig, primary, plugin, "--stats"))
    assert seen["RX-packets"] == xstats["rx_good_packets"] >= 5000
    assert seen["TX-bytes"] == xstats["tx_good_bytes"] > 0
    assert "device" in run_proc_info(rig, primary, plugin, "--show-port").lower()
    # It goes without a trace.
    host.command("start")
    assert primary.process.poll() is None


def test_mac_of_the_guest_survives_the_host(rig):
    """What the program has set is set again with every host that comes."""
    host = rig.host(devargs=",mac=02:aa:aa:aa:aa:01")
    guest = rig.guest()
    assert "02:AA:AA:AA:AA:01" in guest.command("show port info 0")
    guest.command("mac_addr set 0 02:bb:bb:bb:bb:02")
    host.kill()
    wait_until(lambda: not guest.link_is_up(), "link down")
    rig.host(devargs=",mac=02:aa:aa:aa:aa:03")
    wait_until(guest.link_is_up, "link up again")
    assert "02:BB:BB:BB:BB:02" in guest.command("show port info 0")
