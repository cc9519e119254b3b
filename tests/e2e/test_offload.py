# SPDX-License-Identifier: BSD-3-Clause
"""
csum=1 and tso=1 of net_iovtee: frames whose checksum, or whose cutting, is left to others.

Two virtio guests that are told each header to write, and tell each header that they get; between
them stock testpmd, which forwards and knows nothing of it, or makes new checksums itself ("csum").
"""

import struct

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether

import vhost_user as vh
import virtio_driver as vd
from testpmd import wait_until

CSUM, GUEST_CSUM, GUEST_TSO4, GUEST_TSO6, HOST_TSO4, HOST_TSO6 = (
    1 << n for n in (0, 1, 7, 8, 11, 12))
CSUM_BOTH = CSUM | GUEST_CSUM
ALL = CSUM_BOTH | GUEST_TSO4 | GUEST_TSO6 | HOST_TSO4 | HOST_TSO6
NEEDS_CSUM = 1
GSO_NONE, GSO_TCPV4, GSO_UDP, GSO_TCPV6 = 0, 1, 3, 4
HEADER = struct.Struct("<BBHHHHH")  # flags, type, header's length, size, start, offset, buffers
PLAIN = (0, 0, 0, 0, 0, 0, 1)
SEGMENT_BYTES = 1400
TCP_AT, UDP_AT = 16, 6  # their checksums

V4 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst="10.0.0.2")
V6 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IPv6(src="fd00::1", dst="fd00::2")
PAYLOAD = bytes(range(256)) * 5 + b"odd"


def fold(data):
    """One's complement sum, as a half-done checksum has it."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


class Frame:
    """A frame, whole, and as a guest leaves it to others."""

    def __init__(self, packet):
        self.whole = bytes(packet)
        packet = Ether(self.whole)  # with all lengths
        self.l4 = packet[TCP] if TCP in packet else packet[UDP]
        self.at = TCP_AT if TCP in packet else UDP_AT
        self.start = len(self.whole) - len(bytes(self.l4))
        ip = packet[IP] if IP in packet else packet[IPv6]
        protocol = 6 if TCP in packet else 17
        if IP in packet:
            addresses = bytes(ip)[12:20]
        else:
            addresses = bytes(ip)[8:40]
        pseudo = addresses + struct.pack(">II", protocol, len(self.whole) - self.start)
        field = self.start + self.at
        self.half = (self.whole[:field] + struct.pack(">H", fold(pseudo)) + self.whole[field + 2:])

    def header(self, gso_type=GSO_NONE, size=SEGMENT_BYTES):
        if gso_type == GSO_NONE:
            return (NEEDS_CSUM, 0, 0, 0, self.start, self.at, 1)
        return (NEEDS_CSUM, gso_type, self.start + 20, size, self.start, self.at, 1)


class Guest(vd.Driver):
    """One that keeps all rules; what comes is taken in order."""

    def __init__(self, path, features=0, **keys):
        super().__init__(path, features=vd.FEATURES | features, **keys)
        self.make_shared()
        self.start_ring(0)
        self.start_ring(1)
        self.post_buffers(n=vd.SLOTS // 2)
        self.seen = 0

    def send_frame(self, header, data, piece=vd.BUFFER_BYTES):
        """As a chain: the header, and the frame in pieces."""
        ring, at = self.rings[1], vd.BUFFERS + 0x80000
        self.memory[at:at + vd.HEADER_BYTES] = HEADER.pack(*header)
        buffer = [(vd.BASE + at, vd.HEADER_BYTES, 0)]
        at += vd.HEADER_BYTES
        self.memory[at:at + len(data)] = data
        for begin in range(0, len(data), piece):
            buffer.append((vd.BASE + at + begin, min(piece, len(data) - begin), 0))
        ring.count_used()
        ring.hand_over(buffer)
        wait_until(ring.count_used, "the frame to be read")

    def take_used(self):
        """(id, length) of the next answer; split rings only."""
        ring = self.rings[0]
        wait_until(lambda: ring.read("<H", vd.USED_AT + 2)[0] != self.seen % 65536, "a frame")
        answer = ring.read("<II", vd.USED_AT + 4 + 8 * (self.seen % vd.SLOTS))
        self.seen += 1
        return answer

    def take_piece(self):
        """What is in the next buffer, posted anew."""
        number, length = self.take_used()
        address, = self.rings[0].read("<Q", 16 * number)
        at = address - vd.BASE
        data = self.memory[at:at + length]
        self.rings[0].hand_over([(address, vd.BUFFER_BYTES, vd.WRITE)])
        return data

    def take_frame(self):
        """(header, frame)"""
        data = self.take_piece()
        header = HEADER.unpack_from(data)
        data = data[vd.HEADER_BYTES:]
        for _ in range(header[6] - 1):
            data += self.take_piece()
        return header, data


class Pair:
    """Two guests' ports, and who forwards between them."""

    def __init__(self, rig, devargs, args=()):
        vdevs = [f"net_iovtee{i},iface={rig.path(f'g{i}')}{devargs}" for i in range(2)]
        self.rig = rig
        self.host = rig.testpmd("host", vdevs, ["--max-pkt-len=9018", *args],
                                ["--no-telemetry"], tiny=True)
        self.guests = []

    def switch_on(self, *rx_offloads, csum=False, segment=0):
        """Offloads of the program's, both ports', and what it computes itself."""
        self.host.command("port stop all")
        for port in range(2):
            for name in ("scatter", *rx_offloads):
                said = self.host.command(f"port config {port} rx_offload {name} on")
                assert "rror" not in said, said
            if csum:
                for name in ("ip", "udp", "tcp"):
                    self.host.command(f"csum set {name} hw {port}")
            if segment:
                self.host.command(f"tso set {segment} {port}")
        if csum:
            self.host.command("set fwd csum")
        assert "Done" in self.host.command("port start all")

    def connect(self, left=ALL, right=ALL, **keys):
        self.guests = [Guest(self.rig.path(f"g{i}"), features, **keys)
                       for i, features in enumerate((left, right))]
        self.host.command("start")
        return self.guests

    def close(self):
        for guest in self.guests:
            guest.close()


