# SPDX-License-Identifier: BSD-3-Clause
"""
Switches side by side: nicmuxd, and Open vSwitch on DPDK without systemd.

Each has CPU 0 for its data path. On CPU 1 is one testpmd with the guests' ports.

    wire   net_tnic, a port of the switch, makes frames for the guest, which swaps their addresses;
           the switch brings them back to net_tnic, which checks every byte
    ew     two guests in one program send each other the same frames round and round
"""

import os
import re
import shutil
import subprocess
import time

from sides import LOGS, TESTPMD, Vhost, common, memory_args

from mux import Mux
from rig import CPUS, Rig
from testpmd import Program, Testpmd, wait_until

GUESTS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
WIRE = "02:00:00:00:00:01"
# Frames that two guests have under way, in bursts of 32.
EW_BURSTS = 8


class Failure(Exception):
    """A switch or what it needs can't be had."""


class Nicmuxd:
    """The daemon, with all its checks."""

    name = "nicmuxd"
    form = ""

    def __init__(self, rig, wire, n_guests):
        self.mux = Mux(rig, [{"name": f"g{i}", "macs": [GUESTS[i]]} for i in range(n_guests)],
                       device=wire, eal=rig.plugin("tnic"))

    def vdevs(self, n_guests):
        args = self.mux.rig.plugin("vdpdk")
        for i in range(n_guests):
            args += ["--vdev", self.mux.vdev(f"g{i}", i)]
        return args

    def read_cycles(self):
        """(busy cycles, frames) so far."""
        answer = self.mux.ask("/nicmux/worker")
        return answer["busy_cycles"], answer["frames"]

    def wait_ready(self):
        pass

    def end(self):
        pass


class OpenVSwitch:
    """ovsdb-server and ovs-vswitchd of the distribution, in the rig's folder."""

    name = "ovs-dpdk"
    BINARY = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
    form = Vhost.BEST

    def __init__(self, rig, wire, n_guests):
        if not os.path.exists(self.BINARY):
            raise Failure("Open vSwitch isn't there; apt-get install openvswitch-switch-dpdk")
        self.rig = rig
        self.environment = dict(os.environ, OVS_RUNDIR=rig.folder, OVS_LOGDIR=rig.folder,
                                OVS_DBDIR=rig.folder)
        self.database = f"unix:{rig.path('db.sock')}"
        self.start_database()
        self.start_switch()
        self.add_ports(wire, n_guests)

    def run(self, *argv):
        done = subprocess.run(argv, env=self.environment, check=False, capture_output=True,
                              text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"{' '.join(argv)}: {done.stderr}")
        return done.stdout

    def vsctl(self, *argv):
        return self.run("ovs-vsctl", f"--db={self.database}", *argv)

    def appctl(self, *argv):
        return self.run("ovs-appctl", "-t", self.rig.path("vswitchd.ctl"), *argv)

    def start_database(self):
        self.run("ovsdb-tool", "create", self.rig.path("conf.db"), self.SCHEMA)
        self.rig.add(Program(
            ["ovsdb-server", self.rig.path("conf.db"), f"--remote=p{self.database}",
             f"--unixctl={self.rig.path('db.ctl')}"], self.rig.log("ovsdb"),
            environment=self.environment))
        wait_until(lambda: os.path.exists(self.rig.path("db.sock")), "ovsdb-server")

    def start_switch(self):
        extra = ["--no-pci", "--file-prefix", f"{self.rig.prefix}-ovs", *self.rig.plugin("tnic"),
                 *memory_args()]
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   # Beside its forwarding thread, of nice -20, its other threads starve.
                   f"other_config:dpdk-lcore-mask={1 << CPUS[-1]:#x}",
                   f"other_config:pmd-cpu-mask={1 << CPUS[0]:#x}",
                   'other_config:dpdk-socket-mem="1024"',
                   f'other_config:dpdk-extra="{" ".join(extra)}"')
        self.rig.add(Program(
            # In a network of its own: its bridge is an interface of the kernel, too. It has much
            # to say, and nobody reads its terminal meanwhile.
            ["unshare", "--net", self.BINARY, self.database,
             f"--unixctl={self.rig.path('vswitchd.ctl')}", "-vconsole:off",
             f"--log-file={self.rig.log('vswitchd-own')}"],
            self.rig.log("vswitchd"), environment=self.environment))
        wait_until(lambda: os.path.exists(self.rig.path("vswitchd.ctl")), "ovs-vswitchd", 30)
        wait_until(lambda: "true" in self.vsctl("get", "Open_vSwitch", ".", "dpdk_initialized"),
                   "ovs-vswitchd's DPDK", 30)

    def add_ports(self, wire, n_guests):
        self.vsctl("add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev")
        self.vsctl("add-port", "br", "wire", "--", "set", "Interface", "wire", "type=dpdk",
                   f'options:dpdk-devargs="{wire}"', "options:n_rxq_desc=1024",
                   "options:n_txq_desc=1024")
        for i in range(n_guests):
            self.vsctl("add-port", "br", f"g{i}", "--", "set", "Interface", f"g{i}",
                       "type=dpdkvhostuserclient",
                       f"options:vhost-server-path={self.rig.path(f'g{i}')}")
        for name in ("wire", *(f"g{i}" for i in range(n_guests))):
            error = self.vsctl("get", "Interface", name, "error").strip()
            if error != "[]":
                raise Failure(f"Open vSwitch: {name}: {error}")

    def vdevs(self, n_guests):
        args = [] if memory_args() else ["--single-file-segments"]
        for i in range(n_guests):
            args += ["--vdev", f"net_virtio_user{i},path={self.rig.path(f'g{i}')},server=1,"
                               f"mac={GUESTS[i]},{Vhost.FORMS[self.form]}"]
        return args

    def wait_ready(self):
        time.sleep(1)  # it looks for its guests by and by

    def read_cycles(self):
        answer = self.appctl("dpif-netdev/pmd-stats-show")
        cycles = sum(map(int, re.findall(r"processing cycles: (\d+)", answer)))
        frames = sum(map(int, re.findall(r"packets received: (\d+)", answer)))
        return cycles, frames

    def end(self):
        shutil.rmtree(f"/run/dpdk/{self.rig.prefix}-ovs", ignore_errors=True)


