# SPDX-License-Identifier: BSD-3-Clause
"""
A driver of the vDPDK device that keeps no rule unless it is told to: the attacker's own.

Its memory is one file of 1 MiB, mapped for the device at BASE; a second map of one page, SPARE, is
there to be taken away. Numbers are those of abi/; docs/device.md.
"""

import ctypes
import mmap
import os
import select
import struct
import time

import vfio_user as vu
from testpmd import wait_until

BASE, BYTES = 1 << 32, 1 << 20
AREA, RINGS, BUFFERS = 0x0, 0x8000, 0x40000
RING_ROOM = 0x2000  # for a ring of 256 slots, and room behind it
SPARE = BASE + (1 << 30)
PAGE = 4096

STATUS, FEATURES, AREA_LOW, CONTROL_DOORBELL, TX_DOORBELL = 0x08, 0x18, 0x28, 0x30, 0x100
FEATURES_OK, RUNNING, FAILED, RESETTING = 0x1, 0x3, 0x100, 0x400
INFO_GET, QUEUE_START, QUEUE_STOP, STATS_GET = 0x001, 0x101, 0x102, 0x20A
MAC_SET, MTU_SET = 0x201, 0x207
OK, UNKNOWN, NOT_SUPPORTED, INVALID, STATE, ADDRESS = 0, 1, 2, 3, 4, 6
RX, TX = 0, 1
AVAIL, NEXT = 1, 2
FAULT_FLAGS, FAULT_CHAIN, FAULT_LENGTH, FAULT_ADDRESS, FAULT_RING_GONE = 1, 2, 3, 4, 5
ERROR = 2  # a queue's state
SLOTS = 256
SLOT_BYTES = 1024  # of the control area

fallocate = ctypes.CDLL(None, use_errno=True).fallocate
fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def pack_map(address, size, offset=0, flags=3, argsz=32):
    return struct.pack("<IIQQQ", argsz, flags, offset, address, size)


def pack_unmap(address, size, flags=0):
    return struct.pack("<IIQQ", 24, flags, address, size)


def pack_vectors(count, start=0, index=2, flags=0x24, argsz=20):
    return struct.pack("<IIIII", argsz, flags, index, start, count)


def pack_access(offset, data_or_size, region=0):
    if isinstance(data_or_size, int):
        return struct.pack("<QII", offset, region, data_or_size)
    return struct.pack("<QII", offset, region, len(data_or_size)) + data_or_size


def pack_start(direction, index=0, address=None, slots=SLOTS, flags=0, reserved=0):
    if address is None:
        address = ring_address(direction, index)
    return struct.pack("<HHIQII", direction, index, flags, address, slots, reserved)


def pack_stop(direction, index=0, reserved=0):
    return struct.pack("<HHI", direction, index, reserved)


def ring_address(direction, index=0):
    return BASE + RINGS + (2 * index + direction) * RING_ROOM


