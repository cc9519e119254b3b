# SPDX-License-Identifier: BSD-3-Clause
"""
Rx queue mapping: frames come in the buffers that the guest posted.

The NIC is the test NIC, which with ring= holds posted buffers as NICs do, and writes each to its
very end.
"""

import struct
import time

import mux  # noqa: F401  (finds telemetry)
import pytest
import telemetry
import vhost
from lengths import get_length
from rig import KINDS
from testpmd import Failure, wait_until

FRAMES = get_length("NMX_FRAMES")
TIMEOUT_S = 60 + FRAMES // 20000
STREAM = {"window": 32, "frames": FRAMES, "sizes": "60-1514", "flows": 64}
FLOOD = {"window": 0, "sizes": "60-1514"}
ANSWER_S = 1.0
SWITCHES = get_length("NMX_SWITCHES")


def start_mapped_host(rig, lower, before=(), tiny=None, keys="", args=(), devargs=""):
    """Port 0 is the guest's; the last one is what the program takes for the NIC."""
    port = rig.host_vdev(devargs=devargs)
    return rig.testpmd(
        "host", [port, *before, lower,
                 f"net_softflow0,lower={lower.split(',')[0]},map=0:{port.split(',')[0]}{keys}"],
        args, tiny="net_tnic" not in lower if tiny is None else tiny)


def count_mapped_share(host):
    counters = host.xstats(0)
    return counters["to_guest_mapped"] / counters["to_guest_frames"]


@pytest.mark.parametrize("ring", [0, 32, 256, 512])
def test_stream_through_a_mapped_queue_is_clean_and_mapped(rig, kind, ring):
    host = start_mapped_host(rig, rig.tnic(ring=ring, **STREAM))
    rig.guest(args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    assert host.xstats(0)["to_guest_frames"] == stream.sent
    assert count_mapped_share(host) > 0.99


@pytest.mark.parametrize("round_to", ["128", "1024", "1"])
def test_frames_of_any_length_of_the_nics_buffers_are_clean(rig, round_to):
    host = start_mapped_host(rig, rig.tnic(ring=256, round=round_to, **{
        **STREAM, "sizes": "60-4000", "segments": "1-3"}))
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)


@pytest.mark.parametrize("lower", ["net_null0,size=64", "ring"])
def test_guest_comes_and_goes_under_load(rig, kind, lower):
    host = start_mapped_host(rig, rig.tnic(ring=256, **FLOOD) if lower == "ring" else lower)
    host.command("start")
    for _ in range(5):
        guest = rig.guest(args=["--auto-start"])
        wait_until(lambda: guest.stats(0)["RX-packets"] > 10000, "frames")
        guest.kill()
        rig.forget(guest)
    assert host.xstats(0)["guest_sessions"] == 5
    assert count_mapped_share(host) > 0.5


def test_guest_stops_and_starts_its_port_under_load(rig):
    host = start_mapped_host(rig, rig.tnic(ring=256, **FLOOD))
    host.command("start")
    guest = rig.guest(args=["--auto-start"])
    for _ in range(10):
        before = guest.stats(0)["RX-packets"]
        wait_until(lambda: guest.stats(0)["RX-packets"] > before + 10000, "frames")
        guest.command("stop")
        begin = time.monotonic()
        guest.command("port stop 0")
        assert time.monotonic() - begin < ANSWER_S
        guest.command("port start 0")
        guest.command("start")
    assert guest.xstats(0)["mbufs_kept"] == guest.xstats(0)["mbufs_in_quarantine"] == 0
    assert host.xstats(0)["guest_sessions"] == 1


# A guest of any kind, and a NIC of any kind.
@pytest.mark.parametrize("kind,stop", [
    *((kind, "returns") for kind in KINDS), ("vdpdk", "refuses-later"), ("vdpdk", "lies-later"),
    ("split", "refuses-later"), ("packed", "lies-later")], indirect=["kind"])
