# SPDX-License-Identifier: BSD-3-Clause
"""
Switches side by side: nicmuxd, and Open vSwitch on DPDK without systemd.

Each has CPU 0 for its data path. On CPU 1 is one testpmd with the guests' ports.

    wire      net_tnic, a port of the switch, makes frames for the guest, which swaps their
              addresses; the switch brings them back to net_tnic, which checks every byte
    pvp, pay  net_null in its place: Open vSwitch only, with a rule for either port instead of
              addresses. nicmuxd has no such rules: net_null's frames have no addresses that it
              could go by or let pass, and they come in each queue, also in the one that isn't the
              guest's, where they would be made, looked at and dropped
    out       the guest sends, and net_tnic takes the frames and reads nothing of them
    ew        two guests in one program send each other the same frames round and round
"""

import re
import shlex
import time

from sides import (LOGS, NULL, TESTPMD, Counts, Vhost, check_report, common, make_source,
                   memory_args)

import openvswitch
from mux import Mux
from rig import Rig
from testpmd import Testpmd, wait_until

GUESTS = ("02:00:00:00:00:0a", "02:00:00:00:00:0b")
WIRE = "02:00:00:00:00:01"
# What the guests do, where they don't send back what comes.
MODES = {"out": ["--forward-mode=txonly", f"--eth-peer=0,{WIRE}"],
         "ew": ["--forward-mode=mac", f"--eth-peer=0,{GUESTS[1]}", f"--eth-peer=1,{GUESTS[0]}"]}
# Frames that two guests have under way, in bursts of 32.
EW_BURSTS = 8


class Switch:
    """A side of a comparison; an instance is one that runs, or could."""

    form = ""
    ours = False
    tnic = {}  # keys of the test NIC that it needs

    @classmethod
    def lay_out(cls, rig, path, size):
        """The switch, not started, and the command line of its guests."""
        n_guests = 2 if path == "ew" else 1
        switch = cls(rig, cls.make_wire(rig, path, size), n_guests, path in NULL)
        mode = MODES.get(path, ["--forward-mode=macswap"])
        return switch, ([*common("guest", rig, 1), *switch.vdevs(n_guests)],
                        [*TESTPMD, *mode, f"--txpkts={size}"])

    @classmethod
    def make_wire(cls, rig, path, size):
        """Devargs of the port that isn't a guest's."""
        if path == "ew":
            return rig.tnic(role="audit")
        if path == "out":
            return rig.tnic(role="send", frames=1)
        return make_source(rig, path, size, dst=GUESTS[0], src=WIRE, **cls.tnic)[-1]

    @classmethod
    def list_commands(cls, rig, path, size):
        switch, (eal, args) = cls.lay_out(rig, path, size)
        return [*switch.list_own(), " ".join(["dpdk-testpmd", *eal, "--", "-i", *args])]

    @classmethod
    def start(cls, plugins, path, size):
        return Bed(cls, plugins, path, size)


class Nicmuxd(Switch):
    """The daemon, with all its checks."""

    name = "nicmuxd"
    ours = True
    uplink = {}
    guest = {}
    eal = []

    def __init__(self, rig, wire, n_guests, by_port):
        assert not by_port
        self.mux = Mux(rig, [{"name": f"g{i}", "macs": [GUESTS[i]], **self.guest}
                             for i in range(n_guests)],
                       device=wire, eal=[*rig.plugin("tnic"), *self.eal], start=False,
                       **self.uplink)

    def begin(self):
        self.mux.start()

    def list_own(self):
        with open(self.mux.config_path, encoding="ascii") as file:
            return [f"cat >{self.mux.config_path} <<END\n{file.read()}\nEND",
                    " ".join(self.mux.argv)]

    def vdevs(self, n_guests):
        args = self.mux.rig.plugin("vdpdk")
        for i in range(n_guests):
            args += ["--vdev", self.mux.vdev(f"g{i}", i)]
        return args

    def read(self):
        worker, guest, wire = (self.mux.ask("/nicmux/worker"), self.mux.guest("g0"),
                               self.mux.wire())
        return Counts(time.monotonic(), wire["to_uplink_frames"], worker["busy_cycles"],
                      worker["frames"],
                      wire["from_uplink_frames"] + guest["uplink_queues_frames"],
                      guest["to_guest_drop_no_posted"], guest["to_guest_frames"],
                      guest["to_guest_mapped"])

    def wait_ready(self):
        pass

    def end(self):
        pass


class NicmuxdMapped(Nicmuxd):
    """The same with a queue of the guest's own, filled with its buffers."""

    name = "nicmuxd-mapped"
    uplink = {"steering": "static", "queues": 2}
    guest = {"uplink_queues": [1]}
    # Everybody's queue is quiet: flow 1 comes in queue 1.
    tnic = {"flows": 2, "first": 1}


