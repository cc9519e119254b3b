# SPDX-License-Identifier: BSD-3-Clause
"""The device as QEMU and a guest's kernel have it, with no driver of ours in the guest."""

import os
import re
import struct
import time

import pytest

from dpdk import DRIVERS, start_testpmd, start_vm
from lengths import get_length
from process import Failure, wait_until
from rig import ROOT

TX_DOORBELL = 0x100
PLUGS = get_length("NMX_PLUGS")
MSIX_ID = 0x11
PROGRAM = ["/usr/bin/python3", "-S", f"{ROOT}/tests/vm/vfio_program.py"]


def find_capability(config, wanted):
    """Where a capability is in configuration space."""
    at = config[0x34]
    while at and config[at] != wanted:
        at = config[at + 1]
    return at


def check_device(vm, number=0):
    """It is there with all that a driver needs; its PCI address."""
    address = vm.find_nic(number)
    assert address
    folder = f"/sys/bus/pci/devices/{address}"
    ids = [vm.read(f"{folder}/{name}").strip() for name in ("vendor", "device", "class")]
    assert ids == ["0x1af4", "0x10f8", "0x020000"]
    ranges = [[int(word, 16) for word in line.split()]
              for line in vm.read(f"{folder}/resource").splitlines()]
    sizes = [last - first + 1 if last else 0 for first, last, _ in ranges[:6]]
    assert sizes == [4096, 0, 4096, 0, 0, 0]
    config = vm.agent.read_file(f"{folder}/config")
    msix = find_capability(config, MSIX_ID)
    control, table, pending = struct.unpack_from("<HII", config, msix + 2)
    assert (table, pending) == (2, 0x800 | 2)
    assert control & 0x7ff == 1  # one queue pair: two vectors
    return address


def ring(vm, times, number=0):
    """Doorbells by a program in the guest; nanoseconds each."""
    return int(vm.run([f"{ROOT}/tests/vm/registers.py", vm.find_nic(number), "ring",
                       hex(TX_DOORBELL), times]).said)


def count_footprint(host):
    """What a client can leave behind in the host's process: descriptors, and maps of its memory."""
    return host.count_fds(), host.read_proc("maps").count("/memfd:memory-backend-memfd")


def start_vfio_program(vm, address):
    program = vm.start([*PROGRAM, address])
    program.expect("ready")
    return program


def ask(program, line):
    since = len(program.said)
    program.send(line)
    return program.expect(r"(ok|error) [^\r\n]*", 60, since).group(0).decode()


def test_device_is_seen_and_both_kernel_drivers_take_it(rig):
    rig.host()
    vm = rig.vm("g0")
    address = check_device(vm)
    assert "iommu_group" in vm.list(f"/sys/bus/pci/devices/{address}")
    assert vm.bind("uio_pci_generic") == address
    assert vm.list("/sys/class/uio") == ["uio0"]
    assert vm.bind("vfio-pci") == address
    group = os.path.basename(vm.run(["readlink", f"/sys/bus/pci/devices/{address}/iommu_group"])
                             .said.strip())
    assert group in vm.list("/dev/vfio")


def test_doorbells_are_posted(rig):
    """No write of a doorbell waits for an answer, and all arrive."""
    host = rig.host()
    vm = rig.vm("g0", trace=["vfio_user_send_write", "vfio_user_recv_hdr", "vfio_user_region_rw"])
    ring(vm, 1)
    rung = host.xstats()["guest_doorbells_ignored"]
    begin = len(vm.read_trace())
    ns = ring(vm, 1000)
    print(f"doorbell: {ns / 1000:.1f} us")
    trace = vm.read_trace()[begin:]
    assert host.xstats()["guest_doorbells_ignored"] - rung == 1000
    assert trace.count("vfio_user_region_rw  region 0 offset 0x100 count 4") == 1000
    # Configuration space and registers that were read were answered, and nothing else was.
    answers = len(re.findall(r"vfio_user_recv_hdr .* flags 0x1", trace))
    others = len(re.findall(r"vfio_user_region_rw  region (?!0 offset 0x100 )", trace))
    assert 0 < answers == others < 50
    # A message that finds no room in the socket is sent again.
    assert len(set(re.findall(r"vfio_user_send_write  id (\w+)", trace))) == 1000 + others


def test_two_virtual_machines_have_a_device_each(rig):
    host = rig.testpmd("host", [f"net_vdpdk_host{i},path={rig.path(f'g{i}')}" for i in (0, 1)])
    vms = [rig.vm("g0"), rig.vm("g1")]
    for number, vm in enumerate(vms):
        check_device(vm)
        ring(vm, 10 + number)
    assert [host.xstats(i)["guest_doorbells_ignored"] for i in (0, 1)] == [10, 11]
    vms[0].kill()
    ring(vms[1], 5)
    assert host.xstats(1)["guest_doorbells_ignored"] == 16


@pytest.mark.parametrize("iommu", [False, True])
def test_killed_qemu_leaves_nothing_and_the_next_is_served(rig, iommu):
    host = rig.host()
    before = count_footprint(host)
    # Before the firmware, while it runs, while the kernel boots.
    for delay in (0, 0.3, 2):
        vm = rig.vm("g0", iommu=iommu, boot=False)
        time.sleep(delay)
        vm.kill()
        wait_until(lambda: count_footprint(host) == before, "the host to be as it was")
    vm = rig.vm("g0", iommu=iommu)
    address = check_device(vm)
    assert iommu or count_footprint(host) > before
    if iommu:
        program = start_vfio_program(vm, vm.bind())
        assert ask(program, "map 0x100000000 0x100000") == "ok 1048576"
    vm.kill()
    wait_until(lambda: count_footprint(host) == before, "the host to be as it was")
    assert check_device(rig.vm("g0", iommu=iommu)) == address


