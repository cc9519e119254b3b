# SPDX-License-Identifier: BSD-3-Clause
"""
nicmuxd with queues that are guests' own, over NICs with faults, while one of the guests ends.

The NIC's frames all have one destination. Queue 1 is that guest's, as is what the switch brings it
from queue 0; queue 2 is another guest's all the same, which isn't verified: so both are under load,
and what the second one sends back is dropped as spoofed.
"""

import pytest

from scene import FULL
from test_mux_mapping import owner, start_guest, start_mux
from test_mux_virtio import start_guest as start_virtio
from test_nic_faults import ALL, FAULTS
from testpmd import Failure, wait_until

FRAMES = 9000
RATE = 6000
TIMEOUT_S = 30
RING = 128
LOAD = RING + 100  # frames; those of one ring are copied, as it was filled before

NICS = {
    **FAULTS,
    "all": ALL,
    "stop-refused": {"stop": "refuses"},
    "stop-that-lies": {"stop": "lies"},
    # The next guest waits until what the first one lent is given up.
    "stop-refused-later": {"stop": "refuses-later", "rate": 3000, "frames": 3 * FRAMES},
    "stop-that-lies-later": {"stop": "lies-later", "rate": 3000, "frames": 3 * FRAMES},
    # All that is ever sent is kept: as many frames as there are slots.
    "tx-kept-until-stop": {"tx_ring": 4096, "tx_keep": "until-stop", "frames": 6000},
    "tx-kept-until-close": {"tx_ring": 4096, "tx_keep": "until-close", "frames": 6000},
}
# Each fault by itself is for test_nic_faults.py, and for exhaustive runs.
USUAL = [name for name in NICS if FULL or name not in (*FAULTS, "stop-refused-later")]
KNOWN_TO_KEEP = ("stop-refused", "stop-that-lies")
# The first one still gives buffers back with frames.
FOUND_OUT = {"stop-refused-later": "can't be stopped and started",
             "stop-that-lies-later": "keeps those of another guest"}


# The guest that ends; a daemon that waits for it makes the socket once. A program takes longer to
# start than a light guest.
ENDING = {"vdpdk": {}, "virtio": {"type": "vhost-user", "role": "listen"}}
FRAMES_OF = {"vdpdk": FRAMES, "virtio": 3 * FRAMES}


def start_ending(rig, mux, kind, name):
    if kind == "virtio":
        return start_virtio(rig, mux, name)
    guest = rig.light_guest(name)
    guest.ask("start")
    guest.ask("reflect")
    return guest


def load_guest(rig, mux, kind, name):
    """One that is under load."""
    guest = start_ending(rig, mux, kind, name)
    before = mux.guest(name)["to_guest_frames"]
    wait_until(lambda: mux.guest(name)["to_guest_frames"] > before + LOAD, "frames")
    return guest


def stop_device(mux, guest):
    try:
        guest.ask("stop")
    except Failure:
        # What it waited for was given up meanwhile, with all its memory.
        mux.program.expect("gets copies from now on", 1)
    else:
        assert guest.ask("count")[2] == "0"  # errors


def end_guest(mux, kind, guest, how):
    if how == "stopped" and kind == "virtio":
        guest.command("stop")
        guest.command("port stop 0")
    elif how == "stopped":
        guest.ask("pause")
        stop_device(mux, guest)
    elif how == "removed":
        # Its queue is the next one's, who isn't there.
        mux.set_guests([owner(0, 1), owner(2, 2, verify=False)])
        mux.hang_up()
    guest.kill()


def count_lost(report):
    """Of the queues whose frames come back."""
    return report.queues[0].sent + report.queues[1].sent - report.received


@pytest.mark.parametrize("ending,fault", [
    *(("vdpdk", fault) for fault in USUAL), ("virtio", "all")])
def test_a_guest_ends_and_the_other_ones_stream_goes_on_over_a_nic_with(rig, ending, fault):
    nic = {"ring": RING, "frames": FRAMES_OF[ending], "rate": RATE, **NICS[fault]}
    other = owner(1, 2, verify=False, **ENDING[ending])
    mux = start_mux(rig, [owner(0, 1), other], queues=3, flows=6, **nic)
    start_guest(rig, mux, "g0", args=["--no-flush-rx"])
    drops = mux.drops("g0")  # of the time before it was there
    for how in ("killed", "stopped", "removed"):
        before = mux.guest("g1")["to_guest_mapped"]
        guest = load_guest(rig, mux, ending, "g1")
        if how == "killed" or fault not in FOUND_OUT:
            mapped = mux.guest("g1")["to_guest_mapped"] > before
            assert mapped == (fault not in KNOWN_TO_KEEP)
        end_guest(mux, ending, guest, how)
        rig.forget(guest)
    wait_until(lambda: rig.report().ended, "all frames to be sent", TIMEOUT_S)
    wait_until(lambda: count_lost(rig.report()) <= sum(drops.values()), "all frames to come back")
    report = rig.report()
    assert report.changed == report.foreign == report.doubled == report.malformed == 0
    assert report.reordered == 0
    if "alloc_fail" in nic:
        assert report.no_mbuf > 0
    assert mux.drops("g0") == drops
    said = [sentence in mux.program.text() for sentence in FOUND_OUT.values()]
    assert said == [fault == name for name in FOUND_OUT]
    assert mux.end() == 0