class NicmuxdZc(NicmuxdMapped):
    """And what it sends leaves from where it lies."""

    name = "nicmuxd-zc"
    uplink = {**NicmuxdMapped.uplink, "tx_zc": True}
    eal = ["--iova-mode=va"]


class OpenVSwitch(openvswitch.OpenVSwitch, Switch):
    """The distribution's."""

    name = "ovs-dpdk"
    form = Vhost.BEST

    def __init__(self, rig, wire, n_guests, by_port):
        super().__init__(rig, rig.plugin("tnic"))
        self.wire, self.n_guests, self.by_port = wire, n_guests, by_port

    def list_port_steps(self):
        lines = [["add-br", "br", "--", "set", "bridge", "br", "datapath_type=netdev"],
                 ["add-port", "br", "wire", "--", "set", "Interface", "wire", "type=dpdk",
                  f'options:dpdk-devargs="{self.wire}"', "options:n_rxq_desc=1024",
                  "options:n_txq_desc=1024"]]
        for i in range(self.n_guests):
            lines.append(["add-port", "br", f"g{i}", "--", "set", "Interface", f"g{i}",
                          "type=dpdkvhostuserclient",
                          f"options:vhost-server-path={self.rig.path(f'g{i}')}"])
        rules = [["ovs-ofctl", "add-flow", f"unix:{self.rig.path('br.mgmt')}",
                  f"in_port={a},actions=output:{b}"] for a, b in (("wire", "g0"), ("g0", "wire"))]
        return [*((self.vsctl(*line), None) for line in lines),
                *((rule, None) for rule in rules if self.by_port)]

    def list_steps(self):
        return (self.list_database_steps() + self.list_switch_steps() + self.list_port_steps())

    def list_own(self):
        return ["export " + " ".join(f"{key}={value}" for key, value in self.folders.items()),
                *(shlex.join(argv) + (" &" if socket else "") for argv, socket in
                  self.list_steps())]

    def begin(self):
        self.take_steps(self.list_steps())
        self.check_ports(["wire", *(f"g{i}" for i in range(self.n_guests))])

    def vdevs(self, n_guests):
        args = [] if memory_args() else ["--single-file-segments"]
        for i in range(n_guests):
            args += ["--vdev", f"net_virtio_user{i},path={self.rig.path(f'g{i}')},server=1,"
                               f"mac={GUESTS[i]},{Vhost.FORMS[self.form]}"]
        return args

    def wait_ready(self):
        time.sleep(1)  # it looks for its guests by and by

    def read(self):
        answer = self.appctl("dpif-netdev/pmd-stats-show")
        cycles = sum(map(int, re.findall(r"processing cycles: (\d+)", answer)))
        frames = sum(map(int, re.findall(r"packets received: (\d+)", answer)))
        ports, now = self.appctl("dpctl/show", "-s"), time.monotonic()
        wire, guest = (dict(zip(("taken", "left", "dropped"), map(int, re.search(
            rf"port \d+: {name} .*?RX packets:(\d+).*?TX packets:(\d+) errors:\S+ dropped:(\d+)",
            ports, re.S).groups()))) for name in ("wire", "g0"))
        return Counts(now, wire["left"], cycles, frames, wire["taken"], guest["dropped"])


class Bed:
    """A switch with its guests, frames under way."""

    def __init__(self, kind, plugins, path, size):
        self.rig = Rig(plugins, LOGS)
        self.kind, self.path = kind, path
        self.switch, guest = kind.lay_out(self.rig, path, size)
        try:
            self.switch.begin()
            self.guest = self.rig.add(Testpmd(*guest, self.rig.log("guest")))
            self.switch.wait_ready()
            for port in range(2 if path == "ew" else 1):
                wait_until(lambda port=port: self.guest.link_is_up(port), "the guest's link")
            self.guest.command(f"start tx_first {EW_BURSTS}" if path == "ew" else "start")
        except BaseException:
            self.clean_up()
            raise

    @property
    def commands(self):
        return " && ".join(self.switch.list_own()), " ".join(self.guest.argv)

    def read(self):
        """Frames that have left: for the wire, or of both guests."""
        counts = self.switch.read()
        if self.path == "ew":
            counts.left = sum(self.guest.stats(port)["RX-packets"] for port in range(2))
            counts.time = time.monotonic()
        return counts

    def check(self):
        if self.path == "wire":
            check_report(self.rig.report(), self.kind.name)

    def clean_up(self):
        self.rig.clean_up()
        self.switch.end()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.clean_up()
