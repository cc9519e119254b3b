#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
A guest's only program of its own, and its process 1: starts programs for the bench, and tells what
they say. See guest.py for the other end.

Both ways go lines of JSON over a virtio-serial port; data within is base64. A line that is none was
cut by a reset, and is passed over.

    bench -> agent    op: spawn write signal close read list store; id: of a process or a question
    agent -> bench    hello | id with pid, data, closed, exit, answer or error
"""

import base64
import fcntl
import json
import os
import select
import signal
import sys
import termios

PORT_NAME = "nicmux"
# What one line carries; the port takes 32 KiB at once.
CHUNK = 16384


def open_port():
    folder = "/sys/class/virtio-ports"
    for name in os.listdir(folder):
        with open(f"{folder}/{name}/name", encoding="ascii") as file:
            if file.read().strip() == PORT_NAME:
                return os.open(f"/dev/{name}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    raise OSError(f"no port {PORT_NAME} in {folder}")


class Child:
    """A process; its terminal or pipe is closed by itself when it ends, or by the bench."""

    def __init__(self, number, pid, fd):
        self.number = number
        self.pid = pid
        self.fd = fd


class Agent:
    """Where the bench's lines are done."""

    def __init__(self):
        self.port = open_port()
        self.poll = select.poll()
        self.poll.register(self.port, select.POLLIN)
        self.children = {}
        self.fds = {}
        self.unread = b""
        self.wake, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.poll.register(self.wake, select.POLLIN)

    def tell(self, **words):
        """Waits until the bench takes it, as a program waits for its terminal's reader."""
        line = json.dumps(words).encode() + b"\n"
        while line:
            try:
                line = line[os.write(self.port, line):]
            except BlockingIOError:
                waiting = select.poll()
                waiting.register(self.port, select.POLLOUT)
                waiting.poll(100)

    def spawn(self, number, argv, cwd, environment, terminal):
        if terminal:
            ours, theirs = os.openpty()
            stdin = theirs
        else:
            ours, theirs = os.pipe()
            stdin = os.open("/dev/null", os.O_RDONLY)
        failed, tell_failed = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                for fd, source in enumerate((stdin, theirs, theirs)):
                    os.dup2(source, fd)
                if terminal:
                    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
                os.chdir(cwd or "/")
                os.closerange(3, tell_failed)
                os.closerange(tell_failed + 1, 1024)
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                os.execvpe(argv[0], argv, {**os.environ, **environment})
            except OSError as error:
                os.write(tell_failed, str(error).encode())
            finally:
                os._exit(127)
        os.close(theirs)
        if not terminal:
            os.close(stdin)
        os.close(tell_failed)
        error = os.read(failed, 4096)
        os.close(failed)
        if error:
            os.close(ours)
            self.tell(id=number, error=f"{argv[0]}: {error.decode()}")
            return
        os.set_inheritable(ours, False)
        child = Child(number, pid, ours)
        self.children[number] = self.fds[ours] = child
        self.poll.register(ours, select.POLLIN)
        self.tell(id=number, pid=pid)

    def close(self, child):
        if child.fd >= 0:
            self.poll.unregister(child.fd)
            del self.fds[child.fd]
            os.close(child.fd)
            child.fd = -1

    def listen(self, child):
        """What a process says goes to the bench."""
        try:
            data = os.read(child.fd, CHUNK)
        except OSError:
            data = b""
        if data:
            self.tell(id=child.number, data=base64.b64encode(data).decode())
        else:
            self.close(child)
            self.tell(id=child.number, closed=True)

    def reap(self):
        """Also what others left to process 1."""
        try:
            os.read(self.wake, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in [child for child in self.children.values() if child.pid == pid]:
                child.pid = 0
                self.tell(id=child.number, exit=os.waitstatus_to_exitcode(status))

    def answer(self, number, do):
        try:
            self.tell(id=number, answer=do())
        except OSError as error:
            self.tell(id=number, error=str(error))

    @staticmethod
    def read(path):
        with open(path, "rb") as file:
            return base64.b64encode(file.read()).decode()

    @staticmethod
    def store(path, data):
        # As sysfs wants it: all in one write.
        with open(path, "wb", buffering=0) as file:
            return file.write(base64.b64decode(data))

    def do(self, line):
        op, number = line["op"], line.get("id")
        child = self.children.get(number)
        if op == "spawn":
            self.spawn(number, line["argv"], line["cwd"], line["environment"], line["terminal"])
        elif op == "read":
            self.answer(number, lambda: self.read(line["path"]))
        elif op == "list":
            self.answer(number, lambda: sorted(os.listdir(line["path"])))
        elif op == "store":
            self.answer(number, lambda: self.store(line["path"], line["data"]))
        elif child and op == "write" and child.fd >= 0:
            os.write(child.fd, base64.b64decode(line["data"]))
        elif child and op == "signal" and child.pid:
            (os.killpg if line["group"] else os.kill)(child.pid, line["signal"])
        elif child and op == "close":
            self.close(child)

    def hear(self):
        try:
            data = os.read(self.port, 65536)
        except BlockingIOError:
            return
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            try:
                line = json.loads(line)
            except ValueError:
                continue
            self.do(line)

    def run(self):
        # Behind whatever a reset has cut.
        os.write(self.port, b"\n")
        self.tell(hello=PORT_NAME)
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.port:
                    self.hear()
                elif fd == self.wake:
                    self.reap()
                elif fd in self.fds:
                    self.listen(self.fds[fd])


if __name__ == "__main__":
    os.environ.update(PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                      HOME="/root", LC_ALL="C.UTF-8", TERM="dumb", PYTHONDONTWRITEBYTECODE="1")
    print("agent: ready", file=sys.stderr)
    Agent().run()