@pytest.fixture
def make_pair(rig):
    pairs = []

    def make(devargs, **keys):
        pairs.append(Pair(rig, devargs, **keys))
        return pairs[-1]
    yield make
    for pair in pairs:
        pair.close()


PACKETS = {
    "tcp": V4 / TCP(dport=7) / PAYLOAD,
    "udp": V4 / UDP(dport=7) / PAYLOAD,
    "tcp-in-v6": V6 / TCP(dport=7) / PAYLOAD,
    "udp-in-v6": V6 / UDP(dport=7) / PAYLOAD,
    "empty": V4 / TCP(dport=7),
    # Its sum comes to nothing, of which UDP has two.
    "udp-of-zero": V4 / UDP(sport=1, dport=2) / struct.pack(">H", 0xFFFF - 0x1426 + 1),
}


def test_checksum_is_completed_for_a_program_that_doesnt_know_of_it(make_pair):
    """Wherever the frame's pieces end, and in whatever mbufs it is."""
    pair = make_pair(",csum=1", args=["--mbuf-size=256", "--total-num-mbufs=4096"])
    pair.switch_on()
    left, right = pair.connect(CSUM_BOTH, CSUM_BOTH)
    for name, packet in PACKETS.items():
        frame = Frame(packet)
        for piece in (2048, 43):
            left.send_frame(frame.header(), frame.half, piece)
            assert right.take_frame() == (PLAIN, frame.whole), name


def test_checksum_is_completed_wherever_it_is(make_pair):
    """A program finds those of TCP and UDP itself, and no others: the header tells where."""
    pair = make_pair(",csum=1")
    pair.switch_on("tcp_cksum", "udp_cksum")
    left, right = pair.connect(CSUM_BOTH, 0)
    inner = Frame(V4 / TCP(dport=7) / PAYLOAD[:1200])
    tunnel = bytes(Ether() / IP(proto=47) / (b"\0\0" + b"\x65\x58"))
    header = (NEEDS_CSUM, 0, 0, 0, len(tunnel) + inner.start, inner.at, 1)
    left.send_frame(header, tunnel + inner.half)
    assert right.take_frame() == (PLAIN, tunnel + inner.whole)


def strip(frame):
    """Without the addresses, which the program may have exchanged."""
    return frame[12:]


