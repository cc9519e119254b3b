#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""
Sends frames by a network interface, and sees that each comes back with swapped addresses and
otherwise as it was.

    echo_client.py INTERFACE FRAMES LENGTH-MAX

Windowed. Lengths go from the shortest to LENGTH-MAX, and back to it again and again; one frame in
three has a VLAN tag. Says "N came back", or in one line what is wrong.
"""

import random
import socket
import struct
import sys
import time

WINDOW = 32
SHORTEST = 60
TIMEOUT_S = 20
NEAR, FAR = bytes.fromhex("020000000002"), bytes.fromhex("020000000001")
TYPE = bytes.fromhex("88b5")  # IEEE 802: for local experiments
SOL_PACKET, PACKET_AUXDATA = 263, 8
AUXDATA = struct.Struct("=IIIHHHH")
TP_STATUS_VLAN_VALID = 1 << 4
ADDRESSES = 12


def make_frame(number, longest):
    """All of it follows from its number."""
    maker = random.Random(number)
    length = longest if number % 5 == 0 else maker.randint(SHORTEST, longest)
    tag = struct.pack("!HH", 0x8100, maker.getrandbits(16) | 1) if number % 3 == 0 else b""
    head = FAR + NEAR + tag + TYPE + struct.pack("!I", number)
    return head + maker.randbytes(length - len(head))


def open_interface(name):
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    end.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    end.bind((name, 3))
    end.settimeout(0.5)
    return end


def receive(end):
    """A frame of ours that has come; the kernel hands its tag over beside it."""
    while True:
        frame, words, _, sender = end.recvmsg(65536, socket.CMSG_SPACE(AUXDATA.size))
        for level, kind, data in words:
            if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
                status, _, _, _, _, tci, protocol = AUXDATA.unpack(data[:AUXDATA.size])
                if status & TP_STATUS_VLAN_VALID:
                    tag = struct.pack("!HH", protocol or 0x8100, tci)
                    frame = frame[:ADDRESSES] + tag + frame[ADDRESSES:]
        if sender[2] != socket.PACKET_OUTGOING and frame[:ADDRESSES] == NEAR + FAR:
            return frame


def read_number(frame):
    at = ADDRESSES + 2 + (4 if frame[ADDRESSES:ADDRESSES + 2] == b"\x81\x00" else 0)
    return struct.unpack_from("!I", frame, at)[0]


def main():
    end, n_frames, longest = open_interface(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    out, n_sent, n_back = {}, 0, 0
    deadline = time.monotonic() + TIMEOUT_S
    while n_back < n_frames:
        while n_sent < n_frames and len(out) < WINDOW:
            out[n_sent] = make_frame(n_sent, longest)
            end.send(out[n_sent])
            n_sent += 1
        try:
            frame = receive(end)
        except TimeoutError:
            if time.monotonic() < deadline:
                continue
            sys.exit(f"{n_sent} sent, {n_back} came back, not {sorted(out)}")
        sent = out.pop(read_number(frame), b"")
        if NEAR + FAR + sent[ADDRESSES:] != frame:
            sys.exit(f"sent {sent.hex()}, but {frame.hex()} came back")
        n_back += 1
    print(n_back, "came back")


if __name__ == "__main__":
    main()
