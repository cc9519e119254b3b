# SPDX-License-Identifier: BSD-3-Clause
"""Ends and beginnings: killed guests and hosts, stopped and reset ports, attach and detach."""

import os
import random
import time

import virtio_driver as vd
from lengths import get_length
from testpmd import wait_until

KILLS = get_length("NMX_KILLS")
HOST_KILLS = get_length("NMX_HOST_KILLS")
RECONNECTS = get_length("NMX_RECONNECTS")
ENDLESS = {"window": 64, "sizes": "60-1514", "segments": "1-3", "flows": 16}


class Baseline:
    """What a program holds; later it shall hold no more."""

    def __init__(self, program):
        self.program = program
        time.sleep(0.2)
        self.fds, self.maps = program.count_fds(), program.count_maps()
        self.anonymous_kib = program.read_status("RssAnon")

    def check(self):
        wait_until(lambda: self.program.count_fds() == self.fds, f"{self.fds} descriptors again")
        wait_until(lambda: self.program.count_maps() == self.maps, f"{self.maps} mappings again")
        # A sanitizer keeps what was freed.
        if not os.environ.get("NMX_PRELOAD"):
            assert self.program.read_status("RssAnon") < self.anonymous_kib + 1024


def flood(rig, **keys):
    """A source that doesn't care whether anybody answers."""
    return rig.tnic(number=0, report="flood", **{**ENDLESS, "window": 0, **keys})


def set_queues(program, queues):
    """Of port 0, which is stopped and started."""
    for command in ("port stop 0", f"port config all rxq {queues}", f"port config all txq {queues}",
                    "port start 0"):
        program.command(command)


class VirtioVisitor:
    """What a light guest is to a vDPDK port: one that is quickly there, and gone without a word."""

    def __init__(self, rig):
        self.driver = vd.Driver(rig.path("g0"), packed=rig.kind == "packed").make_busy()

    def wait_for_frames(self, n):
        self.driver.receive_frames(n)
        self.driver.send_frames(1)

    def leave(self):
        for index in range(4):
            self.driver.stop_ring(index)
        self.driver.close()

    def kill(self):
        self.driver.close()


class LightVisitor:
    """The same with a process of its own, which is killed."""

    def __init__(self, rig):
        self.rig = rig
        self.guest = rig.light_guest(queues=2)
        self.guest.ask("start")
        self.guest.ask("reflect")

    def wait_for_frames(self, n):
        wait_until(lambda: int(self.guest.ask("count")[0]) > n, "traffic")
        assert self.guest.ask("count")[2] == "0"

    def leave(self):
        self.guest.send("quit")
        self.guest.wait()
        self.rig.forget(self.guest)

    def kill(self):
        self.guest.kill()
        self.rig.forget(self.guest)


def start_visitor(rig):
    return (LightVisitor if rig.kind == "vdpdk" else VirtioVisitor)(rig)


