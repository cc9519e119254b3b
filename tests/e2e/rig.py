# SPDX-License-Identifier: BSD-3-Clause
"""
The rig of the end-to-end tests: programs, sockets, streams, and a clean table afterwards.

Writes outside the checkout: /run/nmx-e2e-PID-N (sockets, stream reports), EAL's /run/dpdk/nmx-e2e-*
and huge pages of the same prefix; all removed behind each test, or by the next run if this one is
killed. Logs stay in build/e2e.
"""

import glob
import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/drivers/net_tnic"))

import tnic_report  # noqa: E402
from testpmd import REPORT, Guest, Program, Testpmd  # noqa: E402

CPUS = sorted(os.sched_getaffinity(0))


def pick_lcores(side):
    """EAL's lcores for the host's or guest's side: the main one sleeps at the prompt."""
    cpu = CPUS[0] if side == "host" else CPUS[-1]
    return ["--lcores", f"1@{cpu},2@{cpu}"]


def memory_args():
    """Where huge pages were refused, everything works without, only slower."""
    if os.environ.get("NMX_NO_HUGE") == "1":
        return ["--no-huge", "-m", "512"]
    # Where EAL would begin, the address sanitizer has its shadow; EAL then takes what address it
    # gets, and a secondary process may have something else there.
    return ["--base-virtaddr", "0x200000000000"] if os.environ.get("NMX_PRELOAD") else []


def remove_files(prefix):
    """What a test of that prefix had outside the checkout."""
    for folder in [f"/run/{prefix}", *glob.glob(f"/run/dpdk/{prefix}-*")]:
        shutil.rmtree(folder, ignore_errors=True)
    for file in glob.glob(f"/dev/hugepages/{prefix}-*"):
        os.unlink(file)


def remove_leftovers():
    """What runs had that were killed: the process in the name is no more."""
    for path in glob.glob("/run/nmx-e2e-*"):
        prefix = os.path.basename(path)
        if not os.path.exists(f"/proc/{prefix.split('-')[2]}"):
            remove_files(prefix)


HOST_PORT, VIRTIO_HOST_PORT = "net_vdpdk_host0", "net_iovtee0"
# Guests that go by the numbers in answers, whose buffers can be lent.
VIRTIO = {"split": "mrg_rxbuf=1,in_order=0,packed_vq=0", "packed": "mrg_rxbuf=1,in_order=0,packed_vq=1"}
KINDS = ("vdpdk", *VIRTIO)


class Rig:
    """What one test starts, and where."""

    number = 0

    def __init__(self, plugins, logs):
        Rig.number += 1
        self.prefix = f"nmx-e2e-{os.getpid()}-{Rig.number}"
        self.folder = f"/run/{self.prefix}"
        self.plugins = plugins
        self.logs = logs
        self.kind = "vdpdk"  # of guests
        self.programs = []
        os.makedirs(self.folder, mode=0o700)
        os.makedirs(logs, exist_ok=True)

    def path(self, name):
        return f"{self.folder}/{name}"

    def log(self, name):
        return f"{self.logs}/{name}-{len(self.programs)}.log"

    def plugin(self, name):
        return ["-d", f"{self.plugins}/librte_net_{name}.so"]

    def eal(self, side, vdevs, bare=False):
        """EAL's arguments: with `bare` just what a user must give."""
        names = sorted({vdev.split(",")[0].rstrip("0123456789") for vdev in vdevs})
        args = []
        for name in names:
            if name in ("net_vdpdk", "net_vdpdk_host", "net_iovtee", "net_softflow",
                        "net_tnic"):
                args += self.plugin(name.removeprefix("net_"))
        for vdev in vdevs:
            args += ["--vdev", vdev]
        args += ["--file-prefix", f"{self.prefix}-{side}{len(self.programs)}"]
        if not bare:
            args += ["--no-pci", "--no-telemetry", *pick_lcores(side), *memory_args()]
        return args

    def add(self, program):
        self.programs.append(program)
        return program

    def testpmd(self, side, vdevs, args=(), eal=(), bare=False, tiny=False, preload=None):
        """
        Stock testpmd; frames of every size pass. `tiny`: its memory is the caller's matter.
        `preload`: additions to its environment.
        """
        if tiny:
            eal = [*self.eal(side, vdevs, True), "--no-pci", *pick_lcores(side), *eal]
            return self.add(Testpmd(eal, args, self.log(side), environment=preload))
        args = ["--total-num-mbufs=16384", "--enable-scatter", "--max-pkt-len=9018", *args]
        return self.add(Testpmd([*self.eal(side, vdevs, bare), *eal], args, self.log(side),
                                environment=preload))

    def host_vdev(self, socket="g0", queues=1, devargs=""):
        """Devargs of a host's port for a guest of the rig's kind."""
        key, name = ("path", HOST_PORT) if self.kind == "vdpdk" else ("iface", VIRTIO_HOST_PORT)
        return f"{name},{key}={self.path(socket)},queues={queues}{devargs}"

    def guest_vdev(self, socket="g0", queues=1, devargs=""):
        """The same of the guest's port."""
        if self.kind == "vdpdk":
            return f"net_vdpdk0,path={self.path(socket)}{devargs}"
        return (f"net_virtio_user0,path={self.path(socket)},queues={queues},queue_size=1024,"
                f"{VIRTIO[self.kind]}{devargs}")

    def host(self, *tnics, queues=1, socket="g0", args=(), eal=(), bare=False, devargs="",
             preload=None):
        """A host whose guest port is 0; a stream's test NIC is 1."""
        return self.testpmd(
            "host", [self.host_vdev(socket, queues, devargs), *tnics],
            [f"--rxq={queues}", f"--txq={queues}", *args], eal, bare, preload=preload)

    def guest(self, *tnics, queues=1, socket="g0", args=(), eal=(), bare=False, devargs="",
              preload=None):
        """A stock DPDK program in a container of its own, as it were."""
        if self.kind != "vdpdk":
            args = ["--rxd=1024", "--txd=1024", *args]  # it posts 512 otherwise
            if "--no-huge" not in memory_args():
                eal = ["--single-file-segments", *eal]  # virtio-user shares 8 files at most
        return self.testpmd(
            "guest", [self.guest_vdev(socket, queues, devargs), *tnics],
            [f"--rxq={queues}", f"--txq={queues}", *args], eal, bare, preload=preload)

    def light_guest(self, socket="g0", queues=1):
        binary = os.path.join(ROOT, "build/bin/nmx-test-guest")
        return self.add(Guest(binary, self.path(socket), self.log("light"), queues))

    def program(self, name, argv, environment=None):
        return self.add(Program(argv, self.log(name), environment=environment))

    def tnic(self, number=0, report="stream", **keys):
        """Devargs of a test NIC."""
        words = [f"net_tnic{number}", f"file={self.path(report)}"]
        return ",".join(words + [f"{key}={value}" for key, value in keys.items()])

    def forget(self, program):
        """It has ended; a test with thousands of them can't keep all."""
        self.programs.remove(program)

    def report(self, report="stream"):
        return tnic_report.read(self.path(report))

    def check_stream(self, report="stream", timeout=60):
        """Wait until a stream with an end has it, and see that it is clean."""
        result = tnic_report.wait_settled(self.path(report), timeout)
        assert result.verdict() == [], result.verdict()
        return result

    def clean_up(self):
        for program in self.programs:
            program.drain()  # its last words, for the log
            program.kill()
        remove_files(self.prefix)
        for program in self.programs:
            assert not REPORT.search(program.said), program.text()
