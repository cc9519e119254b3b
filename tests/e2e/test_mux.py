# SPDX-License-Identifier: BSD-3-Clause
"""nicmuxd: what it forwards, and what it doesn't."""

import grp
import json
import os
import re
import signal
import stat
import subprocess
import tempfile
import time

import jsonschema
import pytest

from lengths import get_length
from mux import BINARY, ENVIRONMENT, RXWAIT, Mux, Stations, Wire, mac
from rig import ROOT, memory_args
from scene import hold_thread
from testpmd import wait_until

STREAMS = get_length("NMX_MUX_STREAMS")


def echo_guest(rig, mux, name, mode="macswap"):
    """A stock testpmd behind the daemon."""
    guest = rig.testpmd("guest", [mux.vdev(name, 0)], ["--forward-mode", mode, "--auto-start"])
    mux.wait_linked(name)
    return guest


def test_a_kernel_on_the_wire_and_two_guests_ping_each_other(rig):
    """Broadcast ARP, unicast either way: testpmd's icmpecho answers for any IP address."""
    wire = Wire(rig)
    try:
        mux = Mux(rig, ["a", "b"], device="net_tap0,iface=nmxwire", netns=wire.name)
        wire.set_up("nmxwire", "10.9.0.1/24")
        for name in ("a", "b"):
            echo_guest(rig, mux, name, "icmpecho")
        for number in range(2):
            address = f"10.9.0.{10 + number}"
            # Both would answer an ARP request for any address.
            wire.run("ip", "neighbour", "replace", address, "lladdr", mac(number), "dev", "nmxwire")
            answer = wire.run("ping", "-c", "20", "-i", "0.01", "-W", "5", address).stdout
            assert " 0% packet loss" in answer, answer
        wire.run("ip", "neighbour", "flush", "dev", "nmxwire")
        answer = wire.run("ping", "-c", "5", "-i", "0.01", "-W", "5", "10.9.0.77").stdout
        assert " 0% packet loss" in answer, answer  # after a broadcast, to both
        assert mux.guest("a")["to_guest_frames"] >= 21
        assert mux.guest("b")["to_guest_frames"] >= 21
    finally:
        wire.remove()


def test_stations_on_guests_and_on_the_wire_lose_nothing(rig):
    """Streams among all pairs: every frame comes once, to the right one, unchanged, in order."""
    names = [f"g{number}" for number in range(6)]
    mux = Mux(rig, names)
    macs = [mac(number) for number in range(len(names))] + [mac(0, 1)]
    groups = [Stations(rig, [mux.vdev(name, i) for i, name in enumerate(names)], macs, STREAMS,
                       200, window=16),
              Stations(rig, [mux.uplink_vdev(mac(0, 1))], macs, STREAMS, 200, window=16, seed=2)]
    mux.wait_linked(*names)
    groups[1].go()
    mux.wait_wired()
    groups[0].go()
    for group in groups:
        group.wait_finished(60 + STREAMS / 5)
    assert [group.end() for group in groups] == [0, 0]
    for name in names:
        assert mux.drops(name) == {}
    assert mux.wire()["to_uplink_frames"] > 0
    assert mux.end() == 0


CONFIG_ERRORS = [
    # What is put into the file, where that is said to be, and what else is said.
    ('{"uplinks": [], "guests": []}', "uplinks", "one uplink"),
    ('{"guests": []}', "the file", '"uplinks"'),
    ('{"uplinks": [{"name": "w"}], "guests": []}', "uplinks[0]", '"device"'),
    ('{"uplinks": UP, "guests": [{"name": "a"}]}', "guests[0]", 'has no "type"'),
    ('{"uplinks": UP, "guests": [A,\nA]}', "f.json:2: guests[1].name", "guests[0]'s"),
    ('{"uplinks": UP, "guests": [A,\nB_PATH_A]}', "f.json:2: guests[1].path", "guest a's"),
    ('{"uplinks": UP, "guests": [A,\nB_MAC_A]}', "f.json:2: guests[1].macs[0]", "guest a's"),
    ('{"uplinks": UP, "guests": [A],\n"more": 1}', "f.json:2: more", "known are: uplinks, guests"),
    ('{"uplinks": UP,\n "guests": [A]', "f.json:2", "no JSON"),
    ('{"uplinks": UP, "guests": [{"interrupts": 1}]}', "guests[0].interrupts", "true nor false"),
    ('{"uplinks": UP, "guests": [{"type": "tap"}]}', "guests[0].type", '"vhost-user"'),
    ('{"uplinks": UP, "guests": [A_ROLE]}', "guests[0].role", "leave it out"),
    ('{"uplinks": [{"name": "w", "device": "d", "ring": 1024,\n"buffers": 2048}], "guests": []}',
     "uplinks[0]", '"buffers" 2560 or more'),
]


