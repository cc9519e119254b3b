# SPDX-License-Identifier: BSD-3-Clause
"""
A driver of virtio's network device that keeps no rule unless it is told to: the attacker's own.

Its memory is one file of 1 MiB. Ring 2 i is the guest's Rx queue i, 2 i + 1 its Tx queue i. What it
hands over are *buffers*: lists of (address, length, flags), chained if there are several.
"""

import mmap
import os
import struct

import vhost_user as vh
from driver import make_file
from testpmd import wait_until

BASE, USER, BYTES = 1 << 32, 0x7F0000000000, 1 << 20
RINGS, BUFFERS, TABLES = 0x0, 0x40000, 0x30000
RING_ROOM = 0x4000
AVAIL_AT, USED_AT = 0x1000, 0x2000
SLOTS = 256
HEADER_BYTES = 12
BUFFER_BYTES = 2048
NEXT, WRITE, INDIRECT = 1, 2, 4
PACKED_AVAIL, PACKED_USED = 0x80, 0x8000
RX, TX = 0, 1
FEATURES = vh.VERSION_1 | vh.MRG_RXBUF | vh.INDIRECT


class Ring:
    """One ring, split or packed, as its driver sees it."""

    def __init__(self, driver, index):
        self.driver = driver
        self.start = RINGS + index * RING_ROOM
        self.slots, self.avail_at, self.used_at = SLOTS, AVAIL_AT, USED_AT
        self.next = 0  # descriptor of a split ring, free-running; place in a packed one
        self.n_avail = 0  # buffers of a split ring
        self.n_used = 0

    def write(self, at, data):
        self.driver.memory[self.start + at:self.start + at + len(data)] = data

    def read(self, layout, at):
        return struct.unpack_from(layout, self.driver.memory, self.start + at)

    def put(self, i, address, length, flags, last):
        """A descriptor as it is; `last`: next of a split one, id of a packed one."""
        order = (last, flags) if self.driver.packed else (flags, last)
        self.write(16 * (i % self.slots), struct.pack("<QIHH", address % (1 << 64), length, *order))

    def hand_over(self, buffer, number=None):
        """A buffer, by the rules but for what is in it. @param number  another id"""
        if self.driver.packed:
            self.hand_over_packed(buffer, number)
        else:
            self.hand_over_split(buffer, number)

    def hand_over_split(self, buffer, number):
        head = self.next % self.slots
        for i, (address, length, flags) in enumerate(buffer):
            more = NEXT if i < len(buffer) - 1 else 0
            self.put(self.next, address, length, flags | more, (self.next + 1) % self.slots)
            self.next += 1
        self.offer(head if number is None else number)

    def offer(self, head):
        """Make a descriptor available."""
        self.write(self.avail_at + 4 + 2 * (self.n_avail % self.slots), struct.pack("<H", head))
        self.n_avail += 1
        self.write(self.avail_at + 2, struct.pack("<H", self.n_avail % 65536))

    def hand_over_packed(self, buffer, number):
        first = self.next
        number = first % self.slots if number is None else number
        for i in reversed(range(len(buffer))):  # the first one is turned last
            address, length, flags = buffer[i]
            more = NEXT if i < len(buffer) - 1 else 0
            lap = (first + i) // self.slots % 2
            turn = PACKED_USED if lap else PACKED_AVAIL
            self.put(first + i, address, length, flags | more | turn, number)
        self.next += len(buffer)

    def count_used(self):
        """Answers since the last call; in a packed ring of buffers of one descriptor only."""
        if not self.driver.packed:
            total = self.read("<H", self.used_at + 2)[0]
            n = (total - self.n_used) % 65536
            self.n_used = total
            return n
        n = 0
        while n < self.slots:
            flags, = self.read("<H", 16 * (self.n_used % self.slots) + 14)
            lap = self.n_used // self.slots % 2
            if flags & (PACKED_AVAIL | PACKED_USED) != (0 if lap else PACKED_AVAIL | PACKED_USED):
                break
            self.n_used += 1
            n += 1
        return n


class Driver(vh.Client):
    """A front end with memory and rings, which it can take to each of its states."""

    def __init__(self, path, packed=False, features=FEATURES, **keys):
        super().__init__(path, features=features | (vh.PACKED if packed else 0), **keys)
        self.packed = packed
        self.file = make_file(BYTES)
        self.memory = mmap.mmap(self.file, BYTES)
        self.rings = [Ring(self, index) for index in range(4)]

    def close(self):
        super().close()
        if self.file >= 0:
            os.close(self.file)
        self.file = -1

    def share(self, regions=((BASE, BYTES, USER, 0),), fds=None):
        """errno or the like of SET_MEM_TABLE's answer, 0 if all is well; None: it ended."""
        return self.ask_whether(vh.SET_MEM_TABLE, vh.pack_table(regions),
                                [self.file] * len(regions) if fds is None else fds)

    def set_ring(self, index, start=None, base=None):
        """What a ring needs but its kick. @return answers, 0 each if all is well"""
        ring = self.rings[index]
        start = USER + ring.start if start is None else start
        if base is None:
            base = 0x80008000 if self.packed else 0
        return [self.ask_whether(vh.SET_NUM, vh.pack_state(index, ring.slots)),
                self.ask_whether(vh.SET_BASE, vh.pack_state(index, base)),
                self.ask_whether(vh.SET_ADDR, vh.pack_addresses(
                    index, *((start + at) % (1 << 64) for at in (0, ring.avail_at, ring.used_at))))]

    def start_ring(self, index, **keys):
        assert self.set_ring(index, **keys) == [0, 0, 0]
        assert self.tell_file(vh.SET_CALL, index) == 0
        assert self.tell_file(vh.SET_KICK, index) == 0
        assert self.ask_whether(vh.SET_ENABLE, vh.pack_state(index, 1)) == 0

    def stop_ring(self, index):
        """Its base."""
        request, number, _ = self.ask(vh.GET_BASE, vh.pack_state(index, 0))
        assert (request, number & 0xFFFFFFFF) == (vh.GET_BASE, index)
        return number >> 32

    def make_shared(self):
        assert self.share() == 0
        return self

    def make_busy(self):
        """All rings run, all buffers are posted: the flood comes."""
        self.make_shared()
        for index in range(4):
            self.start_ring(index)
        for index in (0, 2):
            self.post_buffers(index)
        return self

    def post_buffers(self, index=0, n=SLOTS - 1):
        for i in range(n):
            self.rings[index].hand_over([(BASE + BUFFERS + i * BUFFER_BYTES, BUFFER_BYTES, WRITE)])

    def receive_frames(self, n, index=0):
        """Wait for so many, posting what they came in anew. By the rules, and one buffer each."""
        got = 0

        def receive():
            nonlocal got
            used = self.rings[index].count_used()
            got += used
            self.post_buffers(index, used)
            return got >= n
        wait_until(receive, f"{n} frames of the flood")

    def send_frames(self, n, index=1):
        """Hand over frames and wait until they were read."""
        ring = self.rings[index]
        at = BUFFERS + 0x80000
        self.memory[at:at + 80] = bytes(80)
        ring.count_used()
        for _ in range(n):
            ring.hand_over([(BASE + at, HEADER_BYTES + 60, 0)])
        read = 0

        def has_read():
            nonlocal read
            read += ring.count_used()
            return read >= n
        wait_until(has_read, f"{n} frames to be read")
