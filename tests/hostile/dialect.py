# SPDX-License-Identifier: BSD-3-Clause
"""
What attackers of either front end say, where both are attacked in the same way.

A dialect is how the attacked port is spoken to: vfio-user with a vDPDK device behind it, or
vhost-user with virtio rings. Tests take it from `scene.dialect`, and have no other knowledge of the
protocol; those that do are of one dialect only (conftest.py).
"""

import dataclasses
import os
import struct

import driver as d
import vfio_user as vu
import vhost_user as vh
import virtio_driver as vd

EINVAL = 22
FDS_MAX = 16  # that any message may have
STATES = ("fresh", "agreed", "ready", "busy", "failed")


@dataclasses.dataclass(frozen=True)
class Message:
    """One that is good; `wants` descriptors belong to it, of memory or eventfds."""

    data: bytes
    wants: int = 0
    memory: bool = False
    kind: int = 0  # what its answer begins with
    accepts: int = 0  # descriptors at most; -1: any number, as it isn't served
    error: int = 0

    def make_fds(self, n):
        size = vd.BYTES if self.kind == vh.SET_MEM_TABLE else d.PAGE
        return [d.make_file(size) if self.memory else os.eventfd(0) for _ in range(n)]


class Fds:
    """So many descriptors of the kind that a message has."""

    def __init__(self, message, n=None):
        self.fds = message.make_fds(message.wants if n is None else n)

    def __enter__(self):
        return self.fds

    def __exit__(self, *_):
        for fd in self.fds:
            os.close(fd)


def ask_vdpdk(command, body=b"", wants=0, accepts=None, error=0, memory=False):
    return Message(vu.message(command, body), wants, memory, command,
                   wants if accepts is None else accepts, error)


