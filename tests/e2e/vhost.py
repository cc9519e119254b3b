# SPDX-License-Identifier: BSD-3-Clause
"""Hosts with a vhost-user port, and their guests: testpmd with stock virtio-user, of many forms."""

import dataclasses
import itertools
import os

from rig import memory_args

# The host's driver. DPDK's own, net_vhost, takes the same arguments.
BACK_END = "net_iovtee"

# What a guest can be, and all that is tried of it.
VALUES = {
    "queues": (1, 2, 8),
    "queue_size": (256, 1024),
    "mrg_rxbuf": (0, 1),
    "in_order": (0, 1),
    "packed_vq": (0, 1),
    "vectorized": (0, 1),
    "server": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class Form:
    """Arguments of net_virtio_user; `server`: the guest listens and the host connects."""

    queues: int = 1
    queue_size: int = 256
    mrg_rxbuf: int = 1
    in_order: int = 0
    packed_vq: int = 0
    vectorized: int = 0
    server: int = 0

    def __str__(self):
        flags = [name for name in VALUES if not name.startswith("queue") and getattr(self, name)]
        return "-".join([f"{self.queues}x{self.queue_size}", *flags])

    def list_parts(self):
        """All pairs and triples of values that it has."""
        values = sorted(dataclasses.asdict(self).items())
        return [set(itertools.combinations(values, size)) for size in (2, 3)]

    @property
    def devargs(self):
        return ",".join(f"{name}={value}" for name, value in dataclasses.asdict(self).items())


def choose_forms(count):
    """
    So many of all forms, each the one with the most pairs of values, then triples, that are new.

    A few have each pair.
    """
    left = [Form(**dict(zip(VALUES, values))) for values in itertools.product(*VALUES.values())]
    seen, chosen = [set(), set()], []
    while left and len(chosen) < count:
        form = max(left, key=lambda form: [
            len(new - old) for new, old in zip(form.list_parts(), seen)])
        left.remove(form)
        chosen.append(form)
        seen = [old | new for new, old in zip(form.list_parts(), seen)]
    return chosen


def make_port(rig, form):
    """Devargs of the host's port for such a guest."""
    return f"{BACK_END}0,iface={rig.path('g0')},client={form.server},queues={form.queues}"


def start_host(rig, form, *tnics, args=()):
    """Port 0 is the guest's; a stream's test NIC is 1."""
    return rig.testpmd("host", [make_port(rig, form), *tnics],
                       [f"--rxq={form.queues}", f"--txq={form.queues}", *args])


def start_guest(rig, form, *tnics, args=()):
    """Stock testpmd; its port 0 is the host's."""
    if form.server and os.path.exists(rig.path("g0")):
        os.unlink(rig.path("g0"))  # of one that was killed; the next wouldn't listen there
    # Full rings both ways: of buffers, and of frames in up to five (indirect descriptors).
    mbufs = 2048 + form.queues * form.queue_size * (6 if form.mrg_rxbuf else 2)
    # virtio-user shares no more than 8 files.
    single_file = [] if "--no-huge" in memory_args() else ["--single-file-segments"]
    several = ["--enable-scatter", "--max-pkt-len=9018"] if form.mrg_rxbuf else []
    return rig.testpmd(
        "guest", [f"net_virtio_user0,path={rig.path('g0')},{form.devargs}", *tnics],
        [f"--rxq={form.queues}", f"--txq={form.queues}", f"--rxd={form.queue_size}",
         f"--txd={form.queue_size}", f"--total-num-mbufs={mbufs}", *several, *args],
        [*memory_args(), *single_file], tiny=True)
