# SPDX-License-Identifier: BSD-3-Clause
"""
A host that serves one vDPDK device with one queue pair, well or wrong in one way at a time.

Its data path is a thread that fills every posted buffer and gives every sent one back. A fault is a
function that is asked for each answer and each completion, and may give another; docs/device.md.
"""

import mmap
import os
import socket
import struct
import threading

from fake_host import FakeHost, HEADER

REPLY = 1
INFO_GET, QUEUE_START, QUEUE_STOP, STATS_GET = 0x001, 0x101, 0x102, 0x20A
RX, TX = 0, 1
AVAIL = 1 << 32
FRAME = bytes.fromhex("020000000001020000000002") + b"\x88\xb5" + bytes(46)


def pack_info(n_queue_pairs=1, mtu_min=68, mtu_max=9706, mtu=1500, rx_max=9728, tx_max=9728,
              mac=b"\x02\0\0\0\0\x07"):
    return struct.pack("<HHHHIII6s6s", n_queue_pairs, mtu_min, mtu_max, mtu, rx_max, tx_max, 0, mac,
                       b"") + bytes(32 + 64)


class Ring:
    """The device's half, in the guest's memory."""

    def __init__(self, memory, address, n_slots):
        self.memory = memory
        self.address = address
        self.n_slots = n_slots
        self.comp = 0

    def slot(self, ahead=0):
        return self.address + 128 + 16 * ((self.comp + ahead) % self.n_slots)

    def take(self):
        """(address, w1) of the next slot, or None."""
        address, w1 = struct.unpack("<QQ", self.memory.read(self.slot(), 16))
        return (address, w1) if w1 & AVAIL else None

    def complete(self, w1, ahead=0):
        self.memory.write(self.slot(ahead) + 8, struct.pack("<Q", w1 & (1 << 64) - 1))


class Memory:
    """What the guest has mapped."""

    def __init__(self):
        self.maps = []

    def add(self, body, fd):
        _, _, offset, address, size = struct.unpack("<IIQQQ", body)
        self.maps.append((address, size, mmap.mmap(fd, size, offset=offset)))

    def find(self, address, size):
        for start, length, data in self.maps:
            if start <= address and address + size <= start + length:
                return data, address - start
        raise KeyError(hex(address))

    def read(self, address, size):
        data, at = self.find(address, size)
        return data[at:at + size]

    def write(self, address, value):
        data, at = self.find(address, len(value))
        data[at:at + len(value)] = value

    def clear(self):
        for _, _, data in self.maps:
            data.close()
        self.maps = []


