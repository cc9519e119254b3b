# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user server of a hundred lines, to be a host that is wrong in one way at a time."""

import os
import socket
import struct
import threading

MAGIC, ABI, CLASS = 0x4B504476, 1 << 16, 0x020000
STATUS_RUNNING = 0x3
HEADER = struct.Struct("<HHIII")


class FakeHost:
    """Serves one client at a path, in a thread, as far as the driver's handshake goes."""

    def __init__(self, path, **fault):
        self.registers = {0x0: fault.get("magic", MAGIC), 0x4: fault.get("abi", ABI),
                          0x20: 1, 0x24: 12 | 10 << 8}
        self.pci_class = fault.get("class", CLASS)
        self.fixed_status = fault.get("status")
        self.silent = fault.get("silent", False)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def stop(self):
        self.listener.close()

    def serve(self):
        try:
            client, _ = self.listener.accept()
            while self.answer(client):
                pass
        except OSError:
            pass

    def answer(self, client):
        data, fds, _, _ = socket.recv_fds(client, HEADER.size, 16)
        for fd in fds:
            os.close(fd)
        if len(data) < HEADER.size:
            return False
        number, command, size, flags, _ = HEADER.unpack(data)
        body = b""
        while len(body) < size - HEADER.size:
            body += client.recv(size - HEADER.size - len(body))
        if self.silent or flags & 0x10:
            return True
        reply = self.reply_to(command, body)
        client.sendall(HEADER.pack(number, command, HEADER.size + len(reply), 1, 0) + reply)
        return True

    def reply_to(self, command, body):
        if command == 1:  # VERSION
            return struct.pack("<HH", 0, 0) + b'{"capabilities":{"max_msg_fds":16}}\0'
        if command == 4:  # DEVICE_GET_INFO
            return struct.pack("<IIII", 16, 3, 9, 5)
        if command == 6:  # DEVICE_GET_REGION_IO_FDS
            return struct.pack("<IIII", 16, 0, 0, 0)
        if command in (9, 10):  # REGION_READ, REGION_WRITE
            return self.access(command, *struct.unpack_from("<QII", body), body[16:])
        return b""

    def access(self, command, offset, region, count, data):
        head = struct.pack("<QII", offset, region, count)
        if command == 10:
            if region == 0 and offset == 0x8:
                value = struct.unpack("<I", data)[0]
                self.registers[0x8] = value if self.fixed_status is None else self.fixed_status
            return head
        if region == 7:
            config = struct.pack("<IIIIII", 0x10F81AF4, 0, self.pci_class << 8 | 1, 0, 0, 0)
            return head + config[offset:offset + count]
        return head + struct.pack("<I", self.registers.get(offset, 0))
