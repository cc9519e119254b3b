# SPDX-License-Identifier: BSD-3-Clause
"""A vhost-user front end that sends whatever it is told to."""

import os
import socket
import struct

import vfio_user as vu

HEADER = struct.Struct("<III")

GET_FEATURES, SET_FEATURES, SET_OWNER, RESET_OWNER, SET_MEM_TABLE = 1, 2, 3, 4, 5
SET_NUM, SET_ADDR, SET_BASE, GET_BASE, SET_KICK, SET_CALL, SET_ERR = 8, 9, 10, 11, 12, 13, 14
GET_PROTOCOL, SET_PROTOCOL, GET_QUEUE_NUM, SET_ENABLE, SET_MTU = 15, 16, 17, 18, 20

VERSION, REPLY, NEED_REPLY = 0x1, 0x4, 0x8
NO_FD = 0x100

MRG_RXBUF, INDIRECT, EVENT_IDX, PROTOCOL, VERSION_1, PACKED = (
    1 << n for n in (15, 28, 29, 30, 32, 34))
MQ, REPLY_ACK, NET_MTU = 1 << 0, 1 << 3, 1 << 4


def message(request, body=b"", flags=VERSION, size=None):
    return HEADER.pack(request, flags, len(body) if size is None else size) + body


def pack_number(number):
    return struct.pack("<Q", number)


def pack_state(index, number):
    return struct.pack("<II", index, number)


def pack_addresses(index, desc, avail, used, flags=0):
    return struct.pack("<IIQQQQ", index, flags, desc, used, avail, 0)


def pack_table(regions, n=None):
    """regions: (guest address, size, user address, offset) of each."""
    body = struct.pack("<II", len(regions) if n is None else n, 0)
    return body + b"".join(struct.pack("<QQQQ", *region) for region in regions)


class Client(vu.Client):
    """A connection; `hello` agrees on features first."""

    def __init__(self, path, hello=True, features=VERSION_1, timeout=10):
        super().__init__(path, hello=False, timeout=timeout)
        if hello:
            assert self.ask(GET_FEATURES)[1] & features == features
            self.tell(SET_PROTOCOL, pack_number(MQ | REPLY_ACK | NET_MTU))
            self.tell(SET_FEATURES, pack_number(features | PROTOCOL))

    def receive(self):
        """(request, number or body, flags), or None: closed."""
        try:
            data = self.read(HEADER.size)
            if data is None:
                return None
            request, flags, size = HEADER.unpack(data)
            body = self.read(size)
        except ConnectionResetError:
            return None
        return request, struct.unpack("<Q", body)[0] if size == 8 else body, flags

    def read(self, size):
        data = b""
        while len(data) < size:
            piece = self.socket.recv(size - len(data))
            if not piece:
                return None
            data += piece
        return data

    def tell(self, request, body=b"", fds=()):
        return self.send(message(request, body), fds)

    def ask(self, request, body=b"", fds=()):
        self.tell(request, body, fds)
        return self.receive()

    def ask_whether(self, request, body=b"", fds=()):
        """0: all is well; another number; None: the connection ended."""
        self.send(message(request, body, VERSION | NEED_REPLY), fds)
        answer = self.receive()
        return None if answer is None else answer[1]

    def tell_file(self, request, index, fd=None):
        """KICK, CALL or ERR with a descriptor, an eventfd's without; -1: none."""
        if fd == -1:
            return self.ask_whether(request, pack_number(index | NO_FD))
        own = os.eventfd(0, os.EFD_NONBLOCK) if fd is None else fd
        ret = self.ask_whether(request, pack_number(index), [own])
        if fd is None:
            os.close(own)
        return ret

    def is_alive(self):
        """True if it is served."""
        answer = self.ask(GET_QUEUE_NUM)
        return answer is not None and answer[0] == GET_QUEUE_NUM


def make_pair():
    """A socket that nobody reads, as a descriptor of a wrong kind."""
    return socket.socketpair()[0].detach()
