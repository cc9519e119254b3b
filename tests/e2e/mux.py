# SPDX-License-Identifier: BSD-3-Clause
"""nicmuxd under test, its telemetry, and the stations that its guests are."""

import json
import os
import signal
import subprocess
import sys

from rig import ROOT, VIRTIO, memory_args
from testpmd import wait_until

sys.path.insert(0, f"{ROOT}/devtools")

import telemetry  # noqa: E402

PLUGINS = os.environ.get("NMX_PLUGINS") or "build/plugins"
# Beside the plugins: built with the same sanitizers.
BINARY = os.path.join(ROOT, os.path.dirname(PLUGINS), "bin/nicmuxd")
# It has a sanitizer's run-time within, if it has one; nothing is to be loaded before.
ENVIRONMENT = {"LD_PRELOAD": ""}
STATIONS = os.path.join(ROOT, "build/bin/nmx-stations")
RXWAIT = os.path.join(ROOT, "build/bin/nmx-rxwait")


def mac(number, kind=0):
    """The address of station `number`; `kind` is anything else that is to differ."""
    return f"02:00:{kind:02x}:00:{number >> 8:02x}:{number & 255:02x}"


class Mux:
    """A daemon with an uplink and guests, in files of its rig."""

    def __init__(self, rig, guests, device=None, netns=None, eal=(), start=True, **uplink):
        """
        guests: names or whole entries, a list. An entry without a path or MAC gets one. device: of
        the uplink; default: memif, whose other end `uplink_vdev` gives. eal: more arguments for EAL.
        start: False if only its files are wanted, for now.
        """
        self.rig = rig
        self.netns = netns
        self.eal = eal
        self.prefix = f"{rig.prefix}-mux"
        self.config_path = rig.path("nicmuxd.json")
        device = device or f"net_memif0,role=server,socket={rig.path('wire')},socket-abstract=no"
        self.uplink = {"name": "wire", "device": device, **uplink}
        self.guests = {}
        self.set_guests(guests)
        if start:
            self.start()

    def set_guests(self, guests):
        """Write the configuration anew; SIGHUP applies it."""
        self.guests = {}
        for number, guest in enumerate(guests):
            entry = {"name": guest} if isinstance(guest, str) else dict(guest)
            entry.setdefault("type", "vdpdk")
            entry.setdefault("path", self.rig.path(entry["name"]))
            entry.setdefault("macs", [mac(number)])
            self.guests[entry["name"]] = entry
        with open(self.config_path, "w", encoding="ascii") as file:
            json.dump({"uplinks": [self.uplink], "guests": list(self.guests.values())}, file,
                      indent=1)

    def start(self):
        self.program = self.rig.program("nicmuxd", self.argv, ENVIRONMENT)
        self.program.expect("nicmuxd: ready", 30)

    @property
    def argv(self):
        cpu = min(os.sched_getaffinity(0))
        argv = [BINARY, "-c", self.config_path, "--", "--file-prefix", self.prefix, "--no-pci",
                "--lcores", f"0@{cpu},1@{cpu}", *memory_args(), *self.eal]
        return ["ip", "netns", "exec", self.netns, *argv] if self.netns else argv

    def hang_up(self, answer="configuration applied"):
        """SIGHUP; waits for what it says to it, and returns that line."""
        begin = len(self.program.said)
        self.program.process.send_signal(signal.SIGHUP)
        return self.program.expect(f"[^\n]*{answer}[^\n]*", 20, begin).group(0).decode()

    def end(self):
        self.program.process.send_signal(signal.SIGTERM)
        return self.program.wait()

    def ask(self, command):
        self.program.pump(0)
        return telemetry.ask(self.prefix, command)

    def guest(self, name):
        return self.ask(f"/nicmux/guest,{name}")

    def wire(self):
        return self.ask("/nicmux/uplinks")["wire"]

    def drops(self, name):
        """Reasons for which frames of or to a guest were dropped, with their numbers."""
        return {key: value for key, value in self.guest(name).items()
                if "_drop_" in key and value}

    def wait_wired(self):
        """The uplink's other end is connected: something has come from there, or gone there."""
        wait_until(lambda: self.wire()["from_uplink_frames"] + self.wire()["to_uplink_frames"] > 0,
                   "a frame on the wire")

    def wait_linked(self, *names, timeout=20):
        for name in names:
            wait_until(lambda name=name: self.guest(name)["linked"], f"guest {name}", timeout)

    def vdev(self, name, number):
        """Devargs of the guest's end."""
        guest = self.guests[name]
        if guest["type"] == "vdpdk":
            return f"net_vdpdk{number},path={guest['path']}"
        server = int(guest.get("role") != "listen")
        return (f"net_virtio_user{number},path={guest['path']},server={server},queue_size=1024,"
                f"mac={guest['macs'][0]},queues={guest.get('queues', 1)},{VIRTIO['split']}")

    def uplink_vdev(self, address):
        """Devargs of the uplink's other end."""
        return (f"net_memif0,role=client,socket={self.rig.path('wire')},socket-abstract=no,"
                f"mac={address}")


class Stations:
    """A process full of stations."""

    def __init__(self, rig, vdevs, macs, streams, frames, window=4, seed=1, nice=0):
        # One file, so that a guest of many is a few maps.
        eal = [*rig.eal("guest", vdevs), "--single-file-segments"]
        self.begin(lambda argv: rig.program("stations", ["nice", "-n", str(nice), *argv]), eal,
                   streams, frames, window, seed, macs)

    def begin(self, start, eal, *words):
        """start: takes the command line, returns the program"""
        *words, macs = words
        self.program = start([*map(str, [STATIONS, *eal, "--", *words, *macs])])
        self.program.expect("ready", 120)

    def go(self):
        self.program.send("go")

    def wait_finished(self, timeout):
        self.program.expect("finished", timeout)

    def end(self):
        """Its exit code, after it has told its counters; nothing was wrong if it is 0."""
        self.program.send("end")
        return self.program.wait()

    def counters(self):
        words = self.program.expect(rb"sent \d+[^\r\n]*").group(0).decode().split()
        return dict(zip(words[::2], map(int, words[1::2])))


class Wire:
    """A namespace whose TAP device is the daemon's uplink, so that its kernel is on the wire."""

    def __init__(self, rig):
        self.name = f"{rig.prefix}-wire"
        subprocess.run(["ip", "netns", "add", self.name], check=True)

    def run(self, *argv, check=True, timeout=30):
        return subprocess.run(["ip", "netns", "exec", self.name, *argv], check=check,
                              timeout=timeout, capture_output=True, text=True)

    def set_up(self, interface, address):
        self.run("ip", "address", "add", address, "dev", interface)
        self.run("ip", "link", "set", interface, "up")

    def remove(self):
        subprocess.run(["ip", "netns", "delete", self.name], check=False)
