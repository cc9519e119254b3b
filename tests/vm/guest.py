# SPDX-License-Identifier: BSD-3-Clause
"""The bench's end of a guest's agent (agent.py), and processes in the guest."""

import base64
import json
import select
import signal
import time

from process import Failure

# Seconds for the agent to do what takes no time, on a machine that is busy with other things.
ANSWER_S = 30
CHUNK = 16384


class Agent:
    """
    The connection. It lives as long as QEMU; the agent behind it is a new one after each reset, and
    what the one before it had is gone.
    """

    def __init__(self, sock, explain):
        """explain: makes a failure's message of what was expected, with the guest's last words"""
        self.socket = sock
        self.socket.setblocking(False)
        self.explain = explain
        self.unread = b""
        self.number = 0
        self.ready = False
        self.processes = {}
        self.answers = {}

    def pump(self, seconds):
        """Take what the agent says within some time."""
        if not select.select([self.socket], [], [], seconds)[0]:
            return
        try:
            data = self.socket.recv(1 << 20)
        except ConnectionError:
            data = b""
        if not data:
            raise Failure(self.explain("QEMU has closed the agent's connection"))
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            try:
                line = json.loads(line)
            except ValueError:
                continue  # cut by a reset
            self.take(line)

    def take(self, line):
        if "hello" in line:
            self.forget()
            self.ready = True
        elif not self.ready:
            return
        elif line["id"] in self.processes:
            self.processes[line["id"]].take(line)
        else:
            self.answers[line["id"]] = line

    def forget(self):
        """The guest that was there is no more."""
        for process in self.processes.values():
            process.lose()
        self.processes.clear()
        self.answers.clear()
        self.ready = False

    def wait(self, condition, what, seconds=ANSWER_S):
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(self.explain(f"{what}: not within {seconds} s"))
            self.pump(0.2)

    def tell(self, **words):
        line = json.dumps(words).encode() + b"\n"
        deadline = time.monotonic() + ANSWER_S
        while line:
            if time.monotonic() > deadline:
                raise Failure(self.explain(f"the agent takes nothing for {ANSWER_S} s"))
            # It may wait for us to listen before it listens itself.
            self.pump(0)
            if select.select([], [self.socket], [], 0.05)[1]:
                try:
                    line = line[self.socket.send(line):]
                except BlockingIOError:
                    pass
                except ConnectionError:
                    raise Failure(self.explain("QEMU has closed the agent's connection")) from None

    def next_number(self):
        self.number += 1
        return self.number

    def ask(self, op, **words):
        number = self.next_number()
        self.tell(op=op, id=number, **words)
        self.wait(lambda: number in self.answers, f"{op} {words.get('path')}")
        line = self.answers.pop(number)
        if "error" in line:
            raise OSError(f"in the guest: {line['error']}")
        return line["answer"]

    def read_file(self, path):
        return base64.b64decode(self.ask("read", path=path))

    def store_file(self, path, data):
        """In one write, as sysfs wants it."""
        self.ask("store", path=path, data=base64.b64encode(data).decode())

    def list_folder(self, path):
        return self.ask("list", path=path)


class GuestProcess:
    """A process in the guest, with the methods of process.LocalProcess."""

    def __init__(self, agent, argv, cwd, environment, terminal=True, seconds=ANSWER_S):
        self.agent = agent
        self.number = agent.next_number()
        self.pid = None
        self.returncode = None
        self.unread = b""
        self.closed = False
        self.error = None
        agent.processes[self.number] = self
        agent.tell(op="spawn", id=self.number, argv=[str(word) for word in argv], cwd=cwd,
                   environment=environment, terminal=terminal)
        agent.wait(lambda: self.pid or self.error or self.returncode, f"start of {argv[0]}",
                   seconds)
        if self.error:
            del agent.processes[self.number]
            raise FileNotFoundError(f"in the guest: {self.error}")

    def take(self, line):
        if "data" in line:
            self.unread += base64.b64decode(line["data"])
        self.closed = line.get("closed", self.closed)
        self.pid = line.get("pid", self.pid)
        self.returncode = line.get("exit", self.returncode)
        self.error = line.get("error")

    def lose(self):
        """The guest that it ran in is no more."""
        self.closed = True
        if self.returncode is None:
            self.returncode = -signal.SIGKILL

    def read(self, seconds):
        if not self.unread and not self.closed:
            self.agent.pump(seconds)
        data, self.unread = self.unread, b""
        return data if data or not self.closed else None

    def poll(self):
        if self.returncode is None:
            self.agent.pump(0)
        return self.returncode

    def wait(self, seconds=ANSWER_S):
        self.agent.wait(lambda: self.returncode is not None, f"end of process {self.pid}", seconds)
        return self.returncode

    def write(self, data):
        for begin in range(0, len(data), CHUNK):
            self.agent.tell(op="write", id=self.number,
                            data=base64.b64encode(data[begin:begin + CHUNK]).decode())

    def send_signal(self, number, group=False):
        if self.poll() is None:
            self.agent.tell(op="signal", id=self.number, signal=int(number), group=group)

    def close(self):
        if self.returncode is None and not self.closed:
            self.agent.tell(op="close", id=self.number)
        self.closed = True

    def read_file(self, path):
        return self.agent.read_file(path)

    def list_folder(self, path):
        return self.agent.list_folder(path)


class Result:
    """What a command said, both streams in one, and its exit code (negative: the signal)."""

    def __init__(self, status, said):
        self.status = status
        self.said = said

    def __repr__(self):
        return f"exit code {self.status}, said:\n{self.said}"


def run(agent, argv, seconds, cwd=None, environment=None):
    """Run a command in the guest to its end; if that isn't in time, it and its children are ended."""
    deadline = time.monotonic() + seconds
    process = GuestProcess(agent, argv, cwd, environment or {}, terminal=False, seconds=seconds)
    said = b""
    while process.poll() is None or not process.closed:
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGKILL, group=True)
            text = said.decode(errors="replace")
            raise Failure(agent.explain(f"{argv} in the guest: not done in {seconds} s; it said:\n"
                                        + text))
        said += process.read(0.2) or b""
    said += process.read(0) or b""
    del agent.processes[process.number]
    return Result(process.returncode, said.decode(errors="replace"))

