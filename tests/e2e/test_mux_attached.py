# SPDX-License-Identifier: BSD-3-Clause
"""
nicmuxd with "tx_zc": large frames of guests with queues of their own leave from where they lie.

They leave by a Tx queue that is nobody else's, so what the NIC keeps can be asked for. The test NIC
reads every byte when it is told to send, and is behind an IOMMU.
"""

import json
import os
import struct
import subprocess

import pytest

from mux import BINARY, ENVIRONMENT, Mux, mac
from rig import VIRTIO
from scene import FULL
from test_mux_hostile import attack
from test_mux_mapping import FRAMES, TIMEOUT_S, WIRE, owner, start_guest
from test_mux_virtio import start_guest as start_virtio
from testpmd import wait_until

RATE = 12000
# What the guest's end may be.
ENDS = {
    "vdpdk": None,
    "split": VIRTIO["split"],
    "packed": "packed_vq=1,mrg_rxbuf=0",
    "vectorized": "mrg_rxbuf=0,in_order=0,vectorized=1",
}
FREES = {
    "at-once": {},
    "late": {"tx_ring": 512},
    "shuffled": {"tx_ring": 512, "tx_order": "shuffled"},
    "asked": {"tx_ring": 512, "tx_keep": "until-asked"},
}
# Nothing is freed for want of room here: a stream of some hundred frames doesn't fill it.
LARGE_RING = {"tx_ring": 4096}
OUT_MAX = 128
NOT_FREED, NOT_RESTARTED = "aren't freed", "can't be stopped and started"


def start_mux(rig, guests, queues=2, start=True, **stream):
    stream = {"sizes": "60-1514", "dst": mac(0), "src": WIRE, "macs": "swapped", "ring": 256,
              "dma": 1024, "flows": 8, "rate": RATE, **stream}
    return Mux(rig, guests, device=rig.tnic(**stream), eal=[*rig.plugin("tnic"), "--iova-mode=va"],
               start=start, steering="static", queues=queues, tx_zc=True)


def start_end(rig, mux, end, name="g0"):
    if end == "vdpdk":
        return start_guest(rig, mux, name)
    return start_virtio(rig, mux, name, form=ENDS[end])


def own(number, end, *queues):
    keys = {} if end == "vdpdk" else {"type": "vhost-user", "role": "listen"}
    return owner(number, *queues, **keys)


def count_attached(mux, name="g0"):
    return mux.guest(name)["from_guest_attached"]


def check(mux, report):
    assert report.changed == report.foreign == report.doubled == report.malformed == 0
    assert report.reordered == 0
    said = mux.program.text()
    assert "mapped for the device" not in said and NOT_FREED not in said
    assert NOT_RESTARTED not in said


@pytest.mark.parametrize("end,frees", [
    *(("vdpdk", frees) for frees in FREES), *((end, "late") for end in ENDS if end != "vdpdk")])
def test_stream_of_frames_that_are_sent_in_place_is_clean(rig, end, frees):
    mux = start_mux(rig, [own(0, end, 1)], **FREES[frees])
    guest = start_end(rig, mux, end)
    wait_until(lambda: guest.stats(0)["RX-packets"] > 256, "the NIC's ring to be the guest's")
    before, drops, attached = mux.guest("g0"), mux.drops("g0"), count_attached(mux)
    wait_until(lambda: rig.report().good + rig.report().misplaced >= FRAMES, "frames", TIMEOUT_S)
    check(mux, rig.report())
    assert mux.drops("g0") == drops  # of the time before it was there
    sent = mux.guest("g0")["from_guest_frames"] - before["from_guest_frames"]
    # Half of the frames are large enough; where mbufs come late, fewer find a place.
    assert count_attached(mux) - attached > sent * (0.1 if frees in ("late", "shuffled") else 0.4)
    assert mux.end() == 0


def test_guest_without_a_queue_of_its_own_gets_copies(rig):
    mux = start_mux(rig, [{"name": "g0", "macs": [mac(0)]}, owner(1, 1)])
    start_guest(rig, mux, "g0")
    wait_until(lambda: rig.report().good + rig.report().misplaced > 3000, "frames", TIMEOUT_S)
    check(mux, rig.report())
    assert count_attached(mux) == 0


@pytest.mark.parametrize("keep", ["no", "until-asked", "until-stop", "until-close"])
def test_idle_nic_keeps_what_it_sent_and_nobody_waits(rig, keep):
    """
    It is asked for them, or its queue is stopped now and then; if that is in vain, the rest is
    copied.
    """
    mux = start_mux(rig, [owner(0, 1)], rate=200, frames=400, sizes="1000-1514", tx_keep=keep,
                    **LARGE_RING)
    start_guest(rig, mux, "g0", args=["--no-flush-rx"])
    drops = mux.drops("g0")
    before = mux.guest("g0")["from_guest_frames"]
    wait_until(lambda: rig.report().ended, "all frames to be sent", TIMEOUT_S)
    wait_until(lambda: rig.report().received >= rig.report().sent - sum(drops.values()),
               "all frames to come back")
    check(mux, rig.report())
    frames = mux.guest("g0")["from_guest_frames"] - before
    restarts = mux.guest("g0")["uplink_queues_tx_restarts"]
    if keep == "until-close":
        assert count_attached(mux) == OUT_MAX
    else:
        assert count_attached(mux) > 0.9 * frames
    assert (restarts == 0) == (keep == "until-asked")
    assert mux.drops("g0") == drops


@pytest.mark.parametrize("keep,how,end", [
    (keep, how, end) for k, keep in enumerate(["no", "until-stop"])
    for h, how in enumerate(["killed", "stopped", "removed"])
    for e, end in enumerate(["vdpdk", "split", "packed"]) if FULL or (k + h + e) % 3 == 0])
