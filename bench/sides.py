# SPDX-License-Identifier: BSD-3-Clause
"""The sides of a comparison: what host and guest load, and how testpmd is called."""

import dataclasses
import os
import re
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "tests/e2e"), os.path.join(ROOT, "devtools")]

from process import Failure  # noqa: E402
from rig import Rig, memory_args, pick_lcores  # noqa: E402
from testpmd import Testpmd, wait_until  # noqa: E402

LOGS = os.path.join(ROOT, "build/bench/log")
RING = 1024
BURST = "--burst=32"
TESTPMD = [f"--rxd={RING}", f"--txd={RING}", BURST]
# What net_null is given besides its size, by path. All other paths have the test NIC.
NULL = {"pvp": "", "pay": ",copy=1", "rx": "", "rxpay": ",copy=1", "tx": ",no-rx=1"}
# The guest, where it doesn't send back what it receives.
ONE_WAY = {"rx": "rxonly", "rxpay": "rxonly", "tx": "txonly"}


def make_source(rig, path, size, **tnic):
    """EAL's arguments for what frames come from, a port's last. tnic: keys of the test NIC."""
    if path in NULL:
        return ["--vdev", f"net_null0,size={size}{NULL[path]}"]
    return [*rig.plugin("tnic"), "--vdev", rig.tnic(**{"sizes": size, "macs": "swapped",
                                                                "flows": 1, **tnic})]


class Side:
    """A guest, and a host that forwards between it and a source: two testpmds."""

    form = ""
    ours = False
    ring = RING  # the guest's
    tnic = {}  # keys of the test NIC, where that is the source
    host_commands = ()  # of its program, before the guest is there
    telemetry = False  # the host is asked

    def behind(self, rig, lower):
        """What the host has behind its source, a port of that name."""
        return []

    def begin(self, rig):
        """All is set up, no frame was sent."""

    def lay_out(self, rig, path, size, **tnic):
        """Command lines of host and guest, EAL's arguments and the program's."""
        source = make_source(rig, path, size, **{**self.tnic, **tnic})
        lower = source[-1].split(",")[0]
        host = [*common("host", rig, 0, self.telemetry), *self.host(rig), *source,
                *self.behind(rig, lower)]
        guest = [*common("guest", rig, 1), *self.guest(rig)]
        return ((host, [*TESTPMD, "--forward-mode=io", "--record-core-cycles"]),
                (guest, [f"--rxd={self.ring}", f"--txd={self.ring}", BURST,
                         f"--forward-mode={ONE_WAY.get(path, 'macswap')}", f"--txpkts={size}"]))

    def list_commands(self, rig, path, size):
        return [" ".join(["dpdk-testpmd", *eal, "--", "-i", *args])
                for eal, args in self.lay_out(rig, path, size)]

    def start(self, plugins, path, size, **tnic):
        return Pair(self, plugins, path, size, **tnic)


class Ours(Side):
    """The plugins, copying both ways."""

    name = "net_vdpdk-copy"
    ours = True

    def host(self, rig):
        return [*rig.plugin("vdpdk_host"), "--vdev", f"net_vdpdk_host0,path={rig.path('s')}"]

    def guest(self, rig):
        return [*rig.plugin("vdpdk"), "--vdev", f"net_vdpdk0,path={rig.path('s')}"]


class Wrapped(Ours):
    """The same with frames from the source in the guest's buffers, and testpmd none the wiser."""

    name = "net_vdpdk-wrapped"

    def behind(self, rig, lower):
        return [*rig.plugin("softflow"), "--vdev",
                f"net_softflow0,lower={lower},map=0:net_vdpdk_host0"]


class InPlace:
    """What the guest sends isn't copied either, but the first bytes of a frame."""

    # The other ports can't be asked for it, so not by an argument.
    host_commands = ("port stop 0", "port config 0 rx_offload scatter on", "port start 0")

    def host(self, rig):
        return [*(f"{word},tx_zc=1" if "iface=" in word or "path=" in word else word
                  for word in super().host(rig)), "--iova-mode=va"]


class WrappedInPlace(InPlace, Wrapped):
    """The NIC writes to the guest's memory, and reads from there."""

    name = "net_vdpdk-zc"


