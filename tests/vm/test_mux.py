# SPDX-License-Identifier: BSD-3-Clause
"""Virtual machines behind nicmuxd: with each other, with a container, and what they cost it."""

import os
import re
import time

import pytest

from dpdk import DRIVERS, eal_args, start_testpmd, start_vm
from mux import Mux, Stations, Wire, mac
from testpmd import wait_until

MB = 1 << 20


class VmStations(Stations):
    """A station in a guest, on its first NIC."""

    def __init__(self, vm, macs, streams, frames, window=4, seed=1):
        eal = eal_args(vm, vm.bind(), ["--lcores", "0@0", "--no-telemetry"])
        self.begin(lambda argv: vm.start(argv, "stations"), eal, streams, frames, window, seed, macs)


def test_two_machines_and_a_container_lose_nothing_among_them(rig):
    names = ["vm0", "vm1", "c"]
    mux = Mux(rig, names)
    vms = [start_vm(rig, "vfio-pci", name, cpus=1) for name in names[:2]]
    macs = [mac(number) for number in range(3)]
    groups = [VmStations(vm, macs, 10, 100, seed=2 + i) for i, vm in enumerate(vms)]
    groups.append(Stations(rig, [mux.vdev("c", 0)], macs, 10, 100))
    mux.wait_linked(*names)
    for group in groups:
        group.go()
    for group in groups:
        group.wait_finished(120)
    assert [group.end() for group in groups] == [0, 0, 0]
    for name in names:
        assert mux.drops(name) == {}
    assert mux.end() == 0


def test_a_kernel_on_the_wire_pings_a_machine(rig):
    """Broadcast ARP, then unicast; testpmd's icmpecho answers for any IP address."""
    wire = Wire(rig)
    try:
        mux = Mux(rig, ["vm0"], device="net_tap0,iface=nmxwire", netns=wire.name)
        wire.set_up("nmxwire", "10.9.0.1/24")
        vm = start_vm(rig, "vfio-pci", "vm0")
        start_testpmd(vm, args=["--auto-start", "--forward-mode=icmpecho"])
        mux.wait_linked("vm0")
        answer = wire.run("ping", "-c", "20", "-i", "0.05", "-W", "5", "10.9.0.77").stdout
        assert " 0% packet loss" in answer, answer
    finally:
        wire.remove()


def count_mapped(program, pattern="memory-backend-memfd|/memfd:ram"):
    """Bytes of guests' memory that a program has mapped."""
    sizes = re.findall(rf"^([0-9a-f]+)-([0-9a-f]+) .*(?:{pattern})", program.read_proc("maps"), re.M)
    return sum(int(end, 16) - int(begin, 16) for begin, end in sizes)


def test_idle_guests_cost_little_and_their_memory_is_mapped_once(rig):
    mux = Mux(rig, DRIVERS)
    before = mux.program.read_status("RssAnon")
    mapped = 0
    for number, driver in enumerate(DRIVERS):
        vm = start_vm(rig, driver, driver)
        limit = mapped + vm.options["memory"] * MB
        assert count_mapped(mux.program) <= limit
        start_testpmd(vm, driver)
        mux.wait_linked(driver)
        assert mapped < count_mapped(mux.program) <= limit
        mapped = count_mapped(mux.program)
        grown = mux.program.read_status("RssAnon") - before
        print(f"{number + 1} idle guests: {grown} KiB, {mapped // MB} MiB mapped")
        assert grown <= (number + 1) * 4096


def test_a_gigabyte_of_maps_comes_and_goes_beside_a_paced_stream(rig):
    """The virtual IOMMU maps each page by a message, and unmaps it by another."""
    mux = Mux(rig, ["big", "source", "mirror"])
    vm = start_vm(rig, "vfio-pci", "big", memory=2048, hugepages=600)
    # Without being told, testpmd has rings of 256.
    rings = ["--rxd=1024", "--txd=1024"]
    rig.testpmd("guest", [mux.vdev("mirror", 0)],
                ["--forward-mode=macswap", "--auto-start", *rings])
    # So slow that a ring lasts for half a second, whatever the machine does meanwhile.
    stream = rig.tnic(rate=2000, window=0, frames=60_000, sizes="60-1500", src=mac(1), dst=mac(2),
                      macs="swapped")
    source = rig.testpmd("guest", [mux.vdev("source", 0), stream], rings)
    mux.wait_linked("source", "mirror")
    rig.divide_processors()
    source.command("start")
    begin = time.monotonic()
    guest = start_testpmd(vm, eal=["-m", "1024"])
    started = time.monotonic()
    assert guest.quit(60) == 0
    ended = time.monotonic()
    print(f"1 GiB through the IOMMU: {started - begin:.1f} s to start, {ended - started:.1f} s to end")
    assert not rig.report().ended, "the stream ended before the guest's program did"
    print(mux.drops("source"), mux.drops("mirror"), source.stats(0), source.stats(1))
    rig.check_stream()
    assert mux.drops("source") == mux.drops("mirror") == {}


@pytest.mark.parametrize("how", ["reconfigured", "ended"])
def test_removed_device_is_given_up_and_its_machine_lives(rig, how):
    """The operator takes the device away: the program is told, and lets go in time."""
    mux = Mux(rig, ["vm0", "c"])
    vm = start_vm(rig, "vfio-pci", "vm0")
    guest = start_testpmd(vm, args=["--auto-start"])
    mux.wait_linked("vm0")
    since = len(guest.said)
    if how == "reconfigured":
        mux.set_guests(["c"])
        mux.hang_up()
    else:
        assert mux.end() == 0
    guest.expect("device removal event", 20, since)
    # Were the function dead before its kernel has it back, this would take a minute.
    guest.expect("Device is detached", 20, since)
    assert b"kept for ever" not in guest.said[since:]
    assert guest.quit() == 0
    assert vm.run("echo alive").said == "alive\n"


def test_killed_daemon_is_noticed_and_its_machine_lives(rig):
    mux = Mux(rig, ["vm0"])
    vm = start_vm(rig, "vfio-pci", "vm0")
    guest = start_testpmd(vm, args=["--auto-start"])
    mux.wait_linked("vm0")
    since = len(guest.said)
    # QEMU up to 11.1.3 aborts if something that it sent dies unread with the daemon.
    vm.pause()
    time.sleep(0.2)
    mux.program.kill()
    vm.resume()
    # The device may be found gone by a request as well as by the thread that looks after it.
    guest.send("show port xstats 0")
    guest.expect("device removal event", 20, since)
    # The guest's kernel now waits for a minute for a dead device to be reset.
    guest.expect("Port 0 is closed", 20, since)
    assert vm.run("echo alive").said == "alive\n"
    vm.kill()
    os.unlink(rig.path("wire"))  # of the uplink's other end
    mux.start()
    vm.power_on()
    start_testpmd(vm, args=["--auto-start"])
    mux.wait_linked("vm0")