def make_file(size, flags=0):
    fd = os.memfd_create("nmx-hostile", flags | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    return fd


def open_epoll():
    """A descriptor of a kind that Python's objects keep for themselves."""
    epoll = select.epoll()
    fd = os.dup(epoll.fileno())
    epoll.close()
    return fd


def punch(fd, offset, size):
    """Take a file's pages away; its length stays."""
    if fallocate(fd, 0x3, offset, size) != 0:  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
        raise OSError(ctypes.get_errno(), "fallocate")


class Driver(vu.Client):
    """A client that knows the device, and can take it to each of its states."""

    def __init__(self, path, **keys):
        super().__init__(path, **keys)
        self.file = make_file(BYTES)
        self.memory = mmap.mmap(self.file, BYTES)
        self.spare = make_file(PAGE)
        self.seq = [0] * 16

    def close(self):
        super().close()
        for fd in (self.file, self.spare):
            if fd >= 0:
                os.close(fd)
        self.file = self.spare = -1

    # --- Memory ---

    def map(self, address, size, offset=0, flags=3, fd=None):
        """errno of DMA_MAP's answer; fd -1: without a file."""
        fds = [] if fd == -1 else [self.file if fd is None else fd]
        return self.ask(vu.DMA_MAP, pack_map(address, size, offset, flags), fds)[1]

    def unmap(self, address, size, flags=0):
        return self.ask(vu.DMA_UNMAP, pack_unmap(address, size, flags))[1]

    def unmap_all(self):
        return self.unmap(0, 0, 2)

    # --- Registers ---

    def read(self, offset, region=0):
        answer = self.ask(vu.REGION_READ, pack_access(offset, 4, region))
        return struct.unpack_from("<I", answer[2], 16)[0]

    def write(self, offset, value, region=0):
        data = struct.pack("<H" if region == 7 else "<I", value)
        return self.ask(vu.REGION_WRITE, pack_access(offset, data, region))[1]

    def post(self, offset, value):
        data = pack_access(offset, struct.pack("<I", value))
        return self.send(vu.message(vu.REGION_WRITE, data, vu.NO_REPLY))

    def set_area(self, address):
        self.write(AREA_LOW, address & 0xFFFFFFFF)
        self.write(AREA_LOW + 4, address >> 32)

    # --- States ---

    def make_mapped(self):
        assert self.write(0x04, 0x6, region=7) == 0  # memory, bus master
        assert self.map(BASE, BYTES) == 0
        assert self.map(SPARE, PAGE, fd=self.spare) == 0
        return self

    def make_ready(self):
        self.make_mapped()
        self.write(STATUS, FEATURES_OK)
        assert self.read(STATUS) == FEATURES_OK
        return self

    def make_running(self):
        self.make_ready()
        self.set_area(BASE + AREA)
        self.write(STATUS, RUNNING)
        assert self.read(STATUS) == RUNNING
        return self

    def make_busy(self):
        """Running, both queue pairs started, all buffers posted: the flood comes."""
        self.make_running()
        for index in (0, 1):
            for direction in (RX, TX):
                assert self.request(QUEUE_START, pack_start(direction, index)) == OK
            self.post_buffers(index)
        return self

    def make_failed(self):
        self.make_mapped()
        self.write(STATUS, RUNNING)  # without FEATURES_OK before
        assert self.read(STATUS) & FAILED
        return self

    # --- Requests ---

    def submit(self, op, body=b"", slot=0, length=None, flags=0, seq=None, reserved=0):
        """Write a request; its doorbell isn't rung."""
        at = AREA + PAGE + slot * SLOT_BYTES
        self.seq[slot] = self.seq[slot] + 1 if seq is None else seq
        length = len(body) if length is None else length
        self.memory[at + 128:at + 128 + len(body)] = body
        self.memory[at:at + 20] = struct.pack("<IIIII", op, length, flags, self.seq[slot], reserved)

    def get_done(self, slot=0):
        """(status, length, done_seq)"""
        return struct.unpack_from("<III", self.memory, AREA + PAGE + slot * SLOT_BYTES + 64)

    def request(self, op, body=b"", slot=0, **keys):
        """Status of the answer; all others than QUEUE_STOP's stand there when the doorbell does."""
        self.submit(op, body, slot, **keys)
        self.write(CONTROL_DOORBELL, slot)
        wait_until(lambda: self.get_done(slot)[2] == self.seq[slot], "an answer", 5)
        return self.get_done(slot)[0]

    # --- Rings ---

    def at_slot(self, direction, slot, index=0):
        return RINGS + (2 * index + direction) * RING_ROOM + 128 + 16 * (slot % SLOTS)

    def put(self, direction, slot, address, length, flags=AVAIL, number=None, extra=0, index=0):
        """Write one slot as it is."""
        at = self.at_slot(direction, slot, index)
        w1 = struct.pack("<HHHH", length, slot % 65536 if number is None else number, flags, extra)
        self.memory[at:at + 8] = struct.pack("<Q", address)
        self.memory[at + 8:at + 16] = w1

    def get(self, direction, slot, index=0):
        """(w0, length or status, id, flags)"""
        return struct.unpack_from("<QHHH", self.memory, self.at_slot(direction, slot, index))

    def post_buffers(self, index=0, n=SLOTS):
        for i in reversed(range(n)):
            self.put(RX, i, BASE + BUFFERS + i * 2048, 2048, index=index)

    def get_state(self, direction, index=0):
        """(state, fault) of a queue"""
        at = RINGS + (2 * index + direction) * RING_ROOM + 64 + 4
        return struct.unpack_from("<HH", self.memory, at)

    def expect_fault(self, direction, fault, index=0):
        wait_until(lambda: self.get_state(direction, index) == (ERROR, fault),
                   f"fault {fault}; it is {self.get_state(direction, index)}", 5)

    def wait_reset(self):
        deadline = time.monotonic() + 5
        while self.read(STATUS) & RESETTING:
            assert time.monotonic() < deadline
