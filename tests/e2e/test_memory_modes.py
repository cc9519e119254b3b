# SPDX-License-Identifier: BSD-3-Clause
"""EAL's memory modes on either side, and memory that grows and shrinks."""

import os

import pytest

from lengths import get_length
from rig import ROOT
from testpmd import check_counters

CHURNS = get_length("NMX_CHURNS")
STREAM = {"window": 32, "frames": 5000, "sizes": "60-9000", "segments": "1-8", "flows": 64}
ENDLESS = {"window": 64, "sizes": "60-1514", "segments": "1-3", "flows": 16}

MODES = {
    "default": [],
    "no-huge": ["--no-huge", "-m", "1024"],
    "in-memory": ["--in-memory"],
    "single-file": ["--single-file-segments"],
    "legacy": ["--legacy-mem", "-m", "512"],  # without -m the first takes every page there is
    "unlink": ["--huge-unlink"],
}
# Where EAL's memory can change while a program runs.
DYNAMIC = ["default", "in-memory", "single-file", "unlink"]


def need_pages(rig, mode):
    if mode != "no-huge" and "--no-huge" in rig.eal("host", []):
        pytest.skip("no huge pages on this machine")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("host_mode", ["same", "default"])
def test_guest_and_host_of_any_mode_pass_frames(rig, mode, host_mode):
    """With the same mode both are as a user starts them: -d, --vdev, --file-prefix, no more."""
    need_pages(rig, mode)
    bare = host_mode == "same"
    host = rig.host(rig.tnic(**STREAM), eal=MODES[mode] if bare else [], bare=bare)
    guest = rig.guest(eal=MODES[mode], bare=bare, args=["--auto-start"])
    host.command("start")
    check_counters(host, guest, rig.check_stream())


def churn(rig, host, rounds, *eal):
    """
    A guest's program whose pools grow and shrink EAL's memory, and what is new is sent from at once.

    Returns how many frames it copied meanwhile.
    """
    guest = rig.program("churn", [
        os.path.join(ROOT, "build/bin/nmx-churn"),
        *rig.eal("guest", [rig.guest_vdev()]), *eal, "--", str(rounds)])
    guest.expect("running", 30)
    host.command("start")
    maps = set()
    while b"rounds" not in guest.said:
        maps.add(host.count_maps())
        guest.pump(0.005)
        assert guest.process.poll() is None and b"stopped" not in guest.said, guest.tail()
    assert max(maps) > min(maps), "EAL's memory never changed: this test has tested nothing"
    counters = host.xstats(0)
    wrong = [line for line in rig.report().verdict() if "ended" not in line]
    if rig.kind == "vdpdk":
        assert wrong == []
    else:
        # virtio-user disables its queues for each change of its memory, and what comes then is lost.
        assert rig.report().lost <= counters["to_guest_drop_no_queue"]
        assert [line for line in wrong if "lost" not in line] == []
    assert counters["guest_queue_faults"] == 0 and counters["guest_sessions"] == 1
    return int(guest.expect(rf"rounds {rounds} copied (\d+)").group(1))


@pytest.mark.parametrize("mode", DYNAMIC)
def test_memory_that_comes_and_goes_under_load_stays_mapped(rig, mode):
    need_pages(rig, mode)
    assert churn(rig, rig.host(rig.tnic(**ENDLESS)), CHURNS, *MODES[mode]) > 100 * CHURNS
