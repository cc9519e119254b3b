# SPDX-License-Identifier: BSD-3-Clause
"""The sides of a comparison: what host and guest load, and how testpmd is called."""

import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from rig import Rig, memory_args, pick_lcores  # noqa: E402
from testpmd import Testpmd, wait_until  # noqa: E402

LOGS = os.path.join(ROOT, "build/bench/log")
TESTPMD = ["--rxd=1024", "--txd=1024", "--burst=32"]


class Ours:
    """The plugins, copying both ways."""

    name = "net_vdpdk-copy"
    form = ""

    def host(self, rig):
        return [*rig.plugin("vdpdk_host"), "--vdev", f"net_vdpdk_host0,path={rig.path('s')}"]

    def behind(self, rig, lower):
        """What the host has behind its source, a port of that name."""
        return []

    def guest(self, rig):
        return [*rig.plugin("vdpdk"), "--vdev", f"net_vdpdk0,path={rig.path('s')}"]


class Wrapped(Ours):
    """The same with frames from the source in the guest's buffers, and testpmd none the wiser."""

    name = "net_vdpdk-wrapped"

    def behind(self, rig, lower):
        return [*rig.plugin("softflow"), "--vdev",
                f"net_softflow0,lower={lower},map=0:net_vdpdk_host0"]


class Peer:
    """Of DPDK's own drivers."""

    def behind(self, rig, lower):
        return []

    def single_file(self):
        # Without huge pages in one file they refuse to share them.
        return [] if memory_args() else ["--single-file-segments"]


class Vhost(Peer):
    """vhost-user, with a form of its stock guest."""

    name = "net_vhost"
    FORMS = {
        "default": "queue_size=1024",
        "vectorized": "mrg_rxbuf=0,in_order=0,vectorized=1,queue_size=1024",
        "packed": "packed_vq=1,mrg_rxbuf=0,in_order=1,vectorized=1,queue_size=1024",
    }
    BEST = "vectorized"

    def __init__(self, form=BEST):
        self.form = form

    def host(self, rig):
        return ["--vdev", f"net_vhost0,iface={rig.path('s')},queues=1"]

    def guest(self, rig):
        return [*self.single_file(), "--vdev",
                f"net_virtio_user0,path={rig.path('s')},{self.FORMS[self.form]}"]


class Memif(Peer):
    """memif, which copies on either side."""

    name = "net_memif"
    form = ""
    RING = "rsize=10,bsize=2048,socket-abstract=no"

    def host(self, rig):
        return ["--vdev", f"net_memif0,role=server,socket={rig.path('s')},{self.RING}"]

    def guest(self, rig):
        return ["--vdev", f"net_memif0,role=client,socket={rig.path('s')},{self.RING}"]


class MemifZeroCopy(Memif):
    """memif, which copies in the host only: the guest's memory is in the rings."""

    name = "net_memif-zc"

    def guest(self, rig):
        *args, vdev = super().guest(rig)
        return [*self.single_file(), *args, vdev + ",zero-copy=yes"]


def common(end, rig, number):
    return [*pick_lcores(end), "--no-pci", "--no-telemetry", *memory_args(),
            "--file-prefix", f"{rig.prefix}-{end}{number}"]


def command_lines(side, rig, source):
    """EAL's arguments of host and guest. `source`: what the host has besides; its port is last."""
    lower = source[-1].split(",")[0]
    return ([*common("host", rig, 0), *side.host(rig), *source, *side.behind(rig, lower)],
            [*common("guest", rig, 1), *side.guest(rig)])


class Pair:
    """A host that forwards between its guest (port 0) and a source, and the guest."""

    def __init__(self, side, plugins, make_source):
        self.rig = Rig(plugins, LOGS)
        host, guest = command_lines(side, self.rig, make_source(self.rig))
        try:
            self.host = self.rig.add(Testpmd(
                host, [*TESTPMD, "--forward-mode=io", "--record-core-cycles"],
                self.rig.log("host")))
            self.guest = self.rig.add(Testpmd(
                guest, [*TESTPMD, "--forward-mode=macswap"], self.rig.log("guest")))
            wait_until(self.host.link_is_up, "link up")
            self.guest.command("start")
            self.host.command("start")
        except BaseException:
            self.rig.clean_up()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.rig.clean_up()

    @property
    def commands(self):
        return " ".join(self.host.argv), " ".join(self.guest.argv)


class Sample:
    """What the host's testpmd has counted up to a moment."""

    def __init__(self, host):
        answer = host.command("show fwd stats all")
        self.time = time.monotonic()
        source = answer[answer.rindex("statistics for port "):]
        self.left, = map(int, re.search(r"TX-packets: (\d+)", source).groups())
        self.taken, = map(int, re.search(r"RX-packets: (\d+)", source).groups())
        guest = answer[:len(answer) - len(source)]
        self.dropped, = map(int, re.search(r"TX-dropped: (\d+)", guest).groups())
        self.cycles, self.packets = map(int, re.search(
            r"total cycles=(\d+) / total io packets=(\d+)", answer).groups())


def ping_pong(cpus):
    """Nanoseconds that a cache line takes from one CPU to the other and back."""
    argv = [os.path.join(ROOT, "build/bin/nmx-pingpong"), *map(str, cpus)]
    answer = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return float(answer.split()[1])
