# SPDX-License-Identifier: BSD-3-Clause
"""Nothing per packet but the packet's work: what data threads do while frames pass."""

import os
import re
import signal
import struct
import subprocess
import time

import pytest

from rig import ROOT, memory_args
from testpmd import wait_until

SINGLE = {"window": 1, "frames": 2000, "sizes": "60-200", "flows": 1}
FRAMES_MIN = 1000000


def get_data_thread(program):
    """The id of its only forwarding lcore's thread; the main lcore sleeps at the prompt."""
    found = []
    for tid in os.listdir(f"/proc/{program.pid}/task"):
        with open(f"/proc/{program.pid}/task/{tid}/comm", encoding="utf-8") as comm:
            if re.match(r"(lcore|rte)-worker", comm.read()):
                found.append(int(tid))
    assert len(found) == 1, f"one worker thread, but there are {len(found)}"
    return found[0]


class Trace:
    """strace of one thread, the listing in the test's log."""

    def __init__(self, rig, program, name):
        self.path = f"{rig.logs}/{name}.strace"
        tid = get_data_thread(program)
        self.process = subprocess.Popen(
            ["strace", "-p", str(tid), "-o", self.path],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        # It says so once it has the thread; nothing is seen before.
        assert "attached" in self.process.stderr.readline()

    def stop(self):
        """Names of the system calls that were made."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.process.stderr.close()
        with open(self.path, encoding="utf-8") as listing:
            return re.findall(r"^(\w+)\(", listing.read(), re.M)


def forward(rig, preload=None):
    """A host and a guest that pass frames round as fast as they can."""
    host = rig.testpmd("host", [rig.host_vdev(), "net_null0,size=64"],
                       ["--auto-start", "--total-num-mbufs=16384"], memory_args(), tiny=True,
                       preload=preload and preload("host"))
    guest = rig.guest(args=["--auto-start", "--forward-mode=macswap"],
                      preload=preload and preload("guest"))
    wait_until(lambda: guest.xstats(0)["tx_good_packets"] > FRAMES_MIN, "traffic")
    return host, guest


def let_pass(guest):
    """A second with more than a million frames."""
    before = guest.xstats(0)["tx_good_packets"]
    time.sleep(1)
    wait_until(lambda: guest.xstats(0)["tx_good_packets"] > before + FRAMES_MIN, "frames")


def test_polling_threads_make_no_system_call(rig, kind):
    """The host's, and our own guest's."""
    host, guest = forward(rig)
    traces = [Trace(rig, program, name) for program, name in (
        (host, "host"), *([(guest, "guest")] if kind == "vdpdk" else []))]
    let_pass(guest)
    assert {call for trace in traces for call in trace.stop()} == set()


def start_sleeper(rig, side, vdev):
    binary = os.path.join(ROOT, "build/bin/nmx-rxwait")
    sleeper = rig.program("rxwait", [binary, *rig.eal(side, [vdev]), "--",
                                     str(SINGLE["frames"]), "7"])
    sleeper.expect("waiting", 30)
    return sleeper


def check_signals(rig, sender, sleeper, counter, call):
    """Whoever sends makes that system call once for each arming of the sleeper, and no other."""
    sender.command("start")
    trace = Trace(rig, sender, "sender")
    before = sender.xstats(0)[counter]
    rig.check_stream()
    waits = int(sleeper.expect(r"received \d+ waits (\d+)", 30).group(1))
    calls = trace.stop()
    after = sender.xstats(0)[counter]
    assert set(calls) == {call}
    # The trace began a little after the stream.
    assert after - before <= len(calls) <= after <= waits


def test_host_signals_a_sleeping_guest_once_for_each_arming(rig):
    """A stock virtio guest looks again after arming, by itself: kernels do, in tests/vm."""
    host = rig.host(rig.tnic(**SINGLE))
    sleeper = start_sleeper(rig, "guest", rig.guest_vdev())
    check_signals(rig, host, sleeper, "to_guest_signals", "io_submit")


def test_guest_rings_a_sleeping_host_once_for_each_arming(rig):
    sleeper = start_sleeper(rig, "host", f"net_vdpdk_host0,path={rig.path('g0')}")
    guest = rig.guest(rig.tnic(**SINGLE))
    check_signals(rig, guest, sleeper, "tx_doorbells", "write")


CALLS = ("allocate", "free", "lock", "log")


def read_calls(rig, program, side):
    """How often the data thread has made each of the counted calls."""
    tid = get_data_thread(program)
    with open(rig.path(f"calls-{side}"), "rb") as file:
        data = file.read()
    for thread, *numbers in struct.iter_unpack(f"{1 + len(CALLS)}Q", data):
        assert thread != 2**64 - 1, "more threads than count_calls.c has room for"
        if thread == tid:
            return dict(zip(CALLS, numbers))
    return dict.fromkeys(CALLS, 0)


def test_polling_threads_neither_lock_nor_allocate_nor_log(rig, kind):
    library = os.path.join(ROOT, "build/bin/nmx-count-calls.so")
    if not os.path.exists(library):
        pytest.fail("build/bin/nmx-count-calls.so isn't there; run make build")
    if os.environ.get("NMX_PRELOAD"):
        pytest.skip("a sanitizer's run-time counts calls instead")
    host, guest = forward(rig, lambda side: {
        "LD_PRELOAD": library, "NMX_COUNT_CALLS": rig.path(f"calls-{side}")})
    ours = [(host, "host"), *([(guest, "guest")] if kind == "vdpdk" else [])]
    before = [read_calls(rig, *program) for program in ours]
    let_pass(guest)
    assert [read_calls(rig, *program) for program in ours] == before
    # What counts nothing proves nothing: the program's other threads have done all of it.
    with open(rig.path("calls-guest"), "rb") as file:
        numbers = [n for _, *n in struct.iter_unpack(f"{1 + len(CALLS)}Q", file.read())]
    assert all(sum(column) > 0 for column in zip(*numbers))
