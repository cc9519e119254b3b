# SPDX-License-Identifier: BSD-3-Clause
"""
Mapped queues over NICs with faults: what a driver may do, and the next one does.

The test NIC holds Rx buffers and Tx mbufs as NICs do. It reads what it is to send late, so that who
uses a buffer again too early is found out by the frame's bytes.
"""

import re
import time

import mux  # noqa: F401  (finds telemetry)
import pytest
import telemetry

from rig import CPUS, KINDS
from test_mapping import ask_map, start_mapped_host
from test_memory_modes import churn
from testpmd import Testpmd, wait_until

RING = 256
STREAM = {"window": 32, "frames": 20_000, "sizes": "60-1514", "flows": 16, "ring": RING}
FLOOD = {"window": 0, "sizes": "60-1514", "flows": 16, "ring": RING}
ROUNDS = 3
CHURNS = 10
TIMEOUT_S = 20

FAULTS = {
    "rx-shuffled": {"rx_order": "shuffled"},
    "alloc-fails": {"alloc_fail": 3},
    "alloc-fails-in-a-small-ring": {"ring": 32, "alloc_fail": 2},
    "tx-held": {"tx_ring": 512},
    "tx-shuffled": {"tx_ring": 512, "tx_order": "shuffled"},
    "link-flaps": {"flap_ms": 20},
}
ALL = {"rx_order": "shuffled", "alloc_fail": 3, "tx_ring": 512, "tx_order": "shuffled",
       "flap_ms": 20}
# A program that tells all of a flapping link's news waits for its terminal to be read, and says it
# within its own prompt.
SAYS_NO_NEWS = ["--mask-event=intr_lsc"]


def start_host(rig, args=(), **nic):
    """Port 0 is the guest's, 2 what the program takes for the NIC; with telemetry."""
    return start_mapped_host(rig, rig.tnic(**nic), tiny=True, args=args)


def get_prefix(host):
    return host.argv[host.argv.index("--file-prefix") + 1]


def ask_link(host):
    """What the program sees of the NIC's."""
    return telemetry.ask(get_prefix(host), "/ethdev/link_status,2")["status"]


def list_bad_frames(rig):
    """What a flood that is cut off must not have, either: anything but losses."""
    report = rig.report()
    assert report.received > 0
    return [report.changed, report.foreign, report.doubled, report.reordered, report.malformed]


def count_mbufs_out(host, pool):
    answer = host.command(f"dump_mempool {pool}")
    numbers = dict(re.findall(r"^\s*(\w+)=(\d+)$", answer, re.M))
    free = int(numbers["common_pool_count"]) + int(numbers.get("total_cache_count", 0))
    return int(numbers["size"]) - free


def check_nothing_left(host):
    """No guest: no loans. No port either: no mbufs."""
    wait_until(lambda: ask_map(host)["out"] == 0, "all loans to be back")
    host.command("stop")
    host.command("port stop all")
    prefix = get_prefix(host)
    for pool in telemetry.ask(prefix, "/mempool/list"):
        assert count_mbufs_out(host, pool) == 0


# --- Streams ---


# Each fault, and each kind of guest.
@pytest.mark.parametrize("kind,fault", [
    *(("vdpdk", fault) for fault in FAULTS), *((kind, "all") for kind in KINDS)], indirect=["kind"])
