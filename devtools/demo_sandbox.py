# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""What the demo makes outside the checkout, and how it goes away again however the demo ends.

Theory of operation: /run/nmx-demo holds a lock, which a running demo keeps, and notes. What can't
be told by its name (a process, a folder that was not there before, reserved hugepages, copied
plugins) is noted before it is made or, a process, at once after. remove_all() goes by names and
notes only and removes the notes last, so that it does the same for the demo that made them, for
the next one and for --clean, and may itself be killed and repeated.
"""

import fcntl
import glob
import hashlib
import os
import shutil
import signal
import subprocess
import time

NETNS = "nmx-demo"
TAP = "nmx-tap0"
RUN = "/run/nmx-demo"
PREFIX = "nmx-demo-"  # of EAL's files
NOTES = f"{RUN}/notes"
KILL_AFTER_S = 3
GIVE_UP_AFTER_S = 10
COMMAND_S = 60

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ENVIRONMENT = {**os.environ, "LC_ALL": "C",
               "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin:/sbin:/bin"}


class Failure(Exception):
    """One sentence for the user: what, why and the mend."""


class Interrupted(BaseException):
    """A signal asked the demo to end."""


class Interrupts:
    """
    Turns the first SIGINT, SIGTERM or SIGHUP into Interrupted, and all later ones into nothing.
    Inside "with interrupts:" it waits for the end of the block: nothing is made but not noted.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.signal_number = None
        for number in self.SIGNALS:
            # One that is ignored stays so: nohup, a job in the background.
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._on_signal)

    def _on_signal(self, number, _frame):
        if self.signal_number is None:
            self.signal_number = number
            raise Interrupted

    def ignore(self):
        """From here on nothing interrupts, neither this process nor its new children."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)

    def __enter__(self):
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self.SIGNALS)

    def __exit__(self, *_):
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def unblock(self):
        """In a child that may be interrupted."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self.SIGNALS)


def start_time(pid):
    """When a process began, in ticks since boot; None if it has ended. Pid and this name it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def end_process(pid, start, kill_time_s):
    """SIGTERM, from kill_time_s on SIGKILL. @return whether it ran"""
    ran = start_time(pid) == start
    give_up_s = max(kill_time_s, time.monotonic()) + GIVE_UP_AFTER_S
    while start_time(pid) == start:
        if time.monotonic() > give_up_s:
            raise Failure(f"process {pid} can't be ended, not even by SIGKILL")
        try:
            # More than once: testpmd forgets a signal that comes while it starts.
            late = time.monotonic() >= kill_time_s
            os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        except ProcessLookupError:
            break
        end = time.monotonic() + 0.2
        while start_time(pid) == start and time.monotonic() < end:
            time.sleep(0.01)
    return ran


def plugin_copies():
    """Where devtools/plugin-dir puts this checkout's plugins if EAL takes none from it."""
    source = os.path.realpath(f"{ROOT}/build/plugins")
    digest = hashlib.sha256(f"{source}\n".encode()).hexdigest()[:12]
    return [f"{parent}/nmx-plugins-{digest}" for parent in ("/run", "/var/lib")]


def mounts():
    """@return (folder, type of file system) of each"""
    with open("/proc/mounts", encoding="utf-8") as lines:
        return [tuple(line.split()[1:3]) for line in lines]


def hugepage_files():
    """Those that EAL left under our prefix."""
    return [path for folder, kind in mounts() if kind == "hugetlbfs"
            for path in glob.glob(f"{glob.escape(folder)}/{PREFIX}*map_*")]


def remove_path(path):
    """A file or a folder with all that is in it. @return whether it was there"""
    if not os.path.lexists(path):
        return False
    if os.path.isdir(path):
        shutil.rmtree(path)
        return True
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False  # any EAL that starts removes hugepage files that nobody uses
    return True


def remove_empty_folder(path):
    """One that others put things into as well. /run/netns is a mount on itself."""
    if not os.path.isdir(path) or os.listdir(path):
        return False
    if path in dict(mounts()):
        subprocess.run(["umount", path], check=False, capture_output=True)
    try:
        os.rmdir(path)
    except OSError:
        return False  # somebody has begun to use it
    return True


