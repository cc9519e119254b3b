# SPDX-License-Identifier: BSD-3-Clause
"""
A guest's own kernel on a vhost-user port: Linux' virtio_net in a machine of Debian 12's QEMU, and
what that can't, in one of a newer.

The host is testpmd in a namespace of its own, whose kernel has the other end: the machine's port
<-> a TAP device. Beside it, in the same process, a stream through another guest, stock testpmd on a
virtio-user port, must lose nothing, whatever becomes of the machine.

All tests share both, in the order of the file; each leaves them running.
"""

import os
import re
import time

import pytest

from lengths import get_length
from mux import Wire
from process import LocalProcess
from rig import ROOT, memory_args
from testpmd import Testpmd, make_environment, wait_until

# The host's driver. DPDK's own net_vhost takes the same arguments: the tests hold for it, too.
DRIVER = "net_iovtee"
REBINDS = get_length("NMX_REBINDS")
QUEUES = 2
TAP = "nmxvirtio"
NEAR, FAR = "10.8.0.1", "10.8.0.2"
MAC = "02:00:00:00:08:02"
MEGABYTES = 8
RECONNECT = {"stable": "reconnect=1", "backports": "reconnect-ms=1000"}
# Without KVM, QEMU 7.2 crashes where a vhost-user device has MSI-X, whoever serves it.
VECTORS = {"stable": 0, "backports": 2 * QUEUES + 2}
EXCHANGE = f"{ROOT}/tests/vm/exchange.py"
PING = ["ping", "-q", "-c", "10", "-i", "0.05", "-W", "5"]


class Lab:
    """A host, its namespace, its guests."""

    def __init__(self, rig, emulator):
        self.rig = rig
        self.emulator = emulator
        self.wire = Wire(rig)

    def start(self):
        self.start_host()
        socket = self.rig.path("machine")
        self.vm = self.rig.vm(boot=False, name="virtio", cpus=QUEUES, memory=512, hugepages=0,
                              iommu=False, drivers="all", emulator=self.emulator, qemu=[
            "-chardev", f"socket,id=vhost,path={socket},{RECONNECT[self.emulator]}",
            "-netdev", f"vhost-user,id=net,chardev=vhost,queues={QUEUES}",
            "-device", "virtio-net-pci,netdev=net,romfile=,mq=on,"
                       f"vectors={VECTORS[self.emulator]},mac={MAC}"])
        self.start_bystander()
        self.vm.wait_booted()
        self.vm.run(["modprobe", "virtio_net"])
        self.set_up_guest()

    def start_host(self):
        """Both of its sockets are there when this returns."""
        for name in ("machine", "bystander"):
            if os.path.exists(self.rig.path(name)):
                os.unlink(self.rig.path(name))  # of one that was killed; net_vhost takes no old one
        stream = self.rig.tnic(window=16, rate=50_000, frames=0, sizes="60-1500", flows=8)
        vdevs = [f"{DRIVER}0,iface={self.rig.path('machine')},queues={QUEUES}",
                 f"net_tap0,iface={TAP}",
                 f"{DRIVER}1,iface={self.rig.path('bystander')},queues={QUEUES}", stream]
        # DPDK's own tells so much of each message that, unread, it stands still and QEMU with it.
        eal = [*self.rig.eal("host", vdevs), "--log-level=lib.vhost.*:warning"]
        args = [f"--rxq={QUEUES}", f"--txq={QUEUES}", "--total-num-mbufs=16384"]
        self.host = self.rig.add(Testpmd(eal, args, self.rig.log("host"), start=self.start_on_wire))
        self.wire.set_up(TAP, f"{NEAR}/24")
        # What is for the machine goes there even while nobody answers.
        self.wire.run("ip", "neighbour", "replace", FAR, "lladdr", MAC, "dev", TAP, "nud",
                      "permanent")

    def start_on_wire(self, argv, cwd, environment):
        return LocalProcess(["ip", "netns", "exec", self.wire.name, *argv], cwd,
                            make_environment(environment))

    def start_bystander(self):
        """From here on the host forwards."""
        # vhost-user has room for few pieces of memory.
        memory = memory_args() or ["--single-file-segments"]
        vdev = f"net_virtio_user0,path={self.rig.path('bystander')},queues={QUEUES}"
        self.bystander = self.rig.testpmd(
            "guest", [vdev], ["--auto-start", "--total-num-mbufs=8192", f"--rxq={QUEUES}",
                              f"--txq={QUEUES}"], ["--no-telemetry", *memory], tiny=True)
        wait_until(lambda: self.host.link_is_up(2), "the bystander")
        self.host.command("start")

    def restart_host(self):
        """Without a word, as one that crashed."""
        self.host.kill()
        self.bystander.kill()
        self.start_host()
        self.start_bystander()

    def find_interface(self):
        name, = [name for name in self.vm.list("/sys/class/net") if name != "lo"]
        return name

    def set_up_guest(self):
        name = self.find_interface()
        self.vm.run(f"ip address add {FAR}/24 dev {name} && ip link set {name} up")
        self.wait_answers()

    def wait_answers(self):
        wait_until(lambda: self.wire.run("ping", "-q", "-c", "1", "-W", "1", FAR,
                                         check=False).returncode == 0, "the machine to answer", 30)

    def check_pings(self):
        """Both ways, nothing lost."""
        for said in (self.wire.run(*PING, FAR, check=False).stdout,
                     self.vm.run([*PING, NEAR], check=False).said):
            assert " 0% packet loss" in said, said

    def check_bystander(self):
        """The stream is clean so far, and goes on."""
        before = self.rig.report().received
        wait_until(lambda: self.rig.report().received > before + 1000, "the stream to go on", 30)
        wrong = self.rig.report().verdict()
        assert wrong == [], wrong


