# SPDX-License-Identifier: BSD-3-Clause
"""
Programs under test: stock dpdk-testpmd at its prompt, and our own small ones.

Each runs on a terminal of its own (testpmd's output into a pipe is neither in order nor in time),
with a log file of all it said; on this machine, or where `start` starts it.

NMX_PRELOAD names a sanitizer's run-time, which each then has before anything else: a stock program
can load plugins that need it.
"""

import os
import re
import signal
import time

from process import Failure, LocalProcess, wait_until

PROMPT = b"testpmd> "
# What other threads say in between, even within a word of testpmd's own.
NEWS = re.compile(rb"Port \d+: [\w ]+ event\r*\n|(?:net_\w+|\w+\(\)): [^\r\n]*\r*\n")

# Said by sanitizers; such a program ends at once, and its test fails whatever else it saw.
REPORT = re.compile(rb"ERROR: \w+Sanitizer|\w+Sanitizer:DEADLYSIGNAL|: runtime error: ")
# Leaks are not looked for: DPDK's memory is searched for no pointers, so that all it points to
# would count as one. The handler of SIGBUS is left as it is: the run-time has one, ours comes before
# it and passes on what isn't a guest's.
SANITIZER_OPTIONS = {"ASAN_OPTIONS": "detect_leaks=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


def make_environment(own):
    """Of a program under test; `own` are its additions."""
    preload = os.environ.get("NMX_PRELOAD")
    if not preload:
        return {**os.environ, **own}
    return {**os.environ, "LD_PRELOAD": preload, **SANITIZER_OPTIONS, **own}


class Program:
    """A process on a pseudo-terminal."""

    def __init__(self, argv, log, cwd=None, environment=None, start=None):
        """start: starts the process, with the methods of LocalProcess."""
        self.argv = argv
        self.log = log
        self.said = b""
        if start:
            self.process = start(argv, cwd, environment or {})
        else:
            self.process = LocalProcess(argv, cwd, make_environment(environment or {}))

    @property
    def pid(self):
        return self.process.pid

    def pump(self, seconds):
        """Collect what it says within some time. False: it has closed its terminal."""
        data = self.process.read(seconds)
        if data:
            self.said += data
            with open(self.log, "ab") as file:
                file.write(data)
        return data is not None

    def drain(self):
        """Collect what it has said so far. False: it has closed its terminal."""
        while True:
            begin = len(self.said)
            if not self.pump(0):
                return False
            if len(self.said) == begin:
                return True

    def expect(self, pattern, timeout=20, since=0):
        """Wait until what it said from `since` on matches; returns the match."""
        deadline = time.monotonic() + timeout
        pattern = re.compile(pattern if isinstance(pattern, bytes) else pattern.encode())
        while True:
            match = pattern.search(self.said, since)
            if match:
                return match
            if time.monotonic() > deadline:
                raise Failure(f"no {pattern.pattern!r} in {timeout} s from {self.argv[0]}:\n"
                              + self.tail())
            if not self.pump(0.05):
                if pattern.search(self.said, since):
                    continue
                raise Failure(f"{self.argv[0]} ended before {pattern.pattern!r}:\n" + self.tail())

    def send(self, line):
        self.process.write(line.encode() + b"\n")

    def tail(self, lines=40):
        return "\n".join(self.text().splitlines()[-lines:])

    def text(self):
        return self.said.decode(errors="replace").replace("\r", "")

    def wait(self, timeout=20):
        """Its exit code, once it ends by itself."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise Failure(f"{self.argv[0]} doesn't end:\n" + self.tail())
            self.pump(0.05)
        self.drain()
        self.close()
        return self.process.returncode

    def kill(self):
        """kill -9, and gone."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.close()

    def close(self):
        """Its terminal."""
        self.process.close()

    def freeze(self):
        """SIGSTOP, and seen to have stopped: the signal alone may take effect later."""
        self.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: self.read_state() == "T", "the program to stop")

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def read_proc(self, name):
        """A file of /proc/PID, as text."""
        return self.process.read_file(f"/proc/{self.pid}/{name}").decode()

    def read_state(self):
        """One letter, of its main thread."""
        return self.read_proc("stat").rpartition(")")[2].split()[0]

    def count_fds(self):
        return len(self.process.list_folder(f"/proc/{self.pid}/fd"))

    def read_status(self, name):
        """A number of /proc/PID/status, in its unit there."""
        return int(re.search(rf"^{name}:\s*(\d+)", self.read_proc("status"), re.M).group(1))

    def count_maps(self):
        """Mappings; of files only if a sanitizer has anonymous ones of its own."""
        return sum(1 for line in self.read_proc("maps").splitlines()
                   if "/" in line or not os.environ.get("NMX_PRELOAD"))