class Bed:
    """A switch with its guests, frames under way."""

    def __init__(self, kind, plugins, path, size):
        self.rig = Rig(plugins, LOGS)
        self.path = path
        n_guests = 1 if path == "wire" else 2
        source = self.rig.tnic(role="audit") if path == "ew" else self.rig.tnic(
            sizes=size, macs="swapped", dst=GUESTS[0], src=WIRE)
        try:
            self.switch = kind(self.rig, source, n_guests)
            mode = ["--forward-mode=macswap"] if path == "wire" else [
                "--forward-mode=mac", f"--eth-peer=0,{GUESTS[1]}", f"--eth-peer=1,{GUESTS[0]}",
                f"--txpkts={size}"]
            self.guest = self.rig.add(Testpmd(
                [*common("guest", self.rig, 1), *self.switch.vdevs(n_guests)],
                [*TESTPMD, *mode], self.rig.log("guest")))
            self.switch.wait_ready()
            for port in range(n_guests):
                wait_until(lambda port=port: self.guest.link_is_up(port), "the guest's link")
            self.guest.command("start" if path == "wire" else f"start tx_first {EW_BURSTS}")
        except BaseException:
            self.clean_up()
            raise

    def count(self):
        """Frames that have arrived, audited ones of the wire or both guests', so far."""
        if self.path == "wire":
            report = self.rig.report()
            if report.changed + report.foreign + report.malformed:
                raise Failure("frames came back damaged")
            # Open vSwitch sends by a queue of its forwarding thread's, which is another than the
            # one that the frames came by.
            return report.good + report.misplaced
        return sum(self.guest.stats(port)["RX-packets"] for port in range(2))

    def clean_up(self):
        self.rig.clean_up()
        if hasattr(self, "switch"):
            self.switch.end()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.clean_up()
