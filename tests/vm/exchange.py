#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
One end of a TCP connection that has random bytes both ways at once.

    exchange.py listen ADDRESS PORT MEGABYTES
    exchange.py connect ADDRESS PORT MEGABYTES

Prints "listening", if it does, and in the end "sent SHA256 got SHA256": what this end has sent is
what the other one has got.
"""

import hashlib
import os
import socket
import sys
import threading

TIMEOUT_S = 60
MB = 1 << 20


def connect(role, address):
    if role == "connect":
        return socket.create_connection(address, TIMEOUT_S)
    with socket.create_server(address) as listener:
        listener.settimeout(TIMEOUT_S)
        print("listening", flush=True)
        end = listener.accept()[0]
        end.settimeout(TIMEOUT_S)
        return end


def send(end, megabytes, hashed):
    """Random once; each megabyte begins elsewhere in it, so that none can stand for another."""
    block = os.urandom(MB)
    for number in range(megabytes):
        cut = (number * 7919 + 1) % MB
        data = block[cut:] + block[:cut]
        end.sendall(data)
        hashed.update(data)
    end.shutdown(socket.SHUT_WR)


def receive(end, hashed):
    """Until the other end has no more."""
    while data := end.recv(65536):
        hashed.update(data)


def main():
    role, address, port, megabytes = sys.argv[1:]
    sent, got = hashlib.sha256(), hashlib.sha256()
    with connect(role, (address, int(port))) as end:
        sender = threading.Thread(target=send, args=(end, int(megabytes), sent), daemon=True)
        sender.start()
        receive(end, got)
        sender.join(TIMEOUT_S)
        assert not sender.is_alive(), "not all is sent"
    print("sent", sent.hexdigest(), "got", got.hexdigest(), flush=True)


if __name__ == "__main__":
    main()
