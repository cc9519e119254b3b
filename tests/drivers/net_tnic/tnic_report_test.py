# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""Tests of tnic_report.py. TNIC_FILE_TEST names the program that writes a sample report."""

import os
import pathlib
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import tnic_report  # noqa: E402

CLEAN = dict(run=1, frames=100, sent=100, acknowledged=100, received=100, good=100,
             sender_state="stopped", auditor_state="running")


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "report"
    subprocess.run([os.environ["TNIC_FILE_TEST"], str(path)], check=True)
    return path


def test_every_field_is_read_from_its_place(sample):
    report = tnic_report.read(sample)
    assert (report.frames, report.window, report.flows) == (10000, 32, 64)
    assert (report.sender_state, report.sender_queues) == ("running", 2)
    assert (report.auditor_state, report.auditor_queues) == ("stopped", 7)
    assert (report.sent, report.sent_bytes, report.no_mbuf, report.unexpected) == (201, 202, 205, 206)
    assert (report.sent_size_min, report.sent_size_max) == (203, 204)
    assert (report.acknowledged, report.gaps, report.received, report.bytes) == (101, 102, 103, 104)
    assert (report.size_min, report.size_max) == (105, 106)
    assert [getattr(report, name) for name in tnic_report.ARRIVALS] == list(range(110, 118))
    assert report.queues[15].sent == 201 and report.queues[15].malformed == 117


def test_percentiles_are_of_the_run_and_not_too_short(sample):
    report = tnic_report.read(sample)
    assert report.tsc_hz == 2000000000 and sum(report.times) == 1000
    # 100 cycles of 0.5 ns, 20000, 3000000; a class is a sixteenth wide.
    for percent, time_ns in ((50, 50), (98, 50), (99, 10000), (99.8, 10000), (99.9, 1500000)):
        assert time_ns < report.percentile_ns(percent) <= time_ns * 17 / 16, percent


def test_nothing_received_has_no_percentiles():
    assert tnic_report.Report(**CLEAN).percentile_ns(50) is None


def test_auditor_block_of_another_run_counts_nothing(sample):
    assert tnic_report.read(sample).queues[0] == tnic_report.Queue()


def test_other_files_are_refused(sample, tmp_path):
    data = sample.read_bytes()
    for bad in (b"", b"x" * len(data), data[:-1], data + b"x", data[:8] + b"\1" + data[9:]):
        with pytest.raises(tnic_report.NotAReport):
            tnic_report.parse(bad)
    with pytest.raises(OSError):
        tnic_report.wait_settled(tmp_path / "nothing", timeout_s=0.2)


def test_clean_stream_has_no_verdict():
    report = tnic_report.Report(**CLEAN)
    assert report.verdict() == [] and report.settled


@pytest.mark.parametrize("changes, says", [
    (dict(run=0), "No stream"),
    (dict(auditor_state="absent"), "No auditing port"),
    (dict(frames=0, sent=0, acknowledged=0), "Nothing was sent"),
    (dict(received=0), "Nothing was received"),
    (dict(sent=60, acknowledged=50), "60 of 100 frames sent, 10 unacknowledged"),
    (dict(acknowledged=97), "3 frames lost"),
    (dict(frames=0, sender_state="running", gaps=2), "2 frames lost"),
    (dict(doubled=1), "1 frame doubled"),
    (dict(reordered=2), "2 frames reordered"),
    (dict(stale=2), "2 frames stale"),
    (dict(changed=2), "2 frames changed"),
    (dict(foreign=2), "2 frames foreign"),
    (dict(misplaced=2), "2 frames misplaced"),
    (dict(malformed=2), "2 frames malformed"),
    (dict(unexpected=2), "2 frames unexpected"),
])
def test_what_is_wrong_is_said(changes, says):
    verdict = tnic_report.Report(**{**CLEAN, **changes}).verdict()
    assert len(verdict) == 1 and says in verdict[0]


def test_misplaced_frames_are_not_lost_as_well():
    report = tnic_report.Report(**{**CLEAN, "acknowledged": 90, "misplaced": 10})
    assert report.lost == 0


def test_frames_on_their_way_are_not_lost():
    report = tnic_report.Report(**{**CLEAN, "frames": 0, "sender_state": "running",
                                   "acknowledged": 90})
    assert report.verdict() == [] and not report.settled