@pytest.mark.parametrize("takes", [CSUM_BOTH, 0], ids=["to-one-that-takes-it", "to-one-that-doesnt"])
def test_checksum_goes_through_a_program_that_knows_of_it(make_pair, takes):
    """As it is, half done; what the other guest doesn't do is done for it."""
    pair = make_pair(",csum=1")
    pair.switch_on("tcp_cksum", "udp_cksum", csum=True)
    left, right = pair.connect(CSUM_BOTH, takes)
    for name in ("tcp", "udp", "tcp-in-v6", "udp-in-v6"):
        frame = Frame(PACKETS[name])
        left.send_frame(frame.header(), frame.half)
        header, data = right.take_frame()
        assert header == (frame.header() if takes else PLAIN), name
        assert strip(data) == strip(frame.half if takes else frame.whole), name


def test_packed_ring_has_the_same_headers(make_pair):
    pair = make_pair(",csum=1")
    pair.switch_on()
    left, right = pair.connect(CSUM_BOTH, CSUM_BOTH)
    left.close()
    left = pair.guests[0] = Guest(pair.rig.path("g0"), CSUM_BOTH, packed=True)
    frame = Frame(PACKETS["tcp"])
    at = vd.BUFFERS + 0x80000
    left.memory[at:at + 12] = HEADER.pack(*frame.header())
    left.memory[at + 12:at + 12 + len(frame.half)] = frame.half
    left.rings[1].hand_over([(vd.BASE + at, 12 + len(frame.half), 0)])
    assert right.take_frame() == (PLAIN, frame.whole)


LARGE = {
    "v4": (GSO_TCPV4, V4 / TCP(dport=7, flags="A") / (PAYLOAD * 40)),
    "v6": (GSO_TCPV6, V6 / TCP(dport=7, flags="A") / (PAYLOAD * 40)),
    # As much as a header can tell of: the answer's length has 16 bits.
    "largest": (GSO_TCPV4, V4 / TCP(dport=7, flags="A") / bytes(65535 - 12 - 54)),
}