def test_killed_light_guests_leave_nothing_behind(rig, kind):
    """After the last kill the host has what it had after a tenth of them."""
    host = rig.host(flood(rig), queues=2, args=["--auto-start"])
    rng = random.Random(1)
    for kill in range(KILLS):
        guest = start_visitor(rig)
        guest.wait_for_frames(1)
        time.sleep(rng.uniform(0, 0.05))
        guest.kill()
        wait_until(lambda: host.xstats(0)["guest_sessions"] == kill + 1, "the session")
        wait_until(lambda: not host.link_is_up(), "the end to be noticed")
        if kill == max(KILLS // 10 - 1, 1):
            baseline = Baseline(host)
    baseline.check()
    assert host.xstats(0)["guest_queue_faults"] == 0


def test_killed_testpmd_is_followed_by_the_next_at_once(rig, kind):
    host = rig.host(flood(rig), queues=2, args=["--auto-start"])
    rng = random.Random(2)
    for _ in range(3):
        guest = rig.guest(args=["--auto-start", "--forward-mode=macswap"])
        wait_until(lambda: guest.stats(0)["TX-packets"] > 0, "traffic")
        time.sleep(rng.uniform(0, 0.05))
        guest.kill()
    guest = start_visitor(rig)
    guest.wait_for_frames(1000)
    guest.leave()


def test_guest_survives_the_death_of_its_host(rig):
    stream = {**ENDLESS, "frames": 20000}
    host = rig.host(rig.tnic(**stream))
    guest = rig.guest(args=["--auto-start"])
    for _ in range(HOST_KILLS):
        host.command("start")
        rig.check_stream()
        wait_until(guest.link_is_up, "link up")
        host.kill()
        wait_until(lambda: not guest.link_is_up(), "link down")
        host = rig.host(rig.tnic(**stream))
        wait_until(guest.link_is_up, "link up again")
    host.command("start")
    rig.check_stream()
    assert guest.xstats(0)["sessions"] == HOST_KILLS + 1
    assert guest.text().count("the host is gone") == HOST_KILLS
    assert guest.text().count("the host is back") == HOST_KILLS
    # The host has let go: nothing is held back any more.
    wait_until(lambda: guest.xstats(0)["mbufs_in_quarantine"] == 0, "an empty quarantine")


def test_host_may_die_while_the_guest_does_not_poll(rig):
    host = rig.host(rig.tnic(**{**ENDLESS, "frames": 5000}))
    guest = rig.guest()
    for _ in range(2):
        host.kill()
        wait_until(lambda: not guest.link_is_up(), "link down")
        host = rig.host(rig.tnic(**{**ENDLESS, "frames": 5000}))
        wait_until(guest.link_is_up, "link up again")
    guest.command("start")
    host.command("start")
    rig.check_stream()


def test_host_may_die_under_a_flood(rig):
    """Both directions full when it happens; the next host gets a clean start."""
    host = rig.host(flood(rig), queues=2, args=["--auto-start"])
    guest = rig.guest(queues=2, args=["--auto-start"])
    for _ in range(3):
        wait_until(lambda: guest.stats(0)["RX-packets"] > 10000, "traffic")
        guest.command("clear port stats all")
        host.kill()
        host = rig.host(flood(rig), queues=2, args=["--auto-start"])
    wait_until(lambda: guest.stats(0)["RX-packets"] > 10000, "traffic")
    assert guest.xstats(0)["queue_faults"] == 0


def test_guest_port_stops_starts_and_resets(rig):
    host = rig.host(flood(rig), args=["--auto-start"])
    guest = rig.guest(args=["--auto-start"])
    for action in ("port stop 0", "port reset 0") * 5:
        wait_until(lambda: guest.stats(0)["RX-packets"] > 100, "traffic")
        guest.command("stop")
        guest.command("port stop 0")
        if "reset" in action:
            guest.command("port reset 0")
        guest.command("clear port stats all")
        guest.command("port start 0")
        guest.command("start")
    wait_until(lambda: guest.stats(0)["RX-packets"] > 100, "traffic")
    assert host.xstats(0)["guest_queue_faults"] == 0
    assert guest.xstats(0)["sessions"] == 1


def test_guest_port_changes_its_number_of_queues(rig):
    host = rig.host(flood(rig), queues=4, args=["--auto-start"])
    guest = rig.guest(args=[], queues=4)
    for queues in (1, 4, 2):
        set_queues(guest, queues)
        guest.command("clear port stats all")
        guest.command("start")
        wait_until(lambda: guest.stats(0)["RX-packets"] > 1000, "traffic")
        guest.command("stop")
    assert host.xstats(0)["guest_queue_faults"] == 0


def test_host_port_stop_takes_the_guests_link_down(rig):
    host = rig.host()
    guest = rig.guest()
    wait_until(guest.link_is_up, "link up")
    host.command("port stop 0")
    wait_until(lambda: not guest.link_is_up(), "link down")
    host.command("port start 0")
    wait_until(guest.link_is_up, "link up again")
    assert guest.text().count("link state change event") >= 2


def test_link_of_the_host_follows_the_guest(rig):
    host = rig.host()
    assert not host.link_is_up()
    guest = rig.guest()
    wait_until(host.link_is_up, "link up")
    guest.quit()
    wait_until(lambda: not host.link_is_up(), "link down")


def get_device(devargs):
    return devargs.split(",")[0]


def test_ports_attach_and_detach(rig, kind):
    """Both ends' ports come and go in running programs, and take everything with them."""
    host = rig.testpmd("host", [], eal=[*rig.plugin("vdpdk_host"), *rig.plugin("iovtee")])
    guest = rig.testpmd("guest", [], eal=[*rig.plugin("vdpdk"), "--single-file-segments"])
    baseline = None
    for _ in range(5):
        host.command(f"port attach {rig.host_vdev()}")
        host.command("port start 0")
        guest.command(f"port attach {rig.guest_vdev()}")
        guest.command("port start 0")
        wait_until(guest.link_is_up, "link up")
        for program, devargs in ((guest, rig.guest_vdev()), (host, rig.host_vdev())):
            program.command("port stop 0")
            program.command("port close 0")
            program.command(f"device detach {get_device(devargs)}")
        now = [program.count_fds() for program in (guest, host)]
        baseline = baseline or now
        assert now == baseline
    assert not os.path.exists(rig.path("g0"))


def test_guest_reconnects_while_it_forwards(rig):
    """Its host's port goes and comes; each new session carries frames, and nothing is left over."""
    host = rig.testpmd("host", [flood(rig)], eal=rig.plugin("vdpdk_host"))
    port = f"net_vdpdk_host0,path={rig.path('g0')}"
    host.command(f"port attach {port}")
    guest = rig.guest(args=["--auto-start"])
    for session in range(RECONNECTS):
        host.command("port start 1")
        host.command("start")
        wait_until(lambda: host.xstats(1)["from_guest_frames"] > 100, "traffic")
        host.command("stop")
        if session == max(RECONNECTS // 10 - 1, 1):
            baseline = Baseline(guest)
        host.command("port stop 1")
        host.command("port detach 1")
        host.command(f"port attach {port}")
        wait_until(lambda: guest.xstats(0)["sessions"] == session + 2, "the next session")
    baseline.check()
    assert guest.xstats(0)["queue_faults"] == guest.xstats(0)["mbufs_kept"] == 0


def test_host_forwards_while_its_guest_reconnects(rig, kind):
    host = rig.host(flood(rig), queues=2, args=["--auto-start"])
    for session in range(RECONNECTS):
        guest = start_visitor(rig)
        guest.wait_for_frames(100)
        guest.leave()
        wait_until(lambda: host.xstats(0)["guest_sessions"] == session + 1, "the session")
        if session == max(RECONNECTS // 10 - 1, 1):
            baseline = Baseline(host)
    baseline.check()
    assert host.xstats(0)["guest_queue_faults"] == 0