class Vdpdk:
    """
    Each message is answered, and all of them but before VERSION in the same way in each state. The
    device's states are those of a driver that begins.
    """

    HEADER_BYTES = vu.HEADER.size
    FORMS = ({},)  # of rings
    HELLO = vu.version()
    MESSAGES = {
        "version": ask_vdpdk(vu.VERSION, struct.pack("<HH", 0, 0) + vu.CAPABILITIES),
        "map": ask_vdpdk(vu.DMA_MAP, d.pack_map(d.SPARE + (1 << 20), d.PAGE), 1, memory=True),
        "unmap": ask_vdpdk(vu.DMA_UNMAP, d.pack_unmap(d.SPARE + (2 << 20), d.PAGE), accepts=1,
                           memory=True),
        "info": ask_vdpdk(vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0)),
        "region-info": ask_vdpdk(vu.GET_REGION_INFO, struct.pack("<IIIIQQ", 32, 0, 0, 0, 0, 0)),
        "doorbells": ask_vdpdk(vu.GET_IO_FDS, struct.pack("<IIII", 4096, 0, 0, 0)),
        "irq-info": ask_vdpdk(vu.GET_IRQ_INFO, struct.pack("<IIII", 16, 0, 2, 0)),
        "vectors": ask_vdpdk(vu.SET_IRQS, d.pack_vectors(1), 1),
        "read": ask_vdpdk(vu.REGION_READ, d.pack_access(0, 64, region=7)),
        "write": ask_vdpdk(vu.REGION_WRITE, d.pack_access(d.TX_DOORBELL, b"\0\0\0\0")),
        "reset": ask_vdpdk(vu.RESET),
        # Not served: DMA_READ and DMA_WRITE are a server's, others nobody's.
        "none": ask_vdpdk(0, accepts=-1, error=EINVAL),
        "dma-read": ask_vdpdk(11, struct.pack("<QQ", d.BASE, 64), accepts=-1, error=EINVAL),
        "dma-write": ask_vdpdk(12, struct.pack("<QQ", d.BASE, 4) + b"data", accepts=-1,
                               error=EINVAL),
        "beyond": ask_vdpdk(14, bytes(16), accepts=-1, error=EINVAL),
        "last": ask_vdpdk(0xFFFF, bytes(16), accepts=-1, error=EINVAL),
    }
    # After these the next message gets a client of its own.
    ENDS_STATE = ("version", "map", "reset")
    ANY = vu.message(vu.RESET)
    WITH_FD = (vu.message(vu.DMA_MAP, d.pack_map(d.BASE, d.PAGE)),
               vu.message(vu.SET_IRQS, d.pack_vectors(1)))
    # The same with a descriptor that the other one takes.
    MIXED_UP = ((WITH_FD[0], lambda: os.eventfd(0)), (WITH_FD[1], lambda: d.make_file(d.PAGE)))
    QUESTION = vu.message(vu.REGION_READ, d.pack_access(0, 4096, region=7))
    POSTED = b"".join(vu.message(vu.REGION_WRITE, d.pack_access(offset, bytes(4)), vu.NO_REPLY)
                      for offset in (d.TX_DOORBELL, d.CONTROL_DOORBELL, d.STATUS))
    BAD_HEADER = vu.header(vu.RESET, size=3)
    BAD_SIZES = [vu.message(vu.REGION_READ, b"x" * 32, size=size) for size in
                 (0, 1, 15, 65536 + 33, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)]
    REPLIES = [vu.message(vu.GET_INFO, bytes(16), flags=flags) for flags in (0x1, 0x2, 0xF)]
    # Of a file of d.BYTES, from its begin: nothing, the control area, rings, all but the buffers.
    PARTS = (0, 1, d.AREA + d.PAGE, d.RINGS, d.RINGS + d.PAGE, d.BUFFERS)
    AREAS = (d.AREA, d.RINGS, d.BUFFERS)

    @staticmethod
    def make_client(path, **keys):
        return vu.Client(path, **keys)

    @staticmethod
    def make_state(path, state):
        if state == "fresh":
            return d.Driver(path, hello=False)
        client = d.Driver(path)
        return client if state == "agreed" else getattr(client, f"make_{state}")()

    @staticmethod
    def make_busy(path):
        return d.Driver(path).make_busy()

    @classmethod
    def check_answer(cls, client, state, name, n_fds):
        """The answer is the expected one; False: this client is of no use any more."""
        message = cls.MESSAGES[name]
        error = EINVAL if n_fds > message.accepts >= 0 else message.error
        goes_on = True
        if state == "fresh":
            goes_on = name == "version" and n_fds == 0
            error = 0 if goes_on else EINVAL
        elif name == "version":
            error, goes_on = EINVAL, False
        answer = client.receive()
        assert answer is not None, f"{name} in {state}: no answer"
        assert answer[:2] == (message.kind, error), f"{name} with {n_fds} descriptors in {state}"
        if not goes_on:
            assert client.is_closed(2)
        return goes_on and name not in cls.ENDS_STATE

    @staticmethod
    def is_refused(answer):
        """It is an end, or says so."""
        return answer is None or answer[1] == EINVAL

    @classmethod
    def is_alive(cls, client):
        return client.ask(vu.GET_INFO, struct.pack("<IIII", 16, 0, 0, 0))[:2] == (vu.GET_INFO, 0)

    # What a burst under way holds up, whose descriptors it has, and what its answer is like.
    PARKED = {"memory": (vu.message(vu.DMA_UNMAP, d.pack_unmap(d.SPARE, d.PAGE)), "unmap",
                         lambda answer: answer[:2] == (vu.DMA_UNMAP, 0)),
              "all": (vu.message(vu.RESET), "reset",
                      lambda answer: answer[:2] == (vu.RESET, 0))}
    # What is asked for behind it, again and again.
    PILE = [(vu.message(command, body), lambda answer, command=command: answer[:2] == (command, 0))
            for command, body in ((vu.REGION_WRITE, d.pack_access(d.STATUS, bytes(4))),
                                  (vu.DMA_UNMAP, d.pack_unmap(0, 0, 2)), (vu.RESET, b""))]

    @staticmethod
    def offer_file(client, fd, access):
        """errno; None: that was the end."""
        answer = client.ask(vu.DMA_MAP, d.pack_map(d.BASE, d.BYTES, 0, access), [fd])
        return None if answer is None else answer[1]

    @staticmethod
    def poke(client, length=0):
        """
        Have the host look at memory of which only so much is left. What isn't there the attacker
        doesn't touch itself: here, only the control thread looks.
        """
        client.post(d.CONTROL_DOORBELL, 0)

    @staticmethod
    def make_noise(client, source):
        client.memory[d.RINGS:d.RINGS + 4 * d.RING_ROOM] = source.randbytes(4 * d.RING_ROOM)

    @staticmethod
    def restart_rings(client):
        for index in (0, 1):
            for direction in (d.RX, d.TX):
                assert client.request(d.QUEUE_STOP, d.pack_stop(direction, index)) == d.OK
                at = d.RINGS + (2 * index + direction) * d.RING_ROOM
                client.memory[at:at + d.RING_ROOM] = bytes(d.RING_ROOM)
                assert client.request(d.QUEUE_START, d.pack_start(direction, index)) == d.OK
            client.post_buffers(index)

    @staticmethod
    def make_likely_noise(client, source):
        """Descriptors that are nearly right."""
        end = d.BASE + d.BYTES
        addresses = (d.BASE, d.BASE + d.BUFFERS, end - 64, end, (1 << 64) - 64, 0)
        for direction in (d.RX, d.TX):
            for slot in range(d.SLOTS):
                client.put(direction, slot, source.choice(addresses),
                           source.choice((0, 14, 60, 64, 65, 2048, 65535)),
                           source.choice((d.AVAIL, d.AVAIL, d.AVAIL | d.NEXT, 0)))
            if client.get_state(direction)[0] == d.ERROR:
                assert client.request(d.QUEUE_STOP, d.pack_stop(direction)) == d.OK
                assert client.request(d.QUEUE_START, d.pack_start(direction)) == d.OK

    @staticmethod
    def start_upon_each_other(path):
        """All rings at one place, which is a buffer of each of them as well."""
        client = d.Driver(path).make_running()
        place = d.BASE + d.RINGS
        for index in (0, 1):
            for direction in (d.RX, d.TX):
                assert client.request(d.QUEUE_START, d.pack_start(direction, index, place)) == d.OK
        return client

    @staticmethod
    def post_over_rings(client):
        for i in range(d.SLOTS):
            client.put(d.RX, i, d.BASE + d.RINGS, 4096)