def test_maps_of_a_dead_program_go_with_it(rig):
    """A guest's kernel drops a whole page table, and QEMU tells of it by ranges."""
    host = rig.host()
    vm = rig.vm("g0", memory=512)
    address = vm.bind()
    maps = []
    for end in ("kill", "unmap", "end"):
        program = start_vfio_program(vm, address)
        idle = count_footprint(host)
        for iova, size in ((1 << 32, 2 << 20), (2 << 32, 64 << 10), (3 << 32, 4 << 20)):
            assert ask(program, f"map {iova:#x} {size:#x}") == f"ok {size}"
        assert ask(program, "read 0") == f"ok {int.from_bytes(b'vDPK', 'little')}"
        maps.append(count_footprint(host)[1] - idle[1])
        assert maps[-1] > 0
        if end == "unmap":
            assert ask(program, f"unmap {1 << 32:#x} {3 << 32:#x}") == f"ok {(6 << 20) + (64 << 10)}"
            wait_until(lambda: count_footprint(host) == idle, "the maps to go")
        if end == "end":
            program.send("end")
            assert program.wait() == 0
        program.kill()
        wait_until(lambda: count_footprint(host) == idle, "the maps to go")
    assert "dma_map" not in vm.read_log("qemu"), vm.read_log("qemu")


def test_device_is_there_after_each_reboot(rig):
    host = rig.host()
    vm = rig.vm("g0")
    address = check_device(vm)
    for reboot in (vm.reset, vm.reboot):
        vm.bind("vfio-pci")
        reboot()
        assert check_device(vm) == address
        ring(vm, 1)
    stats = host.xstats()
    assert stats["guest_sessions"] == 1
    assert stats["guest_resets"] >= 3


def test_devices_are_plugged_in_one_after_the_other(rig):
    rig.testpmd("host", [f"net_vdpdk_host{i},path={rig.path(f'g{i}')}" for i in (0, 1)])
    vm = rig.vm(ports=2)
    programs = []
    for number in (0, 1):
        assert vm.find_nic(number) is None
        vm.nics.append(rig.path(f"g{number}"))
        begin = time.monotonic()
        vm.add_nic(number)
        address = vm.wait_nic(number)
        print(f"found after {time.monotonic() - begin:.1f} s")
        assert check_device(vm, number) == address
        programs.append(start_vfio_program(vm, vm.bind("vfio-pci", number)))
        for program in programs:
            assert ask(program, f"write {TX_DOORBELL:#x} 1") == "ok 1"


def test_unplugged_device_with_interrupts_leaves_nothing_in_the_host(rig):
    """
    QEMU up to 11.1.3 aborts when it frees a vfio-user device with MSI-X: the region of the pending
    bits is to leave its BAR, which is no more. All that concerns the host is over by then.
    """
    host = rig.host()
    before = count_footprint(host)
    vm = rig.vm("g0")
    program = start_vfio_program(vm, vm.bind())
    assert ask(program, "map 0x100000000 0x100000") == "ok 1048576"
    program.kill()
    try:
        vm.remove_nic()
    except Failure:
        assert "memory_region_del_subregion" in vm.read_log("qemu"), vm.read_log("qemu")
    wait_until(lambda: count_footprint(host) == before, "the host to be as it was")
    vm.kill()
    check_device(rig.vm("g0"))


@pytest.mark.parametrize("driver", DRIVERS)
def test_device_without_interrupts_comes_and_goes_under_a_program(rig, driver):
    """Plugged in, used, unplugged while it is used: the program lets go, and QEMU is as before."""
    host = rig.host(devargs=",interrupts=0", args=["--forward-mode=txonly", "--auto-start"])
    before = count_footprint(host)
    vm = start_vm(rig, driver, "g0", ports=1)
    for turn in range(PLUGS):
        if turn > 0:
            vm.add_nic()
        vm.wait_nic()
        guest = start_testpmd(vm, driver, ["--auto-start", "--forward-mode=rxonly"])
        wait_until(lambda guest=guest: guest.stats()["RX-packets"] > 100, "frames", 30)
        since = len(guest.said)
        if driver == "vfio-pci":
            # The kernel asks the program for the device back.
            vm.remove_nic()
            guest.expect("device removal event", 20, since)
            guest.expect("Device is detached", 20, since)
        assert guest.quit() == 0
        if driver != "vfio-pci":
            vm.remove_nic()
        vm.wait_nic(present=False)
        wait_until(lambda: count_footprint(host) == before, "the host to be as it was")
    assert vm.process.poll() is None


@pytest.mark.skipif(os.environ.get("NMX_NO_HUGE") == "1", reason="no huge pages here")
def test_guest_of_huge_pages_is_mapped(rig):
    host = rig.host()
    before = count_footprint(host)
    vm = rig.vm("g0", iommu=False, huge=True, memory=512, hugepages=16)
    check_device(vm)
    with open(f"/proc/{host.pid}/maps", encoding="ascii") as maps:
        assert "/memfd:memory-backend-memfd" in maps.read()
    vm.kill()
    wait_until(lambda: count_footprint(host) == before, "the host to be as it was")
