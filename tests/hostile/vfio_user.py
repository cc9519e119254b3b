# SPDX-License-Identifier: BSD-3-Clause
"""A vfio-user client that sends whatever it is told to."""

import array
import fcntl
import os
import select
import socket
import struct
import termios
import time

HEADER = struct.Struct("<HHIII")

VERSION, DMA_MAP, DMA_UNMAP, GET_INFO, GET_REGION_INFO, GET_IO_FDS = 1, 2, 3, 4, 5, 6
GET_IRQ_INFO, SET_IRQS, REGION_READ, REGION_WRITE, RESET = 7, 8, 9, 10, 13
NO_REPLY = 0x10

CAPABILITIES = b'{"capabilities":{"max_msg_fds":16,"max_data_xfer_size":1048576}}\0'


def header(command, body_size=0, flags=0, size=None, number=7):
    return HEADER.pack(number, command, HEADER.size + body_size if size is None else size, flags, 0)


def message(command, body=b"", flags=0, size=None, number=7):
    return header(command, len(body), flags, size, number) + body


def version(text=CAPABILITIES, major=0, minor=0):
    return message(VERSION, struct.pack("<HH", major, minor) + text)


class Client:
    """A connection; `hello` agrees on a version first."""

    def __init__(self, path, hello=True, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.socket.settimeout(timeout)
        self.fds = []
        if hello:
            self.send(version())
            assert self.receive()[1] == 0

    def send(self, data, fds=()):
        """False: the server doesn't take it any more."""
        try:
            if fds:
                socket.send_fds(self.socket, [data], fds)
            else:
                self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def receive(self):
        """(command, error, body), or None: closed. Its descriptors are in `fds` until the next."""
        self.close_fds()
        data = b""
        try:
            while len(data) < HEADER.size:
                piece, fds, _, _ = socket.recv_fds(self.socket, HEADER.size - len(data), 128)
                self.fds += fds
                if not piece:
                    return None
                data += piece
            _, command, size, _, error = HEADER.unpack(data)
            body = b""
            while len(body) < size - HEADER.size:
                piece = self.socket.recv(size - HEADER.size - len(body))
                if not piece:
                    return None
                body += piece
        except ConnectionResetError:
            return None
        return command, error, body

    def ask(self, command, body=b"", fds=()):
        self.send(message(command, body), fds)
        return self.receive()

    def has_answer(self, timeout):
        """True if there is something to read, or an end, within some seconds."""
        return bool(select.select([self.socket], [], [], timeout)[0])

    def wait_read(self, timeout=2):
        """Wait until the server has taken all that was sent, or has closed."""
        deadline = time.monotonic() + timeout
        count = array.array("i", [0])
        while time.monotonic() < deadline:
            fcntl.ioctl(self.socket, termios.TIOCOUTQ, count)
            if count[0] == 0 or self.is_closed(0):
                return
            time.sleep(0.0005)
        raise TimeoutError("the server doesn't read")

    def end(self):
        """Nothing more will come."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server was first

    def is_closed(self, timeout):
        """True if the server closes within some seconds."""
        poll = select.poll()
        poll.register(self.socket, select.POLLRDHUP)
        return bool(poll.poll(timeout * 1000))

    def close_fds(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def close(self):
        self.close_fds()
        self.socket.close()