def fill_in(text):
    def guest(name, path, address):
        return f'{{"name": "{name}", "type": "vdpdk", "path": "{path}", "macs": ["{address}"]}}'
    return (text.replace("A_ROLE", guest("a", "/run/a", mac(1))[:-1] + ', "role": "connect"}')
            .replace("UP", '[{"name": "w", "device": "net_null0"}]')
            .replace("B_PATH_A", guest("b", "/run/a", mac(2)))
            .replace("B_MAC_A", guest("b", "/run/b", mac(1)))
            .replace("A", guest("a", "/run/a", mac(1))))


def check_config(text):
    """The one sentence that a wrong configuration is answered with."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/f.json"
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        done = subprocess.run([BINARY, "-c", path], check=False, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.mark.parametrize("text,where,what", CONFIG_ERRORS)
def test_a_wrong_configuration_is_told_in_one_sentence(text, where, what):
    said = check_config(fill_in(text))
    assert where in said and what in said, said


@pytest.mark.parametrize("uplink,guest,what", [
    ({"device": "net_nothing0"}, {}, 'uplink w: there is no device "net_nothing0"'),
    ({"buffers": 10_000_000}, {}, "uplink w: no memory for 10000000 buffers"),
    ({}, {"path": "/nonexistent/b"}, "guest b: can't serve it at /nonexistent/b: its folder does"),
])
def test_what_the_machine_lacks_is_told_in_one_sentence(rig, uplink, guest, what):
    """And nothing of what could be had is left."""
    path = rig.path("f.json")
    with open(path, "w", encoding="ascii") as file:
        json.dump({"uplinks": [{"name": "w", "device": "net_null0", **uplink}], "guests": [
            {"name": "a", "type": "vdpdk", "path": rig.path("a"), "macs": [mac(1)]},
            {"name": "b", "type": "vdpdk", "path": rig.path("b"), "macs": [mac(2)], **guest}]},
                  file)
    program = rig.program("nicmuxd", [BINARY, "-c", path, "--", "--file-prefix", f"{rig.prefix}-mux"],
                          ENVIRONMENT)
    assert program.wait(60) == 1
    assert f"nicmuxd: {what}" in program.text().strip().splitlines()[-1]
    assert os.listdir(rig.folder) == ["f.json"]


def test_the_schema_says_what_is_accepted():
    """The example meets it, and its keys are those that the daemon names."""
    with open(f"{ROOT}/dist/nicmuxd.schema.json", encoding="ascii") as file:
        schema = json.load(file)
    with open(f"{ROOT}/dist/nicmuxd.json", encoding="ascii") as file:
        example = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(example, schema)
    for kind in ("uplink", "guest"):
        example = {"uplinks": [{}], "guests": [{}]}
        example[f"{kind}s"] = [{"nothing": 0}]
        if kind == "guest":
            example["uplinks"] = [{"name": "w", "device": "d"}]
        said = check_config(json.dumps(example))
        known = said.split("known are: ")[1].split(", ")
        assert sorted(known) == sorted(schema["$defs"][kind]["properties"])


def test_every_counter_is_documented(rig):
    mux = Mux(rig, ["a"])
    with open(f"{ROOT}/docs/operations.md", encoding="utf-8") as file:
        told = set(re.findall(r"`(\w+)`", file.read()))
    names = set(mux.guest("a")) | set(mux.wire())
    assert names - told <= {"device", "port", "buffers_free", "rounds", "idle_rounds"}


def test_sighup_changes_the_guests_that_differ_and_no_other(rig):
    names = ["a", "b", "c"]
    mux = Mux(rig, names)
    macs = [mac(number) for number in range(4)]
    steady = Stations(rig, [mux.vdev("a", 0), mux.vdev("b", 1)], macs[:2], 10 ** 6, 100, window=16)
    mux.wait_linked("a", "b")
    steady.go()
    changed = echo_guest(rig, mux, "c")
    sessions = {name: mux.guest(name)["sessions"] for name in names}
    entries = [mux.guests["a"], mux.guests["b"],
               {**mux.guests["c"], "floods_max": 77},
               {"name": "d", "macs": [macs[3]]}]
    mux.set_guests(entries)
    assert "1 guests added, 0 removed, 1 changed, 2 kept" in mux.hang_up()
    listed = mux.ask("/nicmux/guests")
    assert sorted(listed) == ["a", "b", "c", "d"]
    assert mux.ask("/nicmux/guests,2") == listed[2:]
    assert mux.ask("/nicmux/guests,4") == []
    wait_until(changed.link_is_up, "the changed guest to come back")
    assert {name: mux.guest(name)["sessions"] for name in "ab"} == \
        {name: sessions[name] for name in "ab"}
    mux.set_guests(entries[:2])
    assert "0 guests added, 2 removed, 0 changed, 2 kept" in mux.hang_up()
    frames = mux.guest("a")["from_guest_frames"]
    wait_until(lambda: mux.guest("a")["from_guest_frames"] > frames + 1000, "streams to go on")
    steady.program.send("end")
    steady.program.wait()
    counters = steady.counters()
    assert [counters[name] for name in ("lost", "changed", "doubled", "foreign")] == [0] * 4


def test_a_configuration_that_cant_be_applied_changes_nothing(rig):
    mux = Mux(rig, ["a"])
    guest = echo_guest(rig, mux, "a")
    sessions = mux.guest("a")["sessions"]
    for entries, what in [
            ([mux.guests["a"], {"name": "b", "macs": [mac(5)], "path": "/nonexistent/b"}],
             "its folder does not exist"),
            ([mux.guests["a"], {"name": "b", "macs": [mac(0)]}], "guest a's already")]:
        mux.set_guests(entries)
        mux.hang_up(what)
        assert mux.ask("/nicmux/guests") == ["a"]
    mux.uplink["ring"] = 512
    mux.set_guests(["a"])
    mux.hang_up("restart nicmuxd")
    assert mux.guest("a")["sessions"] == sessions and guest.link_is_up()


def test_a_sleeping_guest_gets_its_budget_of_signals_and_all_frames(rig):
    """One frame at a time to a guest that sleeps in between: each wants a signal."""
    frames, budget = 800, 20
    mux = Mux(rig, [{"name": "sleeper", "signals_max": budget}, "a"])
    macs = [mac(0), mac(1)]
    sleeper = rig.program("rxwait", [RXWAIT, *rig.eal("guest", [mux.vdev("sleeper", 0)]), "--",
                                     str(frames), "1", "swap"])
    sleeper.expect("waiting")
    mux.wait_linked("sleeper")
    group = Stations(rig, [mux.vdev("a", 0)], macs, 1, frames, window=1)
    begin = time.monotonic()
    group.go()
    group.wait_finished(60)
    seconds = time.monotonic() - begin
    state = mux.guest("sleeper")
    assert state["to_guest_signals"] <= budget * seconds + 66
    assert state["to_guest_late_signals"] > 0
    # It arms now before and now after it has sent the last one back: every other time or so.
    assert state["to_guest_signals"] + state["to_guest_late_signals"] >= frames / 8
    assert group.end() == 0


def test_what_was_handed_over_before_sigterm_is_forwarded(rig):
    """The worker is stopped while a guest hands frames over, until the daemon is told to end."""
    mux = Mux(rig, ["a"])
    wire = Stations(rig, [mux.uplink_vdev(mac(0, 1))], [mac(1), mac(0, 1), f"+{mac(0)}"], 0, 0)
    guest = rig.light_guest("a")
    guest.ask("start 128")
    mux.wait_linked("a")
    guest.ask(f"send {mac(0, 1)} {mac(0)} 60 1")
    mux.wait_wired()
    guest.ask("quiet")
    before = mux.wire()["to_uplink_frames"]
    with hold_thread(mux.program):
        guest.ask(f"send {mac(0, 1)} {mac(0)} 100 1")
        time.sleep(0.2)
        mux.program.process.send_signal(signal.SIGTERM)
        mux.program.expect("Terminated: ending")
        time.sleep(0.1)
    assert mux.program.wait() == 0
    wire.go()
    wire.wait_finished(10)
    assert wire.end() == 0
    assert wire.counters()["strange"] >= before + 128


def test_a_socket_is_made_for_its_owner(rig):
    mux = Mux(rig, [{"name": "a", "owner": ":nogroup", "mode": "0660"}, {"name": "b"}])
    found = os.stat(mux.guests["a"]["path"])
    assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o660, 0)
    assert grp.getgrgid(found.st_gid).gr_name == "nogroup"
    assert stat.S_IMODE(os.stat(mux.guests["b"]["path"]).st_mode) == 0o600
    # In a folder where others may put their own in its place it isn't.
    os.mkdir(rig.path("open"))
    os.chmod(rig.path("open"), 0o777)
    mux.set_guests(["a", {"name": "c", "path": rig.path("open/c"), "mode": "0666"}])
    mux.hang_up("a folder of this user's or root's that nobody else may write to")
    assert not os.path.exists(rig.path("open/c"))


def test_another_dpdk_program_runs_beside_with_defaults_on_both_sides(rig):
    """No EAL option here but what there is no default for: where the plugin is."""
    config = {"uplinks": [{"name": "w", "device": "net_null0"}],
              "guests": [{"name": "a", "type": "vdpdk", "path": rig.path("a"), "macs": [mac(0)]}]}
    with open(rig.path("f.json"), "w", encoding="ascii") as file:
        json.dump(config, file)
    mux = rig.program("nicmuxd", [BINARY, "-c", rig.path("f.json"), "--", *memory_args()],
                      ENVIRONMENT)
    mux.expect("nicmuxd: ready", 30)
    guest = rig.program("guest", ["dpdk-testpmd", "--no-pci", *memory_args(),
                                  *rig.plugin("vdpdk"), "--vdev", f"net_vdpdk0,path={rig.path('a')}",
                                  "--", "-i"])
    guest.expect("testpmd> ", 60)
    mux.expect("guest a is there")
    guest.send("quit")
    assert guest.wait() == 0
    mux.process.send_signal(signal.SIGTERM)
    assert mux.wait() == 0