class HostileHost(FakeHost):
    """Serves one client after the other. Faults, each a keyword:

    registers   {offset: value read there}
    respond     (op, body) -> (status, answer), or None for the good one; "silence" for none
    reply       (command, good reply's body) -> bytes of a whole message, or None for the good one
    received    (ring, address, id) -> True if it has completed the Rx slot in its own way
    sent        (ring, id) -> the same of a Tx slot
    status      what STATUS reads, whatever was written
    messages    that are answered; then the connection ends
    """

    def __init__(self, path, **fault):
        self.fault = fault
        self.memory = Memory()
        self.rings = {}
        self.lock = threading.Lock()
        self.client = None
        self.stopping = threading.Event()
        self.doorbell = os.eventfd(0, os.EFD_NONBLOCK)
        self.messages = fault.get("messages", -1)
        self.vector = -1
        super().__init__(path)
        self.fixed_status = fault.get("status")
        self.registers.update({0x10: 1, **fault.get("registers", {})})
        self.mover = threading.Thread(target=self.move_frames, daemon=True)
        self.mover.start()

    def stop(self):
        self.stopping.set()
        while self.thread.is_alive():
            # A client that has just come, too.
            for end in (self.listener, self.client):
                if end is not None:
                    try:
                        end.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
            self.thread.join(0.02)
        self.mover.join()
        self.listener.close()
        os.close(self.doorbell)

    # --- The protocol ---

    def serve(self):
        while not self.stopping.is_set():
            try:
                self.client, _ = self.listener.accept()
                while self.answer(self.client):
                    pass
            except OSError:
                pass
            with self.lock:
                self.rings = {}
                self.memory.clear()
            for fd in (self.vector, *([] if self.client is None else [self.client.detach()])):
                if fd >= 0:
                    os.close(fd)
            self.vector = -1

    def answer(self, client):
        data, fds, _, _ = socket.recv_fds(client, HEADER.size, 16)
        self.messages -= 1
        if len(data) < HEADER.size or self.messages == -1:
            return False
        number, command, size, flags, _ = HEADER.unpack(data)
        body = b""
        while len(body) < size - HEADER.size:
            body += client.recv(size - HEADER.size - len(body))
        if command == 2:
            self.memory.add(body, fds[0])
        if command == 8 and self.vector < 0:
            self.vector = os.dup(fds[0])
        for fd in fds:
            os.close(fd)
        reply = self.reply_to(command, body)
        if flags & 0x10:
            return True
        whole = HEADER.pack(number, command, HEADER.size + len(reply), REPLY, 0) + reply
        odd = self.fault.get("reply", lambda *_: None)(command, whole)
        bells = [self.doorbell] if command == 6 else []
        socket.send_fds(client, [whole if odd is None else odd], bells)
        return True

    def reply_to(self, command, body):
        if command == 3:
            return body
        if command == 6:  # DEVICE_GET_REGION_IO_FDS
            return struct.pack("<IIIIQQIIIIQ", 56, 0, 0, 1, 0x100, 4, 0, 0, 0, 0, 0)
        return super().reply_to(command, body)

    def access(self, command, offset, region, count, data):
        answer = super().access(command, offset, region, count, data)
        if command == 10 and region == 0:
            value = struct.unpack("<I", data)[0]
            if offset in (0x28, 0x2C):
                self.registers[offset] = value
            if offset == 0x8 and value == 0:
                with self.lock:
                    self.rings = {}
            if offset == 0x8 and value & 2:
                self.memory.write(self.get_area(), struct.pack("<Q", 1 << 63 | 10000 << 32 | 1))
            if offset == 0x30:
                self.take_request()
        return answer

    def get_area(self):
        return self.registers[0x28] | self.registers[0x2C] << 32

    def signal_control(self):
        """Vector 0: there is news in the control area."""
        os.eventfd_write(self.vector, 1)

    # --- Requests ---

    def take_request(self):
        slot = self.get_area() + 4096
        op, length, _, seq = struct.unpack("<IIII", self.memory.read(slot, 16))
        body = self.memory.read(slot + 128, length)
        answer = self.fault.get("respond", lambda *_: None)(op, body)
        if answer == "silence":
            return
        status, body = answer or (0, self.respond(op, body))
        self.memory.write(slot + 128, body)
        self.memory.write(slot + 64, struct.pack("<II", status, len(body)))
        self.memory.write(slot + 72, struct.pack("<I", seq))

    def respond(self, op, body):
        if op == INFO_GET:
            return pack_info()
        if op == STATS_GET:
            return bytes(776)
        if op in (QUEUE_START, QUEUE_STOP):
            with self.lock:
                direction = body[0]
                if op == QUEUE_STOP:
                    self.rings.pop(direction, None)
                else:
                    _, _, _, address, n_slots, _ = struct.unpack("<HHIQII", body)
                    self.rings[direction] = Ring(self.memory, address, n_slots)
        return b""

    # --- Frames ---

    def move_frames(self):
        while not self.stopping.wait(0.001):
            with self.lock:
                try:
                    for direction, ring in self.rings.items():
                        self.move(direction, ring)
                except (KeyError, ValueError):
                    self.rings = {}  # the guest has taken its memory away

    def move(self, direction, ring):
        for _ in range(32):
            slot = ring.take()
            if slot is None:
                return
            address, w1 = slot
            number = w1 >> 16 & 0xFFFF
            if direction == RX:
                self.memory.write(address, FRAME)
                if not self.fault.get("received", lambda *_: False)(ring, address, number):
                    ring.complete(len(FRAME) | number << 16)
            elif not self.fault.get("sent", lambda *_: False)(ring, number):
                ring.complete(number << 16)
            ring.comp += 1
