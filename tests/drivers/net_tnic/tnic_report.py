# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""Reads the file that the test NIC's ports share (tnic_report.h) and says what is wrong.

    report = tnic_report.wait_settled(path, timeout_s=30)
    assert report.verdict() == []

Counts are frames of the present run, summed over the queues. By hand: python3 tnic_report.py PATH
"""

import dataclasses
import struct
import sys
import time

MAGIC = 0x74726F7065526E74
VERSION = 2
ABSENT, RUNNING, STOPPED = range(3)
STATES = ("absent", "running", "stopped")

# The same as in tnic_report.h.
FILE_LINE = struct.Struct("<Q10I")
STREAM_OFFSET, STREAM_LINE = 64, struct.Struct("<4IQI")
AUDITOR_OFFSET, AUDITOR_LINE = 128, struct.Struct("<2IQ")
SENDER_BLOCK = struct.Struct("<5Q24x2Q48x")
AUDITOR_BLOCK = struct.Struct("<I4xQ48x5Q8Q88x")
TIMES = struct.Struct("<592Q")
ARRIVALS = ("good", "doubled", "reordered", "stale", "changed", "foreign", "misplaced", "malformed")


def get_class_end(index):
    """The time, in cycles, below which a class of the histogram (tnic_times.h) ends."""
    if index < 16:
        return index + 1
    return (17 + index % 16) << (index // 16 - 1)


class NotAReport(ValueError):
    """The file isn't a report of this version, or not complete yet."""


@dataclasses.dataclass
class Queue:
    """One queue's counts; see Report."""

    sent: int = 0
    sent_bytes: int = 0
    no_mbuf: int = 0
    unexpected: int = 0
    acknowledged: int = 0
    gaps: int = 0
    received: int = 0
    bytes: int = 0
    good: int = 0
    doubled: int = 0
    reordered: int = 0
    stale: int = 0
    changed: int = 0
    foreign: int = 0
    misplaced: int = 0
    malformed: int = 0


@dataclasses.dataclass
class Report(Queue):
    """What the file says. Each received frame is in one class, good to malformed."""

    run: int = 0  # 0: no sending port has been started
    frames: int = 0  # to be sent in all; 0 endless
    window: int = 0  # per queue; 0 none
    flows: int = 0
    sender_state: str = "absent"
    sender_queues: int = 0
    auditor_state: str = "absent"
    auditor_queues: int = 0
    sent_size_min: int = 0  # bytes; 0 if nothing was sent
    sent_size_max: int = 0
    size_min: int = 0  # bytes, of received frames
    size_max: int = 0
    queues: tuple = ()  # of Queue
    tsc_hz: int = 0  # 0: no auditing port has been started
    times: tuple = ()  # frames by how long they were under way; see tnic_times.h

    def percentile_ns(self, percent):
        """The time within which so many frames came, a sixteenth too long at most.

        Of first copies, from when they were made until they were transmitted into the auditing
        port. None: nothing came.
        """
        left = sum(self.times) * percent / 100
        if left == 0 or self.tsc_hz == 0:
            return None
        for index, count in enumerate(self.times):
            left -= count
            # A thousandth of a frame: percentages are no exact numbers.
            if left <= 0.001:
                break
        return get_class_end(index) * 1e9 / self.tsc_hz

    @property
    def ended(self):
        """True if nothing more will be sent; what was sent may still be on its way."""
        if self.frames:
            return self.sent >= self.frames
        return self.sender_state == "stopped"

    @property
    def settled(self):
        """True if the stream has ended and every frame of it has come."""
        return self.ended and self.acknowledged >= self.sent

    @property
    def lost(self):
        """Frames that never came, as far as can be said.

        After the stream's end: sent and not uniquely received. Before it: gaps in the numbers
        received. A frame that came changed is lost, too: nobody can tell which one it was.
        """
        if not self.ended:
            return self.gaps
        return max(0, self.sent - self.acknowledged - self.misplaced)

    def verdict(self):
        """Sentences that say what is wrong; empty if the stream is clean."""
        if self.run == 0:
            return ["No stream: no sending port has been started with this file."]
        wrong = []
        if self.auditor_state == "absent":
            wrong.append("No auditing port has been started with this file.")
        if self.sent == 0:
            wrong.append("Nothing was sent.")
        elif self.received == 0:
            wrong.append("Nothing was received.")
        if self.frames and not self.ended:
            wrong.append(f"The stream has not ended: {self.sent} of {self.frames} frames sent, "
                         f"{self.sent - self.acknowledged} unacknowledged"
                         + (f" (window {self.window} a queue)." if self.window else "."))
        for count, what in (
                (self.lost, "lost: sent, or skipped in their flow's numbers, and never received"),
                (self.doubled, "doubled: received once more"),
                (self.reordered, "reordered: received after a later one of their flow"),
                (self.stale, "stale: more than 4096 behind their flow, late or doubled"),
                (self.changed, "changed: length, contents, checksum or MAC addresses are wrong"),
                (self.foreign, "foreign: not of this stream (magic, run or flow unknown)"),
                (self.misplaced, "misplaced: received on another queue than their flow's"),
                (self.malformed, "malformed: mbuf chains that contradict themselves"),
                (self.unexpected, "unexpected: transmitted into a port that only sends")):
            if count:
                wrong.append(f"{count} {'frame' if count == 1 else 'frames'} {what}.")
        return wrong


