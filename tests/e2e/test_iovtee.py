# SPDX-License-Identifier: BSD-3-Clause
"""Frames between a host's vhost-user port and stock guests of every form: whole, once, in order."""

import itertools

import pytest

from lengths import get_length
from testpmd import wait_until
from vhost import VALUES, Form, choose_forms, start_guest, start_host

FORMS = choose_forms(get_length("NMX_VIRTIO_FORMS"))
MERGEABLE = [form for form in FORMS if form.mrg_rxbuf]
FRAMES = 20000
# At most 32 frames of at most 5 buffers: less than a ring of 256 holds.
STREAM = {"window": 32, "frames": FRAMES, "sizes": "60-1514", "segments": "1-3", "flows": 64}
JUMBO = {**STREAM, "sizes": "9018", "segments": "1-8"}


def pass_stream(rig, form, stream):
    """Through the guest and back. @return host, guest, the audit"""
    host = start_host(rig, form, rig.tnic(**stream))
    guest = start_guest(rig, form, args=["--auto-start"])
    wait_until(host.link_is_up, "link up")
    host.command("start")
    return host, guest, rig.check_stream()


def test_forms_of_an_ordinary_run_have_each_pair_of_values():
    few = set().union(*(form.list_parts()[0] for form in FORMS))
    pairs = {pair for (a, of_a), (b, of_b) in itertools.combinations(sorted(VALUES.items()), 2)
             for pair in itertools.product(((a, value) for value in of_a),
                                           ((b, value) for value in of_b))}
    assert few == pairs


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_stream_through_a_guest_is_clean_on_all_queues(rig, form):
    *_, audit = pass_stream(rig, form, STREAM)
    assert [queue.received > 0 for queue in audit.queues[:form.queues]] == [True] * form.queues
    assert audit.sent_size_max > 1500


@pytest.mark.parametrize("form", MERGEABLE[:3], ids=str)
def test_stream_of_frames_in_several_buffers_is_clean(rig, form):
    *_, audit = pass_stream(rig, form, JUMBO)
    assert audit.size_min == audit.size_max == 9018


def test_statistics_are_what_was_audited(rig):
    """Frame by frame and byte by byte, on either side, and no error."""
    host, guest, audit = pass_stream(rig, Form(queues=2), STREAM)
    for program, there, back in ((host, "TX", "RX"), (guest, "RX", "TX")):
        stats = program.stats(0)
        assert stats[f"{there}-packets"] == audit.sent
        assert stats[f"{there}-bytes"] == audit.sent_bytes
        assert stats[f"{back}-packets"] == audit.received
        assert stats[f"{back}-bytes"] == audit.bytes
        assert stats["RX-missed"] == stats["RX-errors"] == stats["TX-errors"] == 0