class Sandbox:
    """Owner of all that the demo makes outside the checkout. One at a time on a machine."""

    def __init__(self, interrupts):
        self.interrupts = interrupts
        self._lock = None

    def open(self):
        """Take the lock and remove what a killed demo left. @return what was removed, in words"""
        self._take_lock()
        removed = self.remove_all()
        os.makedirs(RUN, mode=0o700, exist_ok=True)
        return removed

    def _take_lock(self):
        while self._lock is None:
            os.makedirs(RUN, mode=0o700, exist_ok=True)
            try:
                lock = open(f"{RUN}/lock", "a+", encoding="utf-8")
            except FileNotFoundError:
                continue  # its last owner is just leaving
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(lock.name)):
                    self._lock = lock
            except BlockingIOError:
                lock.seek(0)
                raise Failure(f"a demo is running already (process {lock.read().strip()});"
                              " wait for its end") from None
            except FileNotFoundError:
                pass
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()

    def close(self):
        """Remove everything and the lock. Raises Failure or OSError if something stays."""
        if self._lock is None:
            return
        self.remove_all()
        shutil.rmtree(RUN)
        self._lock.close()
        self._lock = None

    def note(self, kind, value):
        with open(NOTES, "a", encoding="utf-8") as notes:
            notes.write(f"{kind} {value}\n")

    def note_new_folders(self, *paths):
        for path in paths:
            if not os.path.exists(path):
                self.note("folder", path)

    def _noted(self, kind):
        try:
            with open(NOTES, encoding="utf-8") as notes:
                lines = [line.rstrip("\n").split(" ", 1) for line in notes]
        except FileNotFoundError:
            return []
        return [line[1] for line in lines if line[0] == kind]

    def spawn(self, argv, prepare=lambda: None, **options):
        """
        A child in a session of its own, out of the terminal's Ctrl-C.

        @param prepare  called in the child
        @return its Popen
        """
        def prepare_child():
            prepare()
            self.interrupts.unblock()

        with self.interrupts:
            child = subprocess.Popen(argv, start_new_session=True, env=ENVIRONMENT, cwd=ROOT,
                                     preexec_fn=prepare_child, **options)
            self.note("process", f"{child.pid} {start_time(child.pid)}")
        return child

    def run(self, *argv):
        """A short command, to its end: it inherits blocked signals. @return (code, what it said)"""
        with self.interrupts:
            try:
                done = subprocess.run(argv, env=ENVIRONMENT, cwd=ROOT,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, text=True, timeout=COMMAND_S,
                                      check=False)
            except subprocess.TimeoutExpired:
                return 124, f"no answer in {COMMAND_S} s"
        return done.returncode, done.stdout.strip()

    def must(self, why, *argv):
        """As run(), and what must succeed. @return what it said"""
        code, said = self.run(*argv)
        if code != 0:
            raise Failure(f"{why}: {' '.join(argv)} says: {said}")
        return said

    def remove_all(self):
        """Everything but RUN and its lock. @return what was there, in words"""
        removed, problems = [], []
        # Processes first: they use all the rest. Hugepages after the files that hold some.
        for step in (self._end_processes, self._remove_netns, self._remove_paths,
                     self._restore_hugepages):
            try:
                removed += step()
            except (Failure, OSError) as error:
                problems.append(str(error))
        if problems:
            raise Failure("; ".join(problems))
        for entry in os.listdir(RUN):
            if entry != "lock":
                os.unlink(f"{RUN}/{entry}")
        return removed

    def _end_processes(self):
        # The last first: a guest misses a host that is gone.
        noted = [line.split() for line in reversed(self._noted("process"))]
        kill_time_s = time.monotonic() + KILL_AFTER_S
        return [f"process {pid}" for pid, start in noted
                if end_process(int(pid), start, kill_time_s)]

    def _remove_netns(self):
        if not os.path.exists(f"/run/netns/{NETNS}"):
            return []
        self.must("the namespace could not be removed", "ip", "netns", "del", NETNS)
        return [f"namespace {NETNS}"]

    def _remove_paths(self):
        n_hugepages = sum(map(remove_path, hugepage_files()))
        removed = [f"{n_hugepages} hugepage files"] if n_hugepages else []
        removed += filter(remove_path, glob.glob(f"/run/dpdk/{PREFIX}*") + self._noted("plugins"))
        return removed + list(filter(remove_empty_folder, self._noted("folder")))

    def _restore_hugepages(self):
        if not self._noted("hugepages"):
            return []
        _, said = self.run("devtools/hugepages", "--restore")
        if said:
            raise Failure(said)
        return ["reserved hugepages"]
