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
    assert "Promiscuous mode: disabled" in guest.command("show port info 0")
    refused = guest.command("flow create 0 ingress pattern eth / end actions drop / end")
    assert "not implemented" in refused.lower() or "not supported" in refused.lower()
    guest.command("clear port stats 0")
    guest.command("clear port xstats 0")


@pytest.mark.parametrize("side", ["host", "guest"])
def test_secondary_process_is_refused(rig, side):
    host = rig.host()
    guest = rig.guest()
    primary = host if side == "host" else guest
    prefix = primary.argv[primary.argv.index("--file-prefix") + 1]
    if "--no-huge" in primary.argv:
        pytest.skip("EAL has no secondary processes without huge pages")
    plugin = "vdpdk_host" if side == "host" else "vdpdk"
    second = rig.program("second", [
        "dpdk-proc-info", *rig.plugin(plugin), "--file-prefix", prefix, "--no-pci", "--",
        "--stats"])
    second.wait(30)
    assert "secondary processes aren't supported yet" in second.text()
    assert primary.process.poll() is None
    assert primary.command("show port summary all")


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
