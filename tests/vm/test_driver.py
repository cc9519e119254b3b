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


@pytest.mark.parametrize("driver", DRIVERS)
def test_killed_program_starts_again_and_nothing_is_written_in_between(rig, driver):
    host = rig.host(rig.tnic(**LOAD))
    vm = start_vm(rig, driver)
    guest = start_testpmd(vm, driver, ["--auto-start"], ["--in-memory"])
    host.command("start")
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the guest", 30)
    host.command("stop")
    guest.kill()
    pattern = start_pattern(vm)
    offer_frames(host)
    check_pattern(pattern)
    pattern.kill()
    guest = start_testpmd(vm, driver, ["--auto-start"], ["--in-memory"])
    host.command("start")
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the next program", 30)


@pytest.mark.parametrize("how, driver", [("reset", "vfio-pci"), ("reboot", "uio_pci_generic")])
def test_rebooted_guest_starts_again_and_nothing_is_written_in_between(rig, how, driver):
    host = rig.host(rig.tnic(**LOAD))
    vm = start_vm(rig, driver)
    guest = start_testpmd(vm, driver, ["--auto-start"], ["--in-memory"])
    host.command("start")
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the guest", 30)
    if how == "reset":
        vm.reset()  # under load
        host.command("stop")
    else:
        host.command("stop")  # so all of the ring's buffers are posted
        vm.reboot()
    pattern = start_pattern(vm)
    offer_frames(host)
    check_pattern(pattern)
    pattern.kill()
    guest = start_testpmd(vm, driver, ["--auto-start"], ["--in-memory"])
    host.command("start")
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames after the reboot", 30)


def test_panicking_guest_under_load_hurts_nobody(rig):
    """Its kernel hangs; nobody resets the device, nobody reads its rings."""
    host = rig.host(rig.tnic(**LOAD))
    vm = start_vm(rig, "vfio-pci")
    guest = start_testpmd(vm, args=["--auto-start"])
    host.command("start")
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the guest", 30)
    vm.panic()
    before = host.stats(1)["RX-packets"]
    wait_until(lambda: host.stats(1)["RX-packets"] > before + 5000, "the host to go on", 30)
    vm.kill()
    wait_until(lambda: not host.link_is_up(), "the machine's end")
    vm.power_on()
    guest = start_testpmd(vm, args=["--auto-start"])
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the next machine", 30)
