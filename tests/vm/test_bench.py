# SPDX-License-Identifier: BSD-3-Clause
"""The bench itself: guests boot, programs in them are under control, nothing is left."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from process import Failure, wait_until
from rig import ROOT
from vm import get_parts

# As the tests' own machine: starts a QEMU that does nothing, says its pid, and waits.
STARTER = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
time.sleep(60)
"""


def test_guest_boots_and_runs_commands(shared_vm):
    vm = shared_vm
    print(f"boot: {vm.boot_s:.1f} s")
    result = vm.run("echo said; echo complained >&2; exit 3", check=False)
    assert (result.status, result.said) == (3, "said\ncomplained\n")
    assert vm.run(["printf", "%s|", "a b", "$c"]).said == "a b|$c|"
    assert vm.run("kill -9 $$", check=False).status == -signal.SIGKILL
    with pytest.raises(FileNotFoundError):
        vm.run(["no-such-program"])
    with pytest.raises(Failure, match="exit code 1"):
        vm.run("false")
    # Much is said in the time that it takes, and all of it arrives.
    assert len(vm.run("seq 100000").said.splitlines()) == 100000
    for folder in ("/run", "/tmp", "/dev/shm", "/root", "/dev/hugepages"):
        vm.run(["mkdir", f"{folder}/probe"])
    assert re.search(r"HugePages_Free:\s*128\b", vm.read("/proc/meminfo"))


def test_hanging_command_is_ended_in_time(shared_vm):
    vm = shared_vm
    begin = time.monotonic()
    with pytest.raises(Failure, match="not done in 2 s; it said:\nbefore"):
        vm.run("echo before; sleep 1000 & wait", timeout=2)
    assert time.monotonic() - begin < 5
    assert "sleep" not in vm.run("cat /proc/*/comm", check=False).said


def test_programs_run_side_by_side_on_terminals(shared_vm):
    vm = shared_vm
    cats = [vm.start(["cat"]) for _ in range(8)]
    for number, cat in enumerate(cats):
        cat.send(f"line {number}")
    for number, cat in reversed(list(enumerate(cats))):
        # The terminal's echo, and what the program says.
        cat.expect(rf"line {number}\r\nline {number}\r\n")
    assert cats[0].count_fds() == 3
    cats[0].freeze()
    assert cats[0].read_state() == "T"
    cats[0].thaw()
    cats[0].send("again")
    cats[0].expect(r"again\r\nagain")
    cats[0].send("\x04")
    assert cats[0].wait() == 0
    cats[1].kill()
    assert cats[1].process.returncode == -signal.SIGKILL
    assert cats[2].process.poll() is None


def test_stock_testpmd_runs_in_a_guest(shared_vm):
    vm = shared_vm
    testpmd = vm.testpmd(["--vdev", "net_null0"])
    assert testpmd.stats()["RX-packets"] == 0
    assert testpmd.link_is_up()
    assert testpmd.quit() == 0


def test_dead_guest_fails_the_test_with_its_last_words(rig):
    vm = rig.vm()
    cat = vm.start(["cat"])
    vm.panic()
    with pytest.raises(Failure, match="Kernel panic"):
        vm.run("true", timeout=2)
    assert cat.process.poll() == -signal.SIGKILL
    vm.reset()
    assert vm.run("echo back").said == "back\n"


def test_nothing_is_left_of_a_bench_that_is_killed():
    parts = get_parts()
    argv = [f"{ROOT}/devtools/in-root", parts["qemu"], "/:/mnt/root:ro", "--",
            "qemu-system-x86_64", "-S", "-nodefaults", "-display", "none"]
    mounts = len(open("/proc/self/mounts", encoding="ascii").readlines())
    starter = subprocess.Popen([sys.executable, "-c", STARTER, *argv], stdout=subprocess.PIPE)
    pid = int(starter.stdout.readline())
    starter.stdout.close()

    def read_name():
        with open(f"/proc/{pid}/comm", encoding="ascii") as comm:
            return comm.read().strip()
    wait_until(lambda: read_name() == "qemu-system-x86", "QEMU to start")
    starter.kill()
    starter.wait()
    wait_until(lambda: not os.path.exists(f"/proc/{pid}"), "QEMU to end with who started it")
    assert len(open("/proc/self/mounts", encoding="ascii").readlines()) == mounts