@pytest.fixture(scope="module", params=["stable"])
def shared_lab(make_rig, request):
    lab = Lab(make_rig(f"test_virtio-{request.param}"), request.param)
    try:
        lab.start()
        yield lab
    finally:
        lab.rig.clean_up()
        lab.wire.remove()


@pytest.fixture
def lab(shared_lab):
    """It works at a test's begin, and what the test did has harmed nobody else."""
    shared_lab.wait_answers()
    shared_lab.check_bystander()
    yield shared_lab
    shared_lab.check_bystander()


def exchange(listener, start_client, address, port):
    """Bytes both ways at once; each end got what the other one sent."""
    listener.expect("listening", 30)
    ends = [listener, start_client([EXCHANGE, "connect", address, port, MEGABYTES])]
    said = [end.expect(r"sent (\w{64}) got (\w{64})", 60).groups() for end in ends]
    assert said[0] == said[1][::-1]
    assert [end.wait() for end in ends] == [0, 0]


def count_interrupts(vm, queue):
    """Those for what came to a queue of the machine's, on all of its processors."""
    line = re.search(rf"^ *\d+:((?: +\d+)+) .*virtio\d+-input\.{queue}$",
                     vm.read("/proc/interrupts"), re.M)
    return sum(map(int, line.group(1).split()))


def test_kernels_ping_each_other(lab):
    lab.check_pings()


def test_tcp_has_the_same_bytes_at_both_ends(lab):
    """The kernel may leave checksums to the device, and takes what is larger than a frame apart."""
    def on_wire(argv):
        return lab.rig.program("exchange", ["ip", "netns", "exec", lab.wire.name, *map(str, argv)])

    exchange(lab.vm.start([EXCHANGE, "listen", FAR, 5001, MEGABYTES]), on_wire, FAR, 5001)
    exchange(on_wire([EXCHANGE, "listen", NEAR, 5002, MEGABYTES]), lab.vm.start, NEAR, 5002)


def rebind(lab, bus):
    """The kernel's driver lets the device go, while frames come for it, and takes it again."""
    device = f"/sys/class/net/{lab.find_interface()}/device"
    if bus == "pci":
        device += "/.."
    device = lab.vm.run(["readlink", "-f", device]).said.strip()
    driver = lab.vm.run(["readlink", "-f", f"{device}/driver"]).said.strip()
    assert os.path.basename(driver) == {"virtio": "virtio_net", "pci": "virtio-pci"}[bus]
    lab.vm.write(f"{driver}/unbind", os.path.basename(device))
    assert lab.vm.list("/sys/class/net") == ["lo"]
    lab.vm.write(f"{driver}/bind", os.path.basename(device))


def test_driver_lets_go_and_comes_back_beside_another_guest(lab):
    """Under load; by turns of the device in its function, and of the function."""
    load = lab.rig.program("load", ["ip", "netns", "exec", lab.wire.name, "ping", "-q", "-i",
                                    "0.002", "-s", "1400", FAR])
    for count in range(REBINDS):
        rebind(lab, ["virtio", "pci"][count % 2])
        lab.set_up_guest()
        lab.host.drain()
        lab.bystander.drain()
        wrong = lab.rig.report().verdict()
        assert wrong == [], wrong
    load.kill()
    lab.check_pings()


def test_killed_machine_makes_way_for_the_next(lab):
    lab.vm.kill()
    wait_until(lambda: not lab.host.link_is_up(0), "the machine's end to be noticed")
    lab.check_bystander()
    lab.vm.power_on()
    lab.vm.run(["modprobe", "virtio_net"])
    lab.set_up_guest()
    lab.check_pings()


def test_killed_host_comes_back_to_its_machine(lab):
    """QEMU connects again, and gives the new one what the guest has set up with the old one."""
    begin = time.monotonic()
    lab.restart_host()
    lab.wait_answers()
    print(f"back after {time.monotonic() - begin:.1f} s")
    lab.check_pings()


@pytest.mark.parametrize("shared_lab", ["backports"], indirect=True)
def test_each_processor_has_a_queue_of_its_own(lab):
    vm = lab.vm
    queues = vm.list(f"/sys/class/net/{lab.find_interface()}/queues")
    assert queues == [f"{way}-{i}" for way in ("rx", "tx") for i in range(QUEUES)]
    for queue in range(QUEUES):
        before = count_interrupts(vm, queue)
        said = vm.run(["taskset", "-c", queue, *PING, NEAR]).said
        assert " 0% packet loss" in said, said
        # The namespace's kernel answers on the queue on which it was asked.
        assert count_interrupts(vm, queue) > before
