# SPDX-License-Identifier: BSD-3-Clause
"""Stock testpmd in a virtual machine, on the device as vfio-pci and uio_pci_generic give it."""

import pytest

from dpdk import DRIVERS, start_testpmd, start_vm
from rig import ROOT
from testpmd import check_counters, wait_until

STREAM = {"window": 32, "frames": 20_000, "sizes": "60-9000", "segments": "1-8", "flows": 64}
# What is sent on and on, whether somebody takes it or not.
LOAD = {"window": 0, "rate": 20_000, "sizes": "60-1500", "flows": 8}
MB_OF_PATTERN = 200


def start_pattern(vm):
    """All of the guest's huge pages, and more memory, with a pattern."""
    program = vm.start([f"{ROOT}/tests/vm/pattern.py", MB_OF_PATTERN])
    filled = int(program.expect(r"filled (\d+)", 120).group(1))
    assert filled >= 2 * vm.options["hugepages"] + MB_OF_PATTERN - 2
    return program


def check_pattern(program):
    since = len(program.said)
    program.send("check")
    assert program.expect(r"(clean|changed[^\r\n]*)[\r\n]", 120, since).group(1) == b"clean"


def offer_frames(host, n=5000):
    """Frames for the guest, as many as its ring has buffers and more; nobody is to get them."""
    before = host.xstats(0)
    host.command("start")
    wait_until(lambda: host.stats(1)["RX-packets"] >= n, "frames for the guest", 30)
    host.command("stop")
    after = host.xstats(0)
    assert after["to_guest_frames"] == before["to_guest_frames"]


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("queues, mode", [(1, "io"), (2, "macswap")])
def test_stream_through_a_guest_is_clean(rig, driver, queues, mode):
    macs = "swapped" if mode == "macswap" else "same"
    host = rig.host(rig.tnic(macs=macs, **STREAM), queues=queues)
    vm = start_vm(rig, driver)
    guest = start_testpmd(vm, driver, ["--auto-start", f"--forward-mode={mode}",
                                       f"--rxq={queues}", f"--txq={queues}"])
    host.command("start")
    stream = rig.check_stream(timeout=120)
    check_counters(host, guest, stream)
    assert guest.quit() == 0


def start_receiver(vm, driver="vfio-pci"):
    """A program in the guest that has got some of the load."""
    guest = start_testpmd(vm, driver, ["--auto-start"], ["--in-memory"])
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the guest", 30)
    return guest


def end_program(guest, vm, host, how):
    """In each way that leaves the ring with buffers; under load, or with all of them posted."""
    if how == "reset under load":
        vm.reset()
    host.command("stop")
    if how == "killed":
        guest.kill()
    elif how == "rebooted":
        vm.reboot()


@pytest.mark.parametrize("driver, other", [("vfio-pci", "reset under load"),
                                           ("uio_pci_generic", "rebooted")])
def test_next_program_starts_and_nothing_is_written_in_between(rig, driver, other):
    host = rig.host(rig.tnic(**LOAD))
    vm = start_vm(rig, driver)
    for how in ("killed", other):
        host.command("start")
        end_program(start_receiver(vm, driver), vm, host, how)
        pattern = start_pattern(vm)
        offer_frames(host)
        check_pattern(pattern)
        pattern.kill()
    host.command("start")
    start_receiver(vm, driver)


def test_panicking_guest_under_load_hurts_nobody(rig):
    """Its kernel hangs; nobody resets the device, nobody reads its rings."""
    host = rig.host(rig.tnic(**LOAD))
    vm = start_vm(rig, "vfio-pci")
    host.command("start")
    start_receiver(vm)
    vm.panic()
    before = host.stats(1)["RX-packets"]
    wait_until(lambda: host.stats(1)["RX-packets"] > before + 5000, "the host to go on", 30)
    vm.kill()
    wait_until(lambda: not host.link_is_up(), "the machine's end")
    vm.power_on()
    start_receiver(vm)
