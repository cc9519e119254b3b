# SPDX-License-Identifier: BSD-3-Clause
"""Ends and beginnings at a vhost-user port, of guests and hosts."""

import contextlib
import random
import time

import pytest

from lengths import get_length
from test_iovtee import STREAM
from test_life import set_queues
from testpmd import Failure, wait_until
from vhost import BACK_END, Form, start_guest, start_host

KILLS = get_length("NMX_VIRTIO_KILLS")
# Whoever calls tries again once a second.
RETRY_S = 5
ENDLESS = {**STREAM, "frames": 0}
FLOOD = {**ENDLESS, "window": 0}
LISTENERS = pytest.mark.parametrize("server", [0, 1], ids=["host-listens", "guest-listens"])


def check_so_far(rig, *expected):
    """What has come of an endless stream is clean, but for what is expected of it."""
    wrong = [line for line in rig.report().verdict()
             if not any(f" {name}: " in line for name in expected)]
    assert wrong == []


def wait_for_frames(rig, count=5000):
    """More of a stream's frames."""
    before = rig.report().good
    wait_until(lambda: rig.report().good > before + count, "audited frames")


@LISTENERS
def test_link_of_the_host_is_up_while_its_guest_is_there(rig, server):
    form = Form(server=server)
    host = start_host(rig, form)
    assert not host.link_is_up()
    for leave in ("quit", "kill"):
        guest = start_guest(rig, form)
        wait_until(host.link_is_up, "link up", RETRY_S)
        getattr(guest, leave)()
        wait_until(lambda: not host.link_is_up(), "link down")


@LISTENERS
def test_killed_guest_is_followed_by_the_next(rig, server):
    """Each dies under load; the next one's stream is its own, from the first frame on."""
    form = Form(queues=2, server=server)
    host = start_host(rig, form, args=["--auto-start"])
    rng = random.Random(1)
    for _ in range(KILLS):
        guest = start_guest(rig, form, rig.tnic(**ENDLESS))
        wait_until(host.link_is_up, "link up", RETRY_S)
        guest.command("start")
        wait_for_frames(rig)
        check_so_far(rig)
        time.sleep(rng.uniform(0, 0.05))
        guest.kill()
        rig.forget(guest)
        wait_until(lambda: not host.link_is_up(), "link down")
    assert host.stats(0)["RX-errors"] == 0


def test_killed_host_is_followed_by_the_next(rig):
    """The guest listens, and never notices more than its link; what was under way comes late."""
    form = Form(queues=2, server=1)
    host = start_host(rig, form, rig.tnic(**ENDLESS))
    guest = start_guest(rig, form, args=["--auto-start"])
    for _ in range(KILLS):
        wait_until(host.link_is_up, "link up", RETRY_S)
        host.command("start")
        wait_for_frames(rig)
        check_so_far(rig, "foreign")
        assert rig.report().foreign <= form.queues * form.queue_size
        host.kill()
        rig.forget(host)
        wait_until(lambda: not guest.link_is_up(), "the guest's link down")
        host = start_host(rig, form, rig.tnic(**ENDLESS))
        wait_until(guest.link_is_up, "the guest's link up again", RETRY_S)


def test_guest_stops_and_starts_its_port_under_load(rig):
    form = Form(queues=2)
    host = start_host(rig, form, rig.tnic(**FLOOD))
    guest = start_guest(rig, form, args=["--auto-start"])
    wait_until(host.link_is_up, "link up")
    host.command("start")
    for _ in range(20):
        wait_for_frames(rig, 1000)
        for command in ("stop", "port stop 0", "port start 0", "start"):
            guest.command(command)
    wait_for_frames(rig)
    check_so_far(rig, "lost")
    assert guest.stats(0)["RX-errors"] == 0


def test_guest_changes_its_number_of_queues(rig):
    """The host's frames for queues that are not enabled are dropped, the others all come."""
    form = Form(queues=8)
    host = start_host(rig, form, rig.tnic(**FLOOD))
    guest = start_guest(rig, form, args=["--auto-start"])
    wait_until(host.link_is_up, "link up")
    host.command("start")
    for queues in (1, 8, 2):
        guest.command("stop")
        set_queues(guest, queues)
        guest.command("start")
        before = rig.report()
        wait_for_frames(rig)
        time.sleep(0.1)
        after = rig.report()
        used = [new.received > old.received for new, old in zip(after.queues, before.queues)]
        assert used[:8] == [i < queues for i in range(8)]
    check_so_far(rig, "lost")


def test_guest_with_more_queues_than_the_host_offers_is_refused(rig):
    """The host says so, and takes the next one; virtio-user doesn't ask how many there are."""
    host = start_host(rig, Form(queues=2), rig.tnic(**STREAM))
    guest = None
    with contextlib.suppress(Failure):  # it may end
        guest = start_guest(rig, Form(queues=8))
    host.expect(rf"{BACK_END}\w*: [^\r\n]*(queue|ring)", 5)
    assert not host.link_is_up()
    if guest:
        guest.kill()
    start_guest(rig, Form(queues=2), args=["--auto-start"])
    wait_until(host.link_is_up, "link up")
    host.command("start")
    rig.check_stream()