def _check(data, path):
    if len(data) < FILE_LINE.size:
        raise NotAReport(f"{path}: {len(data)} bytes, too short for a tnic report")
    magic, version, size, n, _, sender_size, _, auditor_size, *more = FILE_LINE.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise NotAReport(f"{path}: not a tnic report of version {VERSION}")
    layout = (size, sender_size, auditor_size, more[0], more[2] * 8)
    if n == 0 or layout != (len(data), SENDER_BLOCK.size, AUDITOR_BLOCK.size, len(ARRIVALS),
                            TIMES.size):
        raise NotAReport(f"{path}: a tnic report of another layout than this module's")


def _min_size(sizes):
    return min((size for size in sizes if size), default=0)


def parse(data, path="report"):
    """The report in a file's bytes. Raises NotAReport."""
    _check(data, path)
    _, _, _, n_blocks, senders_at, _, auditors_at, _, _, times_at, _ = FILE_LINE.unpack_from(data)
    run, state, n_queues, flows, frames, window = STREAM_LINE.unpack_from(data, STREAM_OFFSET)
    auditor_state, auditor_queues, tsc_hz = AUDITOR_LINE.unpack_from(data, AUDITOR_OFFSET)
    report = Report(run=run, frames=frames, window=window, flows=flows,
                    sender_state=STATES[state], sender_queues=n_queues,
                    auditor_state=STATES[auditor_state], auditor_queues=auditor_queues,
                    tsc_hz=tsc_hz)
    if run == 0:
        return report
    queues, sent_sizes, sizes, times = [], [], [], []
    for i in range(n_blocks):
        sent, sent_bytes, low, high, no_mbuf, unexpected, _ = SENDER_BLOCK.unpack_from(
            data, senders_at + i * SENDER_BLOCK.size)
        queue = Queue(sent=sent, sent_bytes=sent_bytes, no_mbuf=no_mbuf, unexpected=unexpected)
        sent_sizes += [low, high]
        block_run, *counts = AUDITOR_BLOCK.unpack_from(data, auditors_at + i * AUDITOR_BLOCK.size)
        if block_run == run:  # otherwise about an earlier run, and worth nothing
            queue.acknowledged, queue.gaps, queue.received, queue.bytes = counts[:4]
            sizes += counts[4:6]
            for name, count in zip(ARRIVALS, counts[6:]):
                setattr(queue, name, count)
            times.append(TIMES.unpack_from(data, times_at + i * TIMES.size))
        queues.append(queue)
    for field in dataclasses.fields(Queue):
        setattr(report, field.name, sum(getattr(queue, field.name) for queue in queues))
    report.queues = tuple(queues)
    report.times = tuple(map(sum, zip(*times)))
    report.sent_size_min, report.sent_size_max = _min_size(sent_sizes), max(sent_sizes)
    report.size_min, report.size_max = _min_size(sizes), max(sizes, default=0)
    return report


def read(path):
    """The report as it is now. Raises OSError, NotAReport."""
    with open(path, "rb") as file:
        return parse(file.read(), path)


def wait_settled(path, timeout_s, interval_s=0.02):
    """Read until the stream is settled or the time is over; returns the last report.

    A file that isn't there, or not complete, counts as not settled.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            report = read(path)
            if report.settled or time.monotonic() >= deadline:
                return report
        except (OSError, NotAReport):
            if time.monotonic() >= deadline:
                raise
        time.sleep(interval_s)


def main():
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} PATH")
    try:
        report = read(sys.argv[1])
    except (OSError, NotAReport) as error:
        sys.exit(str(error))
    for field in dataclasses.fields(report):
        if field.name not in ("queues", "times"):
            print(f"{field.name:16} {getattr(report, field.name)}")
    for name in ("lost", "ended", "settled"):
        print(f"{name:16} {getattr(report, name)}")
    for percent in (50, 99, 99.9):
        time_ns = report.percentile_ns(percent)
        print(f"p{percent:<15} " + ("none" if time_ns is None else f"{time_ns:.0f} ns"))
    wrong = report.verdict()
    print("\n".join(wrong) if wrong else "Clean.")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