class Peer(Side):
    """Of DPDK's own drivers."""

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
        "packed-plain": "packed_vq=1,mrg_rxbuf=0,in_order=0,queue_size=1024",
    }
    BEST = "vectorized"

    def __init__(self, form=BEST):
        self.form = form

    def host(self, rig):
        return ["--vdev", f"net_vhost0,iface={rig.path('s')},queues=1"]

    def guest(self, rig):
        return [*self.single_file(), "--vdev",
                f"net_virtio_user0,path={rig.path('s')},{self.FORMS[self.form]}"]


class Iovtee(Vhost):
    """The same guest behind our back end, copying both ways."""

    name = "net_iovtee-copy"
    ours = True

    def host(self, rig):
        return [*rig.plugin("iovtee"), "--vdev", f"net_iovtee0,iface={rig.path('s')}"]


class IovteeWrapped(Iovtee):
    """
    With frames from the source in the guest's buffers. A vectorized guest gives answers' numbers no
    look, so its buffers can't be lent; of the others a packed ring without merging is fastest.
    """

    name = "net_iovtee-wrapped"
    BEST = "packed-plain"

    def __init__(self, form=BEST):
        super().__init__(form)

    def behind(self, rig, lower):
        return [*rig.plugin("softflow"), "--vdev",
                f"net_softflow0,lower={lower},map=0:net_iovtee0"]


class IovteeInPlace(InPlace, IovteeWrapped):
    """The same, and read from there."""

    name = "net_iovtee-zc"


class Memif(Peer):
    """memif, which copies on either side."""

    name = "net_memif"
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


def common(end, rig, number, telemetry=False):
    return [*pick_lcores(end), "--no-pci", *([] if telemetry else ["--no-telemetry"]),
            *memory_args(), "--file-prefix", f"{rig.prefix}-{end}{number}"]


def check_report(report, name):
    """The test NIC's frames are what they were."""
    damaged = report.changed + report.foreign + report.malformed
    if damaged:
        raise Failure(f"{name}: {damaged} frames came back damaged")


@dataclasses.dataclass
class Counts:
    """What a host has counted up to a moment."""

    time: float
    left: int  # frames, by its port that isn't the guest's; by that one if the guest sends none
    cycles: int  # busy ones of its CPU
    packets: int  # received from either port
    taken: int = 0  # from the source
    dropped: int = 0  # of these: the guest had no room
    given: int = 0  # to the guest
    mapped: int = 0  # of these: they were in its memory already


class Pair:
    """A host that forwards between its guest (port 0) and a source, and the guest."""

    def __init__(self, side, plugins, path, size, **tnic):
        self.rig = Rig(plugins, LOGS)
        self.side, self.path = side, path
        host, guest = side.lay_out(self.rig, path, size, **tnic)
        try:
            self.host = self.rig.add(Testpmd(*host, self.rig.log("host")))
            for command in side.host_commands:
                self.host.command(command)
            self.guest = self.rig.add(Testpmd(*guest, self.rig.log("guest")))
            wait_until(self.host.link_is_up, "link up")
            side.begin(self.rig)
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

    def read(self):
        answer = self.host.command("show fwd stats all")
        now = time.monotonic()
        source = answer[answer.rindex("statistics for port "):]
        guest = answer[:len(answer) - len(source)]
        cycles, packets = map(int, re.search(
            r"total cycles=(\d+) / total io packets=(\d+)", answer).groups())
        end = guest if self.path in ("rx", "rxpay") else source
        counts = Counts(now, find_number("TX-packets", end), cycles, packets,
                        find_number("RX-packets", source), find_number("TX-dropped", guest))
        if self.side.ours:
            counters = self.host.xstats(0)
            counts.given, counts.mapped = (counters["to_guest_frames"],
                                           counters["to_guest_mapped"])
        return counts

    def check(self):
        if self.path not in NULL:
            check_report(self.rig.report(), self.side.name)


def find_number(name, text):
    return int(re.search(rf"{name}: (\d+)", text).group(1))


def ping_pong(cpus):
    """Nanoseconds that a cache line takes from one CPU to the other and back."""
    argv = [os.path.join(ROOT, "build/bin/nmx-pingpong"), *map(str, cpus)]
    answer = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return float(answer.split()[1])