def test_guest_leaves_while_an_idle_nic_holds_its_buffers(rig, kind, stop):
    """
    No frame brings them back. A NIC that keeps them costs the next guest its mapping, and nothing
    else; what it writes to them afterwards is in nobody's memory.
    """
    host = start_mapped_host(rig, rig.tnic(ring=256, stop=stop, rate=5000))
    host.command("start")
    guest = rig.guest(args=["--auto-start"])
    wait_until(lambda: host.xstats(0)["to_guest_mapped"] > 100, "mapped frames")
    host.command("stop")
    guest.kill()
    rig.forget(guest)
    begin = time.monotonic()
    if kind != "vdpdk" and stop != "returns":
        host.expect("gets copies from now on", 10)  # virtio-user doesn't wait that long
    guest = rig.guest(args=["--auto-start"])
    wait_until(guest.link_is_up, "the next guest's link", 10)
    assert (time.monotonic() - begin < 1.5) == (stop == "returns")
    before = host.xstats(0)["to_guest_mapped"]
    host.command("start")
    wait_until(lambda: guest.stats(0)["RX-packets"] > 1000, "frames for the next guest")
    assert (host.xstats(0)["to_guest_mapped"] > before) == (stop == "returns")
    assert ("gets copies from now on" in host.text()) == (stop != "returns")


@pytest.mark.parametrize("stop", ["refuses", "lies"])
def test_nic_that_is_known_to_keep_its_buffers_gets_none_of_the_guests(rig, stop):
    host = start_mapped_host(rig, rig.tnic(ring=256, stop=stop, **STREAM))
    rig.guest(args=["--auto-start"])
    host.command("start")
    stream = rig.check_stream(timeout=TIMEOUT_S)
    counters = host.xstats(0)
    assert (counters["to_guest_frames"], counters["to_guest_mapped"]) == (stream.sent, 0)
    assert "isn't filled with the guest's buffers" in host.text()


def ask_map(host, what="map"):
    """/nicmux/WHAT of its only map."""
    prefix = host.argv[host.argv.index("--file-prefix") + 1]
    names = telemetry.ask(prefix, "/nicmux/maps")
    assert len(names) == 1
    return telemetry.ask(prefix, f"/nicmux/{what},{names[0]}")


def test_switching_between_mapping_and_copies_loses_nothing(rig, kind):
    host = start_mapped_host(rig, rig.tnic(ring=256, window=32, sizes="60-1514"), tiny=True)
    rig.guest(args=["--auto-start"])
    host.command("start")
    for _ in range(SWITCHES):
        for what in ("map_copy", "map_lend"):
            before = rig.report().received
            assert ask_map(host, what)["lending"] == (what == "map_lend")
            # Long enough for the NIC's ring to be of one kind.
            wait_until(lambda: rig.report().received > before + 2 * 256, "frames")
    counters = host.xstats(0)
    assert 0.2 < counters["to_guest_mapped"] / counters["to_guest_frames"] < 0.8
    assert [line for line in rig.report().verdict() if "has not ended" not in line] == []


# --- An independent witness ---

PLACE = struct.Struct("<QQ")
PAGE = 4096


def read_places(path):
    """{number of a frame: address of its first byte}"""
    with open(path, "rb") as file:
        return {seq - 1: address for seq, address in PLACE.iter_unpack(file.read()) if seq}