def ask_virtio(request, body=b"", wants=0, memory=False):
    return Message(vh.message(request, body, vh.VERSION | vh.NEED_REPLY), wants, memory, request)


class Virtio:
    """
    A message is answered if it asks for it and that was agreed on; one that is refused without a way
    to say so is the end.
    """

    HEADER_BYTES = vh.HEADER.size
    FORMS = ({"packed": False}, {"packed": True})
    HELLO = vh.message(vh.GET_FEATURES)
    ONE_REGION = vh.pack_table(((vd.BASE, vd.BYTES, vd.USER, 0),))
    MESSAGES = {
        "get-features": ask_virtio(vh.GET_FEATURES),
        "set-features": ask_virtio(vh.SET_FEATURES, vh.pack_number(vd.FEATURES | vh.PROTOCOL)),
        "set-owner": ask_virtio(vh.SET_OWNER),
        "reset-owner": ask_virtio(vh.RESET_OWNER),
        "memory": ask_virtio(vh.SET_MEM_TABLE, ONE_REGION, 1, memory=True),
        "size": ask_virtio(vh.SET_NUM, vh.pack_state(1, vd.SLOTS)),
        "addresses": ask_virtio(vh.SET_ADDR, vh.pack_addresses(
            1, vd.USER, vd.USER + 0x1000, vd.USER + 0x2000)),
        "set-base": ask_virtio(vh.SET_BASE, vh.pack_state(1, 0)),
        "get-base": ask_virtio(vh.GET_BASE, vh.pack_state(1, 0)),
        "kick": ask_virtio(vh.SET_KICK, vh.pack_number(1), 1),
        "call": ask_virtio(vh.SET_CALL, vh.pack_number(1), 1),
        "error": ask_virtio(vh.SET_ERR, vh.pack_number(1), 1),
        "get-protocol": ask_virtio(vh.GET_PROTOCOL),
        "set-protocol": ask_virtio(vh.SET_PROTOCOL,
                                   vh.pack_number(vh.MQ | vh.REPLY_ACK | vh.NET_MTU)),
        "queues": ask_virtio(vh.GET_QUEUE_NUM),
        "enable": ask_virtio(vh.SET_ENABLE, vh.pack_state(1, 1)),
        "mtu": ask_virtio(vh.SET_MTU, vh.pack_number(1500)),
    }
    # With an answer of their own.
    ANSWERED = ("get-features", "get-base", "get-protocol", "queues")
    ANY = HELLO
    WITH_FD = (vh.message(vh.SET_MEM_TABLE, ONE_REGION), vh.message(vh.SET_KICK, vh.pack_number(1)),
               vh.message(vh.SET_CALL, vh.pack_number(1)), vh.message(vh.SET_ERR, vh.pack_number(1)),
               MESSAGES["memory"].data, MESSAGES["kick"].data, MESSAGES["call"].data,
               MESSAGES["error"].data)
    MIXED_UP = ((MESSAGES["memory"].data, lambda: os.eventfd(0)),
                (MESSAGES["kick"].data, lambda: d.make_file(vd.BYTES)),
                (MESSAGES["call"].data, lambda: d.make_file(vd.BYTES)),
                (MESSAGES["error"].data, lambda: d.make_file(vd.BYTES)))
    QUESTION = HELLO
    POSTED = b"".join(vh.message(*words) for words in (
        (vh.SET_MTU, vh.pack_number(1500)), (vh.SET_NUM, vh.pack_state(3, vd.SLOTS)),
        (vh.SET_BASE, vh.pack_state(3, 0)), (vh.SET_ENABLE, vh.pack_state(3, 0))))
    BAD_HEADER = vh.message(vh.SET_NUM, size=0xFFFFFFFF)
    BAD_SIZES = [vh.message(vh.SET_NUM, b"x" * 32, size=size)
                 for size in (65537, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)]
    REPLIES = [vh.message(vh.GET_FEATURES, b"", flags)
               for flags in (0, 2, 3, vh.VERSION | vh.REPLY, 0xFFFFFFFF)]
    # Rings come first: nothing, a table of descriptors, what is available, a ring, all of them.
    PARTS = (0, 1, vd.AVAIL_AT, vd.USED_AT, vd.RING_ROOM, vd.BUFFERS)
    AREAS = (vd.RINGS, vd.TABLES, vd.BUFFERS)

    @staticmethod
    def make_client(path, **keys):
        return vh.Client(path, **keys)

    @staticmethod
    def make_state(path, state):
        if state == "fresh":
            return vd.Driver(path, hello=False)
        client = vd.Driver(path)
        if state == "agreed":
            return client
        if state == "ready":
            return client.make_shared()
        client.make_busy()
        if state == "failed":
            client.rings[1].hand_over([(vd.BASE + vd.BUFFERS, 0, 0)])  # of no length
        return client

    @staticmethod
    def make_busy(path, **form):
        return vd.Driver(path, **form).make_busy()

    @classmethod
    def check_answer(cls, client, state, name, n_fds):
        """As above; most messages leave another state behind, so each has a client of its own."""
        message = cls.MESSAGES[name]
        if state == "fresh":
            return False
        answer = client.receive()
        if state == "agreed" and n_fds == message.wants:
            assert answer is not None and answer[0] == message.kind, name
            assert answer[1] == 0 or name in cls.ANSWERED, name
            assert client.is_alive()
        elif n_fds != message.wants and message.wants > 0:
            assert answer is None or answer[1] != 0, (name, n_fds)
        return False

    @staticmethod
    def is_refused(answer):
        return answer is None or answer[1] != 0

    @classmethod
    def is_alive(cls, client):
        return client.is_alive()

    # Other memory at the same place; a ring that ends.
    PARKED = {"memory": (MESSAGES["memory"].data, "memory",
                         lambda answer: answer[:2] == (vh.SET_MEM_TABLE, 0)),
              "all": (MESSAGES["get-base"].data, "get-base",
                      lambda answer: answer[0] == vh.GET_BASE)}
    PILE = [(MESSAGES["size"].data, lambda answer: answer[0] == vh.SET_NUM),
            (vh.message(vh.GET_BASE, vh.pack_state(0, 0)), lambda answer: answer[0] == vh.GET_BASE),
            (MESSAGES["queues"].data, lambda answer: answer[0] == vh.GET_QUEUE_NUM)]

    @staticmethod
    def offer_file(client, fd, access):
        """Its front end says nothing of how memory is accessed: it is to be read and written."""
        assert access
        return client.share(fds=[fd])

    @staticmethod
    def poke(client, length=0):
        """As above: bursts look, if the first ring is there and has buffers."""
        if length >= vd.RING_ROOM:
            client.post_buffers(0, client.rings[0].count_used())

    @staticmethod
    def make_noise(client, source):
        client.memory[vd.RINGS:vd.RINGS + 4 * vd.RING_ROOM] = source.randbytes(4 * vd.RING_ROOM)

    @staticmethod
    def restart_rings(client):
        for index in range(4):
            client.stop_ring(index)
            ring = client.rings[index] = vd.Ring(client, index)
            ring.write(0, bytes(vd.RING_ROOM))
            client.start_ring(index)
            if index % 2 == 0:
                client.post_buffers(index)

    @staticmethod
    def make_likely_noise(client, source):
        end, tables = vd.BASE + vd.BYTES, vd.BASE + vd.TABLES
        addresses = (vd.BASE, vd.BASE + vd.BUFFERS, end - 64, end, (1 << 64) - 64, 0, tables)
        lengths = (0, 12, 13, 72, 2048, 65535, 0xFFFFFFFF)
        flags = (0, 0, vd.WRITE, vd.WRITE, vd.NEXT, vd.WRITE | vd.NEXT, vd.INDIRECT)
        for _ in range(500):
            client.rings[source.randrange(4)].hand_over(
                [(source.choice(addresses), source.choice(lengths), source.choice(flags))])
        Virtio.restart_rings(client)

    @staticmethod
    def start_upon_each_other(path, **form):
        client = vd.Driver(path, **form).make_shared()
        for index in range(4):
            client.start_ring(index, start=vd.USER + vd.RINGS)
        return client

    @staticmethod
    def post_over_rings(client):
        client.rings[0].hand_over([(vd.BASE + vd.RINGS, 4096, vd.WRITE)])


def only(dialect):
    """Mark an attack that is of one front end: what it breaks the other doesn't have."""
    def mark(test):
        test.dialect = dialect
        return test
    return mark
