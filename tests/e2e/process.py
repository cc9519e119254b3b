# SPDX-License-Identifier: BSD-3-Clause
"""Processes under test, as programs need them; tests/vm has the same for those in a guest."""

import ctypes
import os
import pty
import select
import signal
import subprocess
import time


class Failure(Exception):
    """A program didn't do what it was asked; the message ends with its last words."""


def wait_until(condition, what, timeout=10):
    """Ask again and again until it is so."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(f"{what}: not within {timeout} s")
        time.sleep(0.01)


LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


def die_with_parent():
    """A run that is killed leaves nothing behind that polls."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class LocalProcess(subprocess.Popen):
    """Of this machine, on a pseudo-terminal of its own."""

    def __init__(self, argv, cwd, environment):
        self.master, slave = pty.openpty()
        super().__init__(argv, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                         cwd=cwd, env=environment, preexec_fn=die_with_parent)
        os.close(slave)

    def read(self, seconds):
        """What it says, b"" if that is nothing for some time, None if its terminal is closed."""
        if self.master < 0:
            return None
        if not select.select([self.master], [], [], seconds)[0]:
            return b""
        try:
            return os.read(self.master, 65536) or None
        except OSError:
            return None

    def write(self, data):
        os.write(self.master, data)

    def close(self):
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    @staticmethod
    def read_file(path):
        """Of the machine that it runs on."""
        with open(path, "rb") as file:
            return file.read()

    @staticmethod
    def list_folder(path):
        return os.listdir(path)
