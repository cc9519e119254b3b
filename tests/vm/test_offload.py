# SPDX-License-Identifier: BSD-3-Clause
"""
Two machines whose kernels leave checksums to others, and the cutting of what TCP sends.

Between them stock testpmd over net_iovtee with tso=1, in its mode that knows of both. What TCP
sends in one piece is one frame on all of its way.
"""

import json
import time

import pytest

from rig import memory_args
from test_virtio import EXCHANGE
from testpmd import wait_until

EXCHANGE_MEGABYTES = 4
IPERF_SECONDS = 2
MTU_FRAME_BYTES = 1514
SEGMENT_BYTES = 1448


# The first one is of Debian 12's QEMU; see test_virtio.py.
MACHINES = [{"emulator": "stable", "vectors": 0}, {"emulator": "backports", "vectors": 4}]


class Lab:
    """A host with two ports, and a machine at each."""

    def __init__(self, rig):
        self.rig = rig
        vdevs = [f"net_iovtee{i},iface={rig.path(f'guest{i}')},tso=1" for i in range(2)]
        self.host = rig.testpmd("host", vdevs, ["--total-num-mbufs=16384"],
                                ["--no-telemetry", *memory_args()], tiny=True)
        self.vms = [self.launch(i) for i in range(2)]
        self.set_up_host()
        for i, vm in enumerate(self.vms):
            vm.wait_booted()
            vm.run("modprobe virtio_net")
            name, = [name for name in vm.list("/sys/class/net") if name != "lo"]
            vm.interface = name
            vm.run(f"ip address add {self.address(i)}/24 dev {name} && ip link set {name} up")
        self.host.command("start")
        wait_until(lambda: self.vms[0].run(["ping", "-q", "-c", "1", "-W", "1", self.address(1)],
                                           check=False).status == 0, "the machines to meet", 30)

    @staticmethod
    def address(i):
        return f"10.9.0.{i + 1}"

    def launch(self, i):
        return self.rig.vm(boot=False, name=f"machine{i}", memory=384, hugepages=0, iommu=False,
                           drivers="all", emulator=MACHINES[i]["emulator"], qemu=[
            "-chardev", f"socket,id=vhost,path={self.rig.path(f'guest{i}')}",
            "-netdev", "vhost-user,id=net,chardev=vhost",
            "-device", f"virtio-net-pci,netdev=net,romfile=,vectors={MACHINES[i]['vectors']},"
                       f"mac=02:00:00:00:09:0{i + 1}"])

    def set_up_host(self):
        """Offloads on, in both directions; addresses stay as they are."""
        self.host.command("port stop all")
        for port in range(2):
            for name in ("scatter", "tcp_cksum", "udp_cksum", "tcp_lro"):
                self.host.command(f"port config {port} rx_offload {name} on")
            for name in ("ip", "udp", "tcp"):
                self.host.command(f"csum set {name} hw {port}")
            self.host.command(f"tso set {SEGMENT_BYTES} {port}")
            self.host.command(f"csum mac-swap off {port}")
        self.host.command("set fwd csum")
        assert "Done" in self.host.command("port start all")

    def set_offloads(self, on):
        """What the kernels leave to others when they send."""
        for vm in self.vms:
            for name in ("tx", "tso") if on else ("tso", "tx"):
                vm.run(["ethtool", "-K", vm.interface, name, "on" if on else "off"])

    def measure_frames(self, work):
        """Bytes a frame that came from the first machine and went to the second, on average."""
        before = [self.host.stats(port) for port in range(2)]
        work()
        after = [self.host.stats(port) for port in range(2)]
        counts = [{name: after[i][name] - before[i][name] for name in after[i]} for i in range(2)]
        return (counts[0]["RX-bytes"] / counts[0]["RX-packets"],
                counts[1]["TX-bytes"] / counts[1]["TX-packets"])


@pytest.fixture(scope="module")
def lab(shared_rig):
    return Lab(shared_rig)


def run_iperf(lab, reverse):
    """From the first machine to the second, or back. Mbit/s."""
    client, server = lab.vms
    listener = server.start(["iperf3", "-s", "-1"], name="server")
    listener.expect("listening", 30)
    argv = ["iperf3", "-c", lab.address(1), "-t", IPERF_SECONDS, "-J", *(["-R"] if reverse else [])]
    begin = time.monotonic()
    said = json.loads(client.run(argv, timeout=60).said)
    assert listener.wait(30) == 0
    total = said["end"]["sum_received"]
    assert total["bytes"] > 1e6, f"in {time.monotonic() - begin:.0f} s"
    return total["bits_per_second"] / 1e6


@pytest.mark.parametrize("on", [True, False], ids=["left-to-others", "done-by-the-kernel"])
def test_iperf_both_ways(lab, on):
    lab.set_offloads(on)
    rates = {}
    sizes = lab.measure_frames(lambda: rates.update(there=run_iperf(lab, False)))
    rates["back"] = run_iperf(lab, True)
    print({name: f"{rate:.0f} Mbit/s" for name, rate in rates.items()}, sizes)
    # The other way come acknowledgements only.
    for size in sizes:
        assert size > 2 * MTU_FRAME_BYTES if on else size <= MTU_FRAME_BYTES
    drops = {name: n for port in range(2) for name, n in lab.host.xstats(port).items()
             if ("_drop_" in name or "fault" in name) and "no_queue" not in name and n > 0}
    assert drops == {}


@pytest.mark.parametrize("on", [True, False], ids=["left-to-others", "done-by-the-kernel"])
def test_tcp_has_the_same_bytes_at_both_ends(lab, on):
    """No checksum has been looked at where both leave them to others."""
    lab.set_offloads(on)
    near, far = lab.vms
    listener = far.start([EXCHANGE, "listen", lab.address(1), 5001, EXCHANGE_MEGABYTES])
    listener.expect("listening", 30)
    ends = [listener, near.start([EXCHANGE, "connect", lab.address(1), 5001, EXCHANGE_MEGABYTES])]
    said = [end.expect(r"sent (\w{64}) got (\w{64})", 60).groups() for end in ends]
    assert said[0] == said[1][::-1]
    assert [end.wait() for end in ends] == [0, 0]
