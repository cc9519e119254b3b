# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""The demo's nicmuxd: its configuration, its start and end, what it counts."""

import json
import signal
import subprocess
import time

import telemetry
from demo_sandbox import PREFIX, ROOT, RUN, TAP, Failure

START_S = 30
END_S = 10


class Nicmuxd:
    """A daemon whose uplink is a TAP device, with guests of the given names."""

    def __init__(self, sandbox, names, *, cpu, memory, log, wrapper=()):
        self.log = log
        self.paths = {name: f"{RUN}/{name}.sock" for name in names}
        self.macs = {name: f"02:00:00:00:00:{10 + number:02x}"
                     for number, name in enumerate(names)}
        config = {"uplinks": [{"name": "tap", "device": f"net_tap0,iface={TAP}"}],
                  "guests": [{"name": name, "type": "vdpdk", "path": self.paths[name],
                              "macs": [self.macs[name]]} for name in names]}
        with open(f"{RUN}/nicmuxd.json", "w", encoding="utf-8") as file:
            json.dump(config, file, indent=1)
        argv = [*wrapper, f"{ROOT}/build/bin/nicmuxd", "--config", f"{RUN}/nicmuxd.json", "--",
                "--file-prefix", f"{PREFIX}nicmuxd", "--lcores", f"0@{cpu},1@{cpu}", *memory]
        with open(log, "w", encoding="utf-8") as file:
            file.write(f"{' '.join(argv)}\n")
            file.flush()
            self._child = sandbox.spawn(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        self._wait_ready()

    def _wait_ready(self):
        end = time.monotonic() + START_S
        while "nicmuxd: ready" not in self._read_log():
            if self._child.poll() is not None:
                raise Failure(f"{self._read_log().strip().splitlines()[-1]}; see {self.log}")
            if time.monotonic() > end:
                raise Failure(f"nicmuxd didn't start in {START_S} s; see {self.log}")
            time.sleep(0.05)

    def _read_log(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()

    def ask(self, command):
        try:
            return telemetry.ask(f"{PREFIX}nicmuxd", command)
        except OSError as error:
            raise Failure(f"nicmuxd's telemetry doesn't answer ({error}); see {self.log}") from None

    def ask_guest(self, name):
        return self.ask(f"/nicmux/guest,{name}")

    def ask_uplink(self):
        return self.ask("/nicmux/uplinks")["tap"]

    def quit(self):
        """As an operator ends it."""
        self._child.send_signal(signal.SIGTERM)
        try:
            code = self._child.wait(timeout=END_S)
        except subprocess.TimeoutExpired:
            raise Failure(f"nicmuxd didn't end in {END_S} s; see {self.log}") from None
        if code != 0:
            raise Failure(f"nicmuxd ended with code {code}; see {self.log}")