def test_stream_is_clean_and_mapped_over_a_nic_with(rig, kind, fault):
    nic = {**STREAM, **FAULTS.get(fault, ALL)}
    host = start_host(rig, SAYS_NO_NEWS, **nic)
    rig.guest(args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    counters = host.xstats(0)
    assert counters["to_guest_frames"] == stream.sent
    # The NIC was filled before the guest came; nothing else is ever copied.
    assert counters["to_guest_frames"] - counters["to_guest_mapped"] <= nic["ring"]
    # The fault was there.
    assert (stream.no_mbuf > 0) == ("alloc_fail" in nic)
    if "flap_ms" in nic:
        wait_until(lambda: ask_link(host) == "DOWN", "the link to go down")
        wait_until(lambda: ask_link(host) == "UP", "the link to come up")


@pytest.mark.parametrize("order", ["sent", "shuffled"])
def test_guests_nic_sends_late_what_lies_in_mapped_buffers(rig, kind, order):
    """The guest's mbufs are held long after it got them: nobody writes to them meanwhile."""
    host = start_host(rig, role="send", rx_order="shuffled", **STREAM)
    guest = rig.guest(rig.tnic(role="audit", tx_ring=512, tx_order=order), args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    counters = host.xstats(0)
    assert counters["to_guest_frames"] - counters["to_guest_mapped"] <= RING
    guest.command("stop")
    guest.command("port stop all")
    if kind == "vdpdk":  # virtio-user keeps what it has posted until it is closed
        assert count_mbufs_out(guest, "mb_pool_0") == 0


# --- A frame in a guest's buffer goes to another NIC ---


def start_bypass(rig, stream, **second):
    """Port 3's frames, in the guest's buffers, go to port 2, which sends them late."""
    port = rig.host_vdev()
    host = rig.testpmd("host", [
        port, rig.tnic(role="send", **stream), rig.tnic(1, role="audit", **second),
        f"net_softflow0,lower=net_tnic0,map=0:{port.split(',')[0]}"], tiny=True)
    host.command("set portlist 3,2")
    return host


def wait_lent(host, n):
    wait_until(lambda: ask_map(host)["lent"] > n, "buffers to be lent")


@pytest.mark.parametrize("order", ["sent", "shuffled"])
def test_frames_in_mapped_buffers_are_whole_when_another_nic_sends_them_late(rig, kind, order):
    """
    Each buffer is lent again as soon as it is given back, in whatever order that is: with a small
    ring, while frames before and behind it are yet to be sent.
    """
    host = start_bypass(rig, {**STREAM, "rx_order": "shuffled", "ring": 32, "window": 256},
                        tx_ring=512, tx_order=order)
    guest = rig.guest()
    wait_until(guest.link_is_up, "the guest's link")
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    # The NIC was filled before the guest came.
    assert ask_map(host)["lent"] >= STREAM["frames"] - RING


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_guest_leaves_while_another_nic_has_its_buffers(rig, kind, how):
    """They come back as that NIC sends further frames; the next guest's take their place."""
    host = start_bypass(rig, FLOOD, tx_ring=256, tx_order="shuffled")
    host.command("start")
    for _ in range(ROUNDS):
        before = ask_map(host)["lent"]
        guest = rig.guest()
        wait_lent(host, before + 10 * RING)
        begin = time.monotonic()
        if how == "stopped":
            guest.command("port stop 0")
            assert time.monotonic() - begin < 1
            assert kind != "vdpdk" or guest.xstats(0)["mbufs_kept"] == 0
        guest.kill()
        rig.forget(guest)
    assert "gets copies from now on" not in host.text()
    check_nothing_left(host)


@pytest.mark.parametrize("keep", ["no", "until-close"])
def test_nic_that_keeps_what_it_has_sent_costs_the_mapping_and_nothing_else(rig, keep):
    """An idle NIC gives nothing back, some never: the next guest is served all the same."""
    host = start_bypass(rig, {**FLOOD, "rate": 20000}, tx_ring=2 * RING, tx_keep=keep)
    guest = rig.guest()
    wait_until(guest.link_is_up, "the guest's link")
    host.command("start")
    # Twice what came before the guest was there.
    wait_until(lambda: rig.report().received >= 2 * RING, "a ring full of frames")
    host.command("stop")
    guest.kill()
    rig.forget(guest)
    guest = rig.guest(args=["--auto-start"])
    wait_until(guest.link_is_up, "the next guest's link", 10)
    host.command("set portlist 3,0")
    assert "gets copies from now on" in host.text()
    host.command("start")
    wait_until(lambda: guest.stats(0)["RX-packets"] > 1000, "frames for the next guest")
    host.command("stop")
    host.command("port stop 2")  # what it gives back now is nobody's any more
    host.command("port start 2")
    before = guest.stats(0)["RX-packets"]
    host.command("start")
    wait_until(lambda: guest.stats(0)["RX-packets"] > before + 1000, "frames for the next guest")
    assert host.xstats(0)["guest_sessions"] == 2
    assert host.quit() == 0


# --- Ends ---


def end_guest(guest, kind, how):
    if how == "killed":
        return
    guest.command("stop")
    begin = time.monotonic()
    guest.command("port stop 0")
    assert time.monotonic() - begin < 1
    assert kind != "vdpdk" or guest.xstats(0)["mbufs_kept"] == 0
    if how == "reset":
        guest.command("port reset 0")
        guest.command("port start 0")
        guest.command("start")


# virtio-user can't be reset.
@pytest.mark.parametrize("kind,how", [
    ("vdpdk", "reset"), *((kind, how) for kind in KINDS for how in ("killed", "stopped"))],
    indirect=["kind"])
def test_guest_that_ends_over_a_nic_with_all_faults_leaves_nothing(rig, kind, how):
    host = start_host(rig, SAYS_NO_NEWS, **FLOOD, **ALL)
    host.command("start")
    for _ in range(ROUNDS):
        guest = rig.guest(args=["--auto-start"])
        for _ in range(2 if how == "reset" else 1):
            before = host.xstats(0)["to_guest_mapped"]
            wait_until(lambda: host.xstats(0)["to_guest_mapped"] > before + 5000, "mapped frames")
            end_guest(guest, kind, how)
        guest.kill()
        rig.forget(guest)
    assert list_bad_frames(rig) == [0] * 5
    assert host.xstats(0)["guest_queue_faults"] == 0
    assert "gets copies from now on" not in host.text()
    check_nothing_left(host)
    assert host.quit() == 0


# --- Two threads ---


def start_two_threads(rig, **nic):
    """
    What is received from the NIC goes through a ring, port 2, to the guest: one thread receives,
    another one, on another processor, gives to the guest, and takes what comes back.
    """
    port = rig.host_vdev()
    vdevs = [port, rig.tnic(**nic), "net_ring0",
             f"net_softflow0,lower=net_tnic0,map=0:{port.split(',')[0]}"]
    lcores = f"1@{CPUS[0]},2@{CPUS[0]},3@{CPUS[-1]}"
    host = rig.add(Testpmd([*rig.eal("host", vdevs, True), "--no-pci", "--lcores", lcores],
                           ["--nb-cores=2", "--port-topology=chained", *SAYS_NO_NEWS],
                           rig.log("host")))
    host.command("set portlist 3,2,0")
    assert re.search(r"on 1 streams:\s+RX P=3\D.*on 2 streams:\s+RX P=2\D",
                     host.command("show config fwd"), re.S)
    return host


def test_stream_that_one_thread_receives_and_another_gives_to_the_guest_is_clean(rig, kind):
    host = start_two_threads(rig, **{**STREAM, "window": 256, "rx_order": "shuffled"})
    rig.guest(args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    counters = host.xstats(0)
    assert counters["to_guest_frames"] == stream.sent
    assert counters["to_guest_frames"] - counters["to_guest_mapped"] <= RING


def test_guest_ends_while_one_thread_receives_and_another_gives_to_it(rig):
    """The light guest: what polls both processors leaves little to a program's start."""
    host = start_two_threads(rig, **FLOOD, **ALL)
    host.command("start")
    for session in range(2 * ROUNDS):
        before = host.xstats(0)["to_guest_mapped"]
        guest = rig.light_guest()
        guest.ask("start")
        guest.ask("reflect")
        wait_until(lambda: host.xstats(0)["to_guest_mapped"] > before + 2000, "mapped frames")
        if session % 2 == 1:
            guest.ask("pause")
            guest.ask("reset")
        guest.kill()
        rig.forget(guest)
        assert guest.text().count("error") == 0
    assert list_bad_frames(rig) == [0] * 5
    host.command("stop")
    host.command("set portlist 2,0")  # what is in the ring between the threads
    host.command("start")
    check_nothing_left(host)


# --- Memory that is mapped anew ---


@pytest.mark.parametrize("rate", [0, 5000])
def test_guests_memory_comes_and_goes_while_the_nic_holds_its_buffers(rig, kind, rate):
    """
    All memory is in use when some is taken away. An idle NIC doesn't give back by itself; no frame
    is written to what is no more, or lost but while the guest wants none.
    """
    # A window would be full of what is lost.
    pace = {"window": 64, "rate": rate} if kind == "vdpdk" else {"window": 0, "rate": rate or 50000}
    host = start_host(rig, **{**STREAM, "frames": 0, "rx_order": "shuffled", **pace})
    # virtio-user shares few files.
    eal = [] if kind == "vdpdk" else ["--single-file-segments"]
    assert churn(rig, host, CHURNS, *eal) > (10 * CHURNS if kind == "vdpdk" else 0)
    assert host.xstats(0)["to_guest_mapped"] > 0