def test_guest_that_ends_gets_back_what_an_idle_nic_keeps(rig, keep, how, end):
    """Its own Tx queue is stopped, and started again; its successor sends in place, too."""
    mux = start_mux(rig, [own(0, end, 1)], sizes="1000-1514", tx_keep=keep, **LARGE_RING)
    for _ in range(2):
        before = count_attached(mux)
        guest = start_end(rig, mux, end)
        wait_until(lambda: count_attached(mux) > before + OUT_MAX / 4, "frames in place")
        end_guest(mux, guest, how)
        rig.forget(guest)
        if how == "removed":
            mux.set_guests([own(0, end, 1)])
            mux.hang_up()
    check(mux, rig.report())
    assert mux.end() == 0


def end_guest(mux, guest, how):
    if how == "stopped":
        guest.command("stop")
        guest.command("port stop 0")
    elif how == "removed":
        mux.set_guests([])
        mux.hang_up()
    guest.kill()


def test_what_a_nic_never_gives_back_is_given_up(rig):
    """The guest's memory is taken from under it; what follows is copied, and all else goes on."""
    mux = start_mux(rig, [owner(0, 1), owner(1, 2)], queues=3, sizes="1000-1514",
                    tx_keep="until-close", **LARGE_RING)
    guest = start_guest(rig, mux, "g0")
    wait_until(lambda: count_attached(mux) > OUT_MAX / 4, "frames in place")
    guest.kill()
    rig.forget(guest)
    mux.program.expect(NOT_FREED, 10)
    attached = count_attached(mux)
    guest = start_guest(rig, mux, "g0", 1)
    # Of the uplink's own ring 4096 slots are all there ever are.
    wait_until(lambda: guest.stats(0)["TX-packets"] > 1000, "the next guest's frames")
    assert count_attached(mux) == attached
    assert mux.end() == 0


def test_guest_restarts_its_port_under_load(rig):
    mux = start_mux(rig, [owner(0, 1)], tx_ring=512)
    guest = start_guest(rig, mux, "g0")
    for _ in range(8):
        before = count_attached(mux)
        wait_until(lambda: count_attached(mux) > before + 1000, "frames in place")
        guest.command("stop")
        guest.command("port stop 0")
        guest.command("port start 0")
        guest.command("start")
    check(mux, rig.report())


def test_own_queues_change_hands_under_load(rig):
    mux = start_mux(rig, [owner(0, 1)], rate=50000, tx_ring=512)
    for number in range(4):
        name = f"g{number % 2}"
        guest = start_guest(rig, mux, name, number)
        wait_until(lambda: count_attached(mux, name) > 2000, "frames in place")
        mux.set_guests([{**owner((number + 1) % 2, 1), "macs": [mac(0)]}])
        mux.hang_up()
        guest.kill()
        rig.forget(guest)
    check(mux, rig.report())
    assert mux.end() == 0


def read_sources(path):
    """Of the frames in a pcap file: their source addresses."""
    with open(path, "rb") as file:
        data = file.read()
    at = 24
    while at < len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        yield data[at + 16 + 6:at + 16 + 12].hex(":")
        at += 16 + length


def test_source_address_that_is_forged_while_a_frame_is_sent_reaches_nobody(rig):
    """Headers are sent as they were judged, whatever the guest writes over them meanwhile."""
    nothing, shared, its_own = (rig.path(name) for name in ("nothing", "shared", "own"))
    with open(nothing, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    files = f"net_pcap0,rx_pcap={nothing},rx_pcap={nothing},tx_pcap={shared},tx_pcap={its_own}"
    mux = Mux(rig, [owner(0, 1)], steering="static", queues=2, tx_zc=True,
              device=f"net_tnic0,lower=[{files}],tx_ring=512",
              eal=[*rig.plugin("tnic"), "--iova-mode=va"])
    attacker = attack(rig, mux, "g0", f"{mac(0, 1)} {mac(0)} 1000 1 {mac(0, 9)}")
    wait_until(lambda: count_attached(mux) > 2000 and
               mux.drops("g0").get("from_guest_drop_spoofed", 0) > 2000, "forged frames", 30)
    attacker.ask("quiet")
    assert mux.end() == 0
    sources = list(read_sources(its_own))
    assert len(sources) > 2000
    assert set(sources) == {mac(0)}


REFUSED = {
    "no-queues": ({"tx_zc": True}, "raise its \"queues\""),
    "few-buffers": ({"tx_zc": True, "steering": "static", "queues": 8, "ring": 4096},
                    "give \"buffers\" 37376 or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_configuration_that_cant_be_is_refused(rig, name):
    keys, sentence = REFUSED[name]
    mux = Mux(rig, [], start=False, **keys)
    answer = subprocess.run([BINARY, "--test", "-c", mux.config_path], capture_output=True,
                            text=True, check=False, env={**os.environ, **ENVIRONMENT})
    assert answer.returncode == 2
    assert sentence in answer.stderr + answer.stdout


def test_device_that_needs_other_addresses_is_refused(rig):
    mux = start_mux(rig, [owner(0, 1)], start=False)
    mux.uplink["device"] = "net_bonding0,mode=0"
    mux.set_guests([])
    with open(mux.config_path, encoding="ascii") as file:
        assert json.load(file)["uplinks"][0]["tx_zc"]
    program = rig.program("nicmuxd", mux.argv, ENVIRONMENT)
    program.expect("isn't for \"tx_zc\": it is a port over others", 30)
    assert program.wait() == 1
