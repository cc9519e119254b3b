# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""One stock dpdk-testpmd, driven by its prompt.

    host = Testpmd(sandbox, "host", ["--vdev", "net_null0"], "io", cpu=0, log="build/demo/host.log")
    host.check_ports({"net_null0": "net_null"})
    host.command("start")
    host.quit()

The prompt is behind a pseudo-terminal: through a pipe testpmd would hold it back. That is its
controlling terminal too, so that the kernel ends it (SIGHUP) should the demo be killed. What EAL
and the drivers log goes to the log file, and what testpmd says is added there.
"""

import dataclasses
import fcntl
import os
import pty
import re
import select
import signal
import subprocess
import termios
import time

from demo_sandbox import PREFIX, Failure

PROMPT = "testpmd> "
EAL_CPUS = 128  # it knows no higher ones
START_S = 60
ANSWER_S = 20
# Enough for both ports' rings and a burst in each hand, of 2176 bytes each.
N_MBUFS = 16384

PORT_LINE = re.compile(r"^(\d+)\s+((?:[0-9A-F]{2}:){5}[0-9A-F]{2})\s+(\S+)\s+(\S+)\s", re.M)


def topology(cpu, name):
    try:
        with open(f"/sys/devices/system/cpu/cpu{cpu}/topology/{name}", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return str(cpu) if name == "thread_siblings_list" else ""


def pick_cpus():
    """A CPU for the host and one for the guest. @return both; the same if there is only one"""
    cpus = [cpu for cpu in sorted(os.sched_getaffinity(0)) if cpu < EAL_CPUS] or [0]
    # One thread of each core, of one package; CPU 0 has most of the interrupts.
    cores = list({topology(cpu, "thread_siblings_list"): cpu for cpu in reversed(cpus)}.values())
    package = topology(cpus[-1], "physical_package_id")
    cores = sorted(cpu for cpu in cores if topology(cpu, "physical_package_id") == package)
    if len(cores) < 2:
        cores = cpus
    return (cores[-2], cores[-1]) if len(cores) > 1 else (cores[0], cores[0])


@dataclasses.dataclass
class Port:
    """A line of "show port summary all"."""

    number: int
    mac: str
    driver: str


@dataclasses.dataclass
class Count:
    """Frames that left by a port since it was started, and when that was asked."""

    n_out: int
    time_s: float


def take_terminal():
    """In the child: stdin becomes its controlling terminal, whose hang-up ends it."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Testpmd:
    """Both its threads are on one CPU: that of the prompt sleeps, the other forwards."""

    def __init__(self, sandbox, name, eal, mode, *, cpu, log, wrapper=(), more=()):
        self.name = name
        self.log = log
        argv = [*wrapper, "dpdk-testpmd", "--lcores", f"1@{cpu},2@{cpu}", "--no-pci",
                "--file-prefix", PREFIX + name, *eal,
                "--", "--interactive", f"--forward-mode={mode}", f"--total-num-mbufs={N_MBUFS}",
                *more]
        with open(log, "w", encoding="utf-8") as file:
            file.write(f"{' '.join(argv)}\n")
        self._terminal, inner = pty.openpty()
        with open(log, "ab") as errors:
            self._child = sandbox.spawn(argv, stdin=inner, stdout=inner, stderr=errors,
                                        prepare=take_terminal)
        os.close(inner)
        self._read(START_S)

    def _read_some(self, timeout_s):
        """What there is to read. @return "" after timeout_s; None if nobody is at the other end"""
        if not select.select([self._terminal], [], [], max(0, timeout_s))[0]:
            return ""
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # EIO
            return None
        with open(self.log, "ab") as log:
            log.write(data)
        return data.decode(errors="replace").replace("\r", "")

    def _write(self, text):
        try:
            os.write(self._terminal, f"{text}\n".encode())
        except OSError:
            raise Failure(f"the {self.name}'s testpmd has ended: {self._why_ended()}") from None

    def _read(self, timeout_s):
        """What testpmd says until the next prompt."""
        said = ""
        end = time.monotonic() + timeout_s
        while PROMPT not in said:
            some = self._read_some(end - time.monotonic())
            if some is None:
                raise Failure(f"the {self.name}'s testpmd has ended: {self._why_ended()}")
            if not some and time.monotonic() >= end:
                raise Failure(f"the {self.name}'s testpmd didn't answer in {timeout_s} s;"
                              f" see {self.log}")
            said += some
        return said

    def check_running(self):
        if self._child.poll() is not None:
            raise Failure(f"the {self.name}'s testpmd has ended: {self._why_ended()}")

    def _why_ended(self):
        """The line of the log that says most, or how the process ended."""
        try:
            code = self._child.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return f"it left its terminal; see {self.log}"
        if code < 0:
            return f"by {signal.Signals(-code).name}; see {self.log}"
        for line in self._log_lines():
            if re.match(r"(EAL: .*(annot|ailed|rror)|.*  Cause:)", line):
                return f"{line}; see {self.log}"
        return f"exit code {code}; see {self.log}"

    def _log_lines(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return [line.strip() for line in log.read().replace("\r", "").split("\n")]

    def command(self, text):
        """@return the answer"""
        self._write(text)
        return self._read(ANSWER_S)

    def check_ports(self, expected):
        """
        Are they there? testpmd runs on without a port whose probe failed.

        @param expected  driver of each name
        @return Port of each name
        """
        said = self.command("show port summary all")
        found = {name: Port(int(number), mac, driver)
                 for number, mac, name, driver in PORT_LINE.findall(said)}
        for name, driver in expected.items():
            if name not in found or found[name].driver != driver:
                raise Failure(f"the {self.name}'s port {name} is missing:"
                              f" {self._why_missing(name)}")
        return found

    def _why_missing(self, name):
        """What its driver logged before the bus gave up."""
        lines = self._log_lines()
        for number, line in enumerate(lines):
            if f"failed to initialize {name} device" in line:
                return f"{lines[number - 1]} (from {self.log})"
        return f"see {self.log}"

    def count(self, port):
        """Count of a Port."""
        begin = time.monotonic()
        said = self.command(f"show port stats {port.number}")
        end = time.monotonic()
        found = re.search(r"TX-packets:\s*(\d+)", said)
        if not found:
            raise Failure(f"the {self.name}'s testpmd gives no statistics of port {port.number};"
                          f" see {self.log}")
        return Count(int(found[1]), (begin + end) / 2)

    def quit(self):
        """Let it end by itself."""
        self.check_running()
        self._write("quit")
        end = time.monotonic() + ANSWER_S
        while self._read_some(end - time.monotonic()):
            pass
        try:
            self._child.wait(timeout=max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Failure(f"the {self.name}'s testpmd didn't end after \"quit\";"
                          f" see {self.log}") from None
        os.close(self._terminal)
        if self._child.returncode != 0:
            raise Failure(f"the {self.name}'s testpmd failed at its end: {self._why_ended()}")