def test_large_frame_goes_through_whole(make_pair):
    """Over many buffers of a small frame's size."""
    pair = make_pair(",tso=1")
    pair.switch_on("tcp_cksum", "udp_cksum", "tcp_lro", csum=True, segment=SEGMENT_BYTES)
    left, right = pair.connect()
    small = Frame(PACKETS["tcp"])
    # The largest pieces that may be.
    left.send_frame(small.header(GSO_TCPV4, size=9018 - 54), small.half)
    assert strip(right.take_frame()[1]) == strip(small.half)
    for name, (gso_type, packet) in LARGE.items():
        frame = Frame(packet)
        left.send_frame(frame.header(gso_type), frame.half)
        header, data = right.take_frame()
        assert header[:6] == frame.header(gso_type)[:6], name
        assert header[6] == -(-(12 + len(frame.half)) // vd.BUFFER_BYTES), name
        assert strip(data) == strip(frame.half), name
        left.send_frame(small.header(), small.half)
        assert strip(right.take_frame()[1]) == strip(small.half), name


def count(pair, port, name):
    return pair.host.xstats(port)[name]


def test_large_frame_to_a_guest_that_takes_none_is_dropped(make_pair):
    """The program is told so when it prepares the frame."""
    pair = make_pair(",tso=1")
    pair.switch_on("tcp_cksum", "udp_cksum", "tcp_lro", csum=True, segment=SEGMENT_BYTES)
    left, right = pair.connect(ALL, CSUM_BOTH)
    large, small = Frame(LARGE["v4"][1]), Frame(PACKETS["tcp"])
    left.send_frame(large.header(GSO_TCPV4), large.half)
    left.send_frame(small.header(), small.half)
    assert strip(right.take_frame()[1]) == strip(small.half)
    assert count(pair, 0, "from_guest_frames") == 2
    assert count(pair, 1, "to_guest_frames") == 1


def test_large_frame_to_a_program_that_takes_none_is_dropped(make_pair):
    """And the program is told beforehand; other frames have their limit as ever."""
    pair = make_pair(",tso=1")
    pair.switch_on()
    assert "switch its Rx offloads TCP_LRO and SCATTER on" in pair.host.text()
    left, right = pair.connect()
    large, small = Frame(LARGE["v4"][1]), Frame(PACKETS["tcp"])
    left.send_frame(large.header(GSO_TCPV4), large.half)
    left.send_frame(small.header(), small.half)
    assert right.take_frame() == (PLAIN, small.whole)
    assert count(pair, 0, "from_guest_drop_too_long") == 1


def test_frame_that_is_long_and_not_to_be_cut_is_dropped(make_pair):
    pair = make_pair(",tso=1")
    pair.switch_on("tcp_cksum", "udp_cksum", "tcp_lro")
    left, right = pair.connect()
    large, small = Frame(LARGE["v4"][1]), Frame(PACKETS["tcp"])
    left.send_frame(large.header(), large.half)
    left.send_frame((0,) * 7, large.half)
    left.send_frame((0,) * 7, small.whole)
    assert right.take_frame() == (PLAIN, small.whole)
    assert count(pair, 0, "from_guest_drop_too_long") == 2


UDP_FRAME = Frame(PACKETS["udp"])
TCP_FRAME = Frame(PACKETS["tcp"])
END = len(TCP_FRAME.whole)
# Headers that no frame can have: it is dropped, and counted.
NONSENSE = {
    "checksum-behind-the-end": (NEEDS_CSUM, 0, 0, 0, END, 0, 1),
    "checksum-over-the-end": (NEEDS_CSUM, 0, 0, 0, 34, END - 35, 1),
    "largest-numbers": (NEEDS_CSUM, 0, 0, 0, 65535, 65535, 1),
    "cut-as-v6": TCP_FRAME.header(GSO_TCPV6),
    "cut-with-a-checksum-elsewhere": (NEEDS_CSUM, GSO_TCPV4, 54, 1400, 33, 16, 1),
    "cut-into-what-is-too-long": TCP_FRAME.header(GSO_TCPV4, size=9018 - 54 + 1),
    "cut-with-a-checksum-of-udp": (NEEDS_CSUM, GSO_TCPV4, 54, 1400, 34, 6, 1),
}


def test_header_that_makes_no_sense_costs_its_frame(make_pair):
    pair = make_pair(",tso=1")
    pair.switch_on("tcp_cksum", "udp_cksum", "tcp_lro")
    left, right = pair.connect()
    for n, (name, header) in enumerate(NONSENSE.items()):
        left.send_frame(header, TCP_FRAME.half)
        left.send_frame((0,) * 7, TCP_FRAME.whole)
        assert right.take_frame() == (PLAIN, TCP_FRAME.whole), name
        assert count(pair, 0, "from_guest_drop_offload") == n + 1, name


# Headers that ask for what wasn't negotiated: the queue is stopped.
BREACHES = {
    "checksum": (0, TCP_FRAME.header()),
    "cutting": (CSUM_BOTH, TCP_FRAME.header(GSO_TCPV4)),
    "cutting-the-other-kind": (CSUM_BOTH | HOST_TSO6, TCP_FRAME.header(GSO_TCPV4)),
    "cutting-udp": (ALL, UDP_FRAME.header(GSO_UDP)),
    "cutting-without-a-checksum": (ALL, (0, *TCP_FRAME.header(GSO_TCPV4)[1:])),
    "cutting-into-nothing": (ALL, TCP_FRAME.header(GSO_TCPV4, size=0)),
    "congestion": (ALL, TCP_FRAME.header(GSO_TCPV4 | 0x80)),
}


def test_header_that_breaks_what_was_agreed_stops_the_queue(make_pair):
    pair = make_pair(",tso=1")
    pair.switch_on("tcp_cksum", "udp_cksum", "tcp_lro")
    pair.host.command("start")
    at = vd.BUFFERS + 0x80000
    for n, (name, (features, header)) in enumerate(BREACHES.items()):
        wait_until(lambda: not pair.host.link_is_up(0), "the former guest's end")
        guest = Guest(pair.rig.path("g0"), features)
        pair.guests = [guest]
        guest.memory[at:at + 12] = HEADER.pack(*header)
        guest.rings[1].hand_over([(vd.BASE + at, 12 + END, 0)])
        wait_until(lambda: count(pair, 0, "guest_fault_flags") == n + 1, f"a fault: {name}")
        guest.close()


def test_nothing_is_offered_unless_it_is_asked_for(make_pair):
    for devargs, offered in (("", 0), (",csum=1", CSUM_BOTH), (",tso=1", ALL)):
        pair = make_pair(devargs)
        client = vh.Client(pair.rig.path("g0"), hello=False)
        assert client.ask(vh.GET_FEATURES)[1] & ALL == offered
        client.close()
        pair.host.quit()
        pair.rig.forget(pair.host)
