# SPDX-License-Identifier: BSD-3-Clause
"""
No wake-up is lost in a virtual machine: programs that sleep for frames get every single one.

l3fwd-power is DPDK's own: as it is, it wakes each 10 ms whether there is an interrupt or not, which
hides one that is lost; so it is tried without that, too.
"""

import re
import subprocess
import time

import pytest

from dpdk import eal_args, start_vm
from lengths import get_length
from rig import ROOT
from testpmd import wait_until

PULSES = get_length("NMX_VM_PULSES")
FRAMES = get_length("NMX_VM_INTERRUPT_FRAMES")
# Up to so long after a frame comes the next: l3fwd-power goes to sleep at the earliest after a third
# of a millisecond, and here, where a guest is emulated, after some.
PAUSE_US = 10_000
WOKEN = b"is waked up from rx interrupt on port 0 queue 0"
EPOLL_WAIT = "232"
END = re.compile(rb"(returned|lost) (\d+)\r")


@pytest.fixture(scope="session")
def l3fwd_power():
    """The folder with both forms of it."""
    folder = f"{ROOT}/build/l3fwd-power"
    subprocess.run([f"{ROOT}/devtools/l3fwd-power", folder], check=True)
    return folder


def start_pulses(rig):
    """The host: it sends, and wants back, one frame after the other."""
    pulses = rig.program("pulses", [f"{ROOT}/build/bin/nmx-pulses",
                                    *rig.eal("host", [f"net_vdpdk_host0,path={rig.path('g0')}"]),
                                    "--", str(PULSES), str(PAUSE_US), "7"])
    pulses.expect("ready", 30)
    return pulses


def start_l3fwd(vm, binary):
    eal = eal_args(vm, vm.bind("vfio-pci"), ["--lcores", "1@1", "--no-telemetry"])
    program = vm.start([binary, *eal, "--", "-p", "1", "-P", "--config=(0,0,1)", "--parse-ptype",
                        "--interrupt-only"])
    program.expect("Port 0 Link up", 60)
    program.expect("entering main interrupt loop on lcore 1", 30)
    assert "won't enable" not in program.text()
    wait_until(lambda: is_asleep(program), "l3fwd-power to sleep")
    return program


def is_asleep(program):
    return program.read_proc("syscall").split()[0] == EPOLL_WAIT


class Activity:
    """What a program's only lcore does from now on until look()."""

    def __init__(self, program):
        self.program = program
        self.before = self.read()

    def read(self):
        # Behind the name: state, and 10 fields on the ticks in user and in kernel mode.
        ticks = self.program.read_proc("stat").rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)), self.program.read_status("voluntary_ctxt_switches")

    def look(self):
        """Ticks of 10 ms that it ran for, and how often it went to sleep."""
        return [now - before for now, before in zip(self.read(), self.before)]


def watch_idle(l3fwd):
    """What it does in two seconds without frames: ticks, and how often it went to sleep."""
    activity = Activity(l3fwd)
    time.sleep(2)
    ticks, sleeps = activity.look()
    print(f"idle: {ticks} ticks, asleep {sleeps} times")
    return ticks, sleeps


def exchange(pulses, l3fwd):
    """All frames there and back; most of them woke the router."""
    def is_over():
        l3fwd.drain()  # it tells of each, and waits for whoever listens
        pulses.drain()
        return END.search(pulses.said)

    begin = len(l3fwd.said)
    pulses.send("")
    wait_until(is_over, "the last frame", 60 + PULSES // 20)
    assert END.search(pulses.said).groups() == (b"returned", str(PULSES).encode())
    woken = l3fwd.said.count(WOKEN, begin)
    print(f"woken for {woken} of {PULSES} frames")
    assert woken > PULSES // 2


def test_l3fwd_power_that_waits_for_ever_is_woken_for_each_frame(rig, l3fwd_power):
    pulses = start_pulses(rig)
    l3fwd = start_l3fwd(start_vm(rig, "vfio-pci"), f"{l3fwd_power}/l3fwd-power-patient")
    # Without frames there is nothing that wakes it, so it does nothing at all. A tick may be one
    # from before, that was told late.
    ticks, sleeps = watch_idle(l3fwd)
    assert ticks <= 1 and sleeps == 0
    exchange(pulses, l3fwd)
    wait_until(lambda: is_asleep(l3fwd), "l3fwd-power to sleep again")


def test_stock_l3fwd_power_is_woken_for_each_frame(rig, l3fwd_power):
    pulses = start_pulses(rig)
    l3fwd = start_l3fwd(start_vm(rig, "vfio-pci"), f"{l3fwd_power}/l3fwd-power")
    ticks, sleeps = watch_idle(l3fwd)
    assert ticks < 50 and sleeps < 300
    exchange(pulses, l3fwd)
    l3fwd.send("\x03")  # heard at the next time-out
    assert l3fwd.wait() == 0


def start_waiter(vm, driver):
    eal = eal_args(vm, vm.bind(driver), ["--lcores", "1@1", "--no-telemetry"])
    return vm.start([f"{ROOT}/build/bin/nmx-rxwait", *eal, "--", FRAMES, "7"])


def test_guest_is_woken_for_each_frame(rig):
    # One frame under way: the next is sent when this one is back, so a lost wake-up ends the stream.
    host = rig.host(rig.tnic(window=1, frames=FRAMES, sizes="60-200", flows=1))
    waiter = start_waiter(start_vm(rig, "vfio-pci"), "vfio-pci")
    waiter.expect("waiting", 60)
    host.command("start")
    rig.check_stream(timeout=60 + FRAMES // 20)
    received, waits = waiter.expect(r"received (\d+) waits (\d+)", 30).groups()
    assert int(received) == FRAMES
    assert int(waits) > FRAMES * 0.9
    signals = host.xstats(0)["to_guest_signals"]
    print(f"{waits.decode()} waits, {signals} signals for {FRAMES} frames")
    # About half of the frames were sent for after arming: those the device had to signal.
    assert signals > FRAMES * 0.4
    waiter.send("")
    assert waiter.wait() == 0


def test_rx_interrupts_are_refused_below_uio_pci_generic(rig):
    rig.host()
    waiter = start_waiter(start_vm(rig, "uio_pci_generic"), "uio_pci_generic")
    waiter.expect("no port with Rx interrupts: Operation not supported", 60)
    assert waiter.wait() == 1