def find_frame(pid, address):
    """Where in the machine's memory an address of a process is."""
    with open(f"/proc/{pid}/pagemap", "rb") as file:
        file.seek(address // PAGE * 8)
        entry, = struct.unpack("<Q", file.read(8))
    assert entry >> 63, "not present"
    return (entry & (1 << 55) - 1) * PAGE + address % PAGE


@pytest.mark.parametrize("mapped", [True, False])
def test_frames_are_found_where_the_nic_wrote_them(rig, kind, mapped):
    """Said by the NIC and by the guest's last port; the kernel's page tables say what is the same."""
    host = start_mapped_host(rig, rig.tnic(ring=256, role="send", window=32, frames=20_000, flows=1,
                                           places=rig.path("written")), tiny=True)
    guest = rig.guest(rig.tnic(role="audit", places=rig.path("found")))
    if not mapped:
        ask_map(host, "map_copy")
    guest.command("start")
    host.command("start")
    rig.check_stream()
    written, found = read_places(rig.path("written")), read_places(rig.path("found"))
    assert written.keys() == found.keys() and len(written) == 1024
    same = [find_frame(host.pid, written[seq]) == find_frame(guest.pid, found[seq])
            for seq in written]
    assert all(same) if mapped else not any(same)


@pytest.mark.parametrize("case, reason", [
    ("shorter", "own_too_short"), ("greedy", "own_all_out"), ("idle", "own_no_guest"),
    ("unfit", "own_unfit"), ("unwanted", "own_unwanted")])
def test_reason_for_copies_is_counted(rig, case, reason):
    """Of each mbuf that the NIC got with its own room; none is lost by that."""
    nic = {"ring": 1024 if case == "greedy" else 256,
           "stop": "refuses" if case == "unfit" else "returns"}
    host = start_mapped_host(rig, rig.tnic(**nic, **(FLOOD if case == "idle" else STREAM)),
                             tiny=True, keys=",mode=copy" if case == "unwanted" else "")
    if case == "idle":
        host.command("start")
        wait_until(lambda: ask_map(host)[reason] > 1000, "frames without a guest")
        return
    guest = {"shorter": ["--mbuf-size=1920"], "greedy": ["--rxd=256"]}
    rig.guest(args=["--auto-start", *guest.get(case, [])])
    before = ask_map(host)
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    counters = {name: count - before[name] for name, count in ask_map(host).items()
                if name.startswith("own_")}
    assert counters[reason] > 1000
    reasons = {name for name, count in counters.items() if count > 1000}
    assert reasons - {"own_not_posted"} == {reason}


def test_guest_that_takes_answers_in_order_only_gets_copies(rig):
    """DPDK's vectorized driver doesn't look at the numbers in answers, and this NIC shuffles."""
    rig.kind = "split"
    host = start_mapped_host(rig, rig.tnic(ring=256, rx_order="shuffled", **STREAM), tiny=True)
    vhost.start_guest(rig, vhost.Form(queue_size=1024, mrg_rxbuf=0, vectorized=1),
                      args=["--auto-start"])
    wait_until(host.link_is_up, "link up")
    before = ask_map(host)["own_order"]
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert host.xstats(0)["to_guest_mapped"] == 0
    assert ask_map(host)["own_order"] - before > 1000


def test_guest_whose_port_is_to_copy_gets_copies(rig, kind):
    host = start_mapped_host(rig, rig.tnic(ring=256, **STREAM), devargs=",mode=copy", tiny=True)
    rig.guest(args=["--auto-start"])
    before = ask_map(host)["own_unwanted"]
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert host.xstats(0)["to_guest_mapped"] == 0
    assert ask_map(host)["own_unwanted"] - before > 1000


def test_guest_that_must_be_mapped_and_cant_isnt_served(rig):
    """Those that can be are."""
    rig.kind = "split"
    host = start_mapped_host(rig, rig.tnic(ring=256, **STREAM), devargs=",mode=map")
    form = vhost.Form(queue_size=1024, mrg_rxbuf=0)
    with pytest.raises(Failure, match="testpmd ended"):
        vhost.start_guest(rig, form)
    host.expect("the guest isn't served: with mode=map", 10)
    assert not host.link_is_up(0)
    rig.guest(args=["--auto-start"])
    host.command("start")
    rig.check_stream(timeout=TIMEOUT_S)
    assert count_mapped_share(host) > 0.99


def test_port_that_must_map_and_cant_doesnt_start(rig):
    host = start_mapped_host(rig, rig.tnic(ring=256, stop="refuses"), keys=",mode=map")
    assert "with mode=map that isn't allowed" in host.text()
    assert "Fail to start port 2" in host.text()


def test_the_port_below_may_be_made_with_devargs_of_its_own(rig):
    host = rig.testpmd("host", [
        f"net_vdpdk_host0,path={rig.path('g0')}",
        "net_softflow0,lower=[net_null0,size=64],mode=map,map=0:net_vdpdk_host0"], tiny=True)
    guest = rig.guest(args=["--auto-start"])
    host.command("start")
    wait_until(lambda: guest.stats(0)["RX-bytes"] > 64 * 10000, "frames")
    stats = guest.stats(0)
    assert stats["RX-bytes"] == 64 * stats["RX-packets"]
    assert host.quit() == 0
