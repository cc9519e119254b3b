# SPDX-License-Identifier: BSD-3-Clause
"""
Open vSwitch on DPDK as the guest: its port is DPDK's virtio-user on a net_iovtee port, and what comes
there it sends back.
"""

import os

import pytest

from openvswitch import OpenVSwitch
from rig import memory_args
from testpmd import wait_until

FORMS = {"split": "mrg_rxbuf=1", "split-plain": "mrg_rxbuf=0", "packed": "packed_vq=1,mrg_rxbuf=1",
         "packed-plain": "packed_vq=1,mrg_rxbuf=0"}
STREAM = {"window": 32, "rate": 20_000, "sizes": "60-1500", "flows": 16}
OTHER = {"window": 16, "rate": 20_000, "sizes": "60-1500", "flows": 8}

pytestmark = pytest.mark.skipif(
    not OpenVSwitch.is_there(), reason="no Open vSwitch; apt-get install openvswitch-switch-dpdk")


class Guest(OpenVSwitch):
    """A switch with one port, which reflects."""

    def start(self, form):
        port = f"net_virtio_user7,path={self.rig.path('g0')},queues=1,queue_size=1024,{form}"
        self.take_steps(self.list_database_steps() + self.list_switch_steps())
        self.run(*self.vsctl("add-br", "br", "--", "set", "bridge", "br",
                             "datapath_type=netdev"))
        self.reflect()
        self.run(*self.vsctl("add-port", "br", "g0", "--", "set", "Interface", "g0", "type=dpdk",
                             f'options:dpdk-devargs="{port}"', "options:n_rxq_desc=1024",
                             "options:n_txq_desc=1024"))
        self.check_ports(["g0"])

    def reflect(self):
        self.run("ovs-ofctl", "add-flow", f"unix:{self.rig.path('br.mgmt')}", "actions=in_port")

    def restart(self):
        """What it had is in its database, but for rules."""
        bridge = self.rig.path("br.mgmt")
        os.unlink(bridge)
        self.take_steps(self.list_switch_steps())
        wait_until(lambda: os.path.exists(bridge), bridge, 30)
        self.reflect()

    def plugins_for_one_file(self):
        return [] if memory_args() else ["--single-file-segments"]


@pytest.fixture
def guest(rig):
    guest = Guest(rig)
    guest.plugins = guest.plugins_for_one_file()
    yield guest
    guest.end()


def start_host(rig, stream):
    """The switch's port and its stream, and another guest's, testpmd's. It doesn't forward yet."""
    host = rig.testpmd("host", [
        f"net_iovtee0,iface={rig.path('g0')}", rig.tnic(0, **stream),
        f"net_iovtee1,iface={rig.path('g1')}", rig.tnic(1, "other", **OTHER)])
    rig.kind = "split"
    rig.guest(socket="g1", args=["--auto-start"])
    wait_until(lambda: host.link_is_up(2), "the other guest's link")
    return host


def wait_traffic(rig, report="stream", n=1000):
    before = rig.report(report).received
    wait_until(lambda: rig.report(report).received > before + n, "its stream to go on", 30)


def check_clean(rig, report):
    wrong = [line for line in rig.report(report).verdict() if "has not ended" not in line]
    assert wrong == []


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_switch_as_a_guest_loses_nothing(rig, guest, form):
    host = start_host(rig, STREAM)
    guest.start(form)
    wait_until(lambda: host.link_is_up(0), "the switch's link")
    host.command("start")
    wait_traffic(rig, n=20_000)
    check_clean(rig, "stream")
    check_clean(rig, "other")


def test_switch_that_is_killed_and_comes_again(rig, guest):
    # With a window it would wait for what is lost meanwhile.
    host = start_host(rig, {**STREAM, "window": 0})
    guest.start(FORMS["packed"])
    host.command("start")
    for sessions in (1, 2, 3):
        wait_traffic(rig)
        guest.daemon.kill()
        rig.forget(guest.daemon)
        guest.restart()
        wait_until(lambda n=sessions: host.xstats(0)["guest_sessions"] > n, "the next session", 30)
    check_clean(rig, "other")
    wait_traffic(rig, "other")
