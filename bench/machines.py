# SPDX-License-Identifier: BSD-3-Clause
"""
A virtual machine's NICs side by side, under QEMU's TCG. It says nothing about KVM.

One machine has three: a vDPDK device whose host is a testpmd, QEMU's virtio-net, and its e1000, both on a
TAP device of the kernel's (there is no vhost-net in this comparison). The same stock testpmd in the
guest, below vfio-pci, has one of them at a time.

    tx    the guest sends as fast as it can; counted where the frames arrive: the host's port, the
          TAP device
    rx    the host sends as fast as it can (testpmd, into its port or a raw socket on the TAP
          device); counted by the guest's program
"""

import csv
import os
import statistics
import subprocess
import sys
import time

from sides import LOGS, ROOT, TESTPMD, common

sys.path.insert(0, os.path.join(ROOT, "tests/vm"))

from rig import Rig  # noqa: E402
from vm import Vm  # noqa: E402

NAMES = {"vdpdk": "net_vdpdk", "virtio": "virtio-net", "e1000": "e1000"}
PLACES = {"virtio": "0000:00:08.0", "e1000": "0000:00:09.0"}


class Machine:
    """The guest, its namespace and its hosts."""

    def __init__(self, plugins):
        self.rig = Rig(plugins, LOGS)
        self.netns = f"{self.rig.prefix}-vm"
        self.host = self.vm = self.guest = self.source = None

    def __enter__(self):
        self.run("ip", "netns", "add", self.netns, inside=False)
        qemu = []
        for kind, model in (("virtio", "virtio-net-pci,disable-legacy=on,iommu_platform=on"),
                            ("e1000", "e1000")):
            self.run("ip", "tuntap", "add", f"nmx{kind}", "mode", "tap")
            self.run("ip", "link", "set", f"nmx{kind}", "up")
            qemu += ["-netdev", f"tap,id={kind},ifname=nmx{kind},script=no,downscript=no,vhost=off",
                     "-device", f"{model},netdev={kind},addr={PLACES[kind][8:10]}"]
        self.host = self.rig.testpmd("host", [f"net_vdpdk_host0,path={self.rig.path('s')}"],
                                     TESTPMD)
        self.vm = Vm(self.rig, "vm", [self.rig.path("s")], memory=1024, cpus=2, qemu=qemu,
                     netns=self.netns)
        self.vm.power_on()
        return self

    def __exit__(self, *_):
        if self.vm:
            self.vm.kill()
        self.rig.clean_up()
        self.run("ip", "netns", "delete", self.netns, inside=False)

    def run(self, *argv, inside=True):
        prefix = ["ip", "netns", "exec", self.netns] if inside else []
        return subprocess.run([*prefix, *argv], check=True, capture_output=True, text=True).stdout

    def bind(self, kind):
        if kind == "vdpdk":
            return self.vm.bind()
        device = f"/sys/bus/pci/devices/{PLACES[kind]}"
        self.vm.run(["modprobe", "-a", "vfio-pci", "vfio_iommu_type1"])
        self.vm.write(f"{device}/driver_override", "vfio-pci")
        if "driver" in self.vm.list(device):
            self.vm.write(f"{device}/driver/unbind", PLACES[kind])
        self.vm.write("/sys/bus/pci/drivers_probe", PLACES[kind])
        return PLACES[kind]

    def start_guest(self, kind, mode, size):
        eal = ["-d", f"{self.rig.plugins}/librte_net_vdpdk.so", "-a", self.bind(kind)]
        self.guest = self.vm.testpmd(eal, [*TESTPMD, f"--forward-mode={mode}", f"--txpkts={size}"])
        self.guest.command("start")

    def start_source(self, kind, size):
        """The host's end sends."""
        if kind == "vdpdk":
            for line in ("stop", "set fwd txonly", f"set txpkts {size}", "start"):
                self.host.command(line)
            return
        argv = ["ip", "netns", "exec", self.netns, "dpdk-testpmd", *common("source", self.rig, 0),
                "--vdev", f"net_af_packet0,iface=nmx{kind}", "--", *TESTPMD, "--forward-mode=txonly",
                f"--txpkts={size}", "--auto-start"]
        self.source = self.rig.program("source", argv)
        self.source.expect("Press enter to exit", 60)

    def start_sink(self, kind):
        if kind == "vdpdk":
            for line in ("stop", "set fwd rxonly", "start"):
                self.host.command(line)

    def count(self, kind, path):
        if path == "rx":
            return self.guest.stats()["RX-packets"]
        if kind == "vdpdk":
            return self.host.stats()["RX-packets"]
        return int(self.run("cat", f"/sys/class/net/nmx{kind}/statistics/rx_packets"))

    def measure(self, kind, path, size, args):
        """Frames a second."""
        if path == "tx":
            self.start_sink(kind)
        self.start_guest(kind, "txonly" if path == "tx" else "rxonly", size)
        if path == "rx":
            self.start_source(kind, size)
        time.sleep(args.warm)
        begin, first = time.monotonic(), self.count(kind, path)
        time.sleep(args.seconds)
        last, end = self.count(kind, path), time.monotonic()
        self.host.command("stop")
        if self.source:
            self.source.kill()
            self.source = None
        if self.guest.quit() != 0:
            raise SystemExit(f"bench: the guest's program failed: {self.guest.log}")
        return (last - first) / (end - begin)


def run_vm(args, folder):
    """All sizes, both ways; the NICs take turns."""
    path = os.path.join(folder, "vm.csv")
    os.makedirs(folder, exist_ok=True)
    rates = {}
    print("Under TCG, which says nothing about KVM: packets a second of one guest's NICs")
    with Machine(args.plugins) as machine, open(path, "a", newline="", encoding="utf-8") as file:
        for turn in range(args.pairs):
            kinds = list(NAMES)[::-1 if turn % 2 else 1]
            for size in args.sizes:
                for way in ("rx", "tx"):
                    for kind in kinds:
                        rate = machine.measure(kind, way, size, args)
                        rates.setdefault((way, size, kind), []).append(rate)
                        csv.writer(file).writerow(
                            [time.strftime("%FT%T"), way, size, NAMES[kind], round(rate)])
                        print(f"{way} {NAMES[kind]:11} {size:5} B {rate / 1e3:9.1f} kpps",
                              flush=True)
    for (way, size, kind), others in rates.items():
        if kind == "vdpdk":
            continue
        ratios = [ours / other for ours, other in zip(rates[way, size, "vdpdk"], others) if other]
        print(f"ratio vm {way} rate {NAMES['vdpdk']}/{NAMES[kind]} {size} "
              f"{statistics.median(ratios):.2f} {min(ratios):.2f} {max(ratios):.2f}")
    print(f"rows: {path}")