class Testpmd(Program):
    """dpdk-testpmd, interactive."""

    __test__ = False  # no test case, whatever its name

    def __init__(self, eal, args, log, ready=60, environment=None, start=None):
        super().__init__(["dpdk-testpmd", *eal, "--", "-i", *args], log, environment=environment,
                         start=start)
        try:
            self.expect(PROMPT, ready)
        except Failure:
            self.kill()
            raise

    def command(self, line, timeout=20):
        """What it answers to a line."""
        begin = len(self.said)
        self.send(line)
        deadline = time.monotonic() + timeout
        while True:
            own = NEWS.sub(b"", self.said[begin:])
            # The line is echoed; the answer ends with a prompt. News begin with a line's end.
            if b"\n" in own and b"".join(own.split()).endswith(PROMPT.strip()):
                return self.said[begin:].decode(errors="replace").replace("\r", "")
            if time.monotonic() > deadline or not self.pump(0.05):
                raise Failure(f"no answer to '{line}' within {timeout} s:\n" + self.tail())

    def xstats(self, port=0):
        answer = self.command(f"show port xstats {port}")
        return {name: int(value) for name, value in re.findall(r"^(\w+): (\d+)$", answer, re.M)}

    def stats(self, port=0):
        answer = self.command(f"show port stats {port}")
        names = ("RX-packets", "RX-bytes", "RX-missed", "RX-errors", "TX-packets", "TX-bytes",
                 "TX-errors")
        return {name: int(re.search(name + r":\s*(\d+)", answer).group(1)) for name in names}

    def link_is_up(self, port=0):
        return "Link status: up" in self.command(f"show port info {port}")

    def quit(self, timeout=30):
        self.send("quit")
        return self.wait(timeout)


class Guest(Program):
    """The light test guest."""

    def __init__(self, binary, path, log, queues=1):
        super().__init__([binary, path, str(queues)], log)
        self.expect(r"ok\r*\n", 10)

    def ask(self, line, timeout=10):
        """The answer's words; raises if it is no "ok"."""
        begin = len(self.said)
        self.send(line)
        match = self.expect(re.escape(line) + r"\r*\n(?:.*\n)*?(ok|error)([^\r\n]*)\r*\n", timeout,
                            begin)
        if match.group(1) != b"ok":
            raise Failure(f"{line}: {match.group(0).decode()}")
        return match.group(2).decode().split()


def check_counters(host, guest, stream):
    """What each side counted is what the stream had, frame by frame and byte by byte."""
    h, g = host.xstats(0), guest.xstats(0)
    assert h["to_guest_frames"] == g["rx_good_packets"] == stream.sent
    assert h["from_guest_frames"] == g["tx_good_packets"] == stream.received
    assert h["to_guest_bytes"] == g["rx_good_bytes"]
    assert h["from_guest_bytes"] == g["tx_good_bytes"]
    for stats in (h, g):
        wrong = {name: value for name, value in stats.items()
                 if value and ("drop" in name or "error" in name or "fault" in name
                               or "device_" in name or "lost" in name or "kept" in name)}
        assert wrong == {}
