# SPDX-License-Identifier: BSD-3-Clause
"""QEMU's monitor: commands, and the events between them."""

import json
import select
import time

from process import Failure

ANSWER_S = 30


class Qmp:
    """One connection."""

    def __init__(self, sock, explain):
        self.socket = sock
        self.explain = explain
        self.unread = b""
        self.lines = []
        self.events = []
        self.wait_line(lambda line: "QMP" in line, "greeting", ANSWER_S)
        self.command("qmp_capabilities")

    def pump(self, seconds):
        if not select.select([self.socket], [], [], seconds)[0]:
            return
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            raise Failure(self.explain("QEMU has closed its monitor"))
        *lines, self.unread = (self.unread + data).split(b"\n")
        for line in lines:
            line = json.loads(line)
            (self.events if "event" in line else self.lines).append(line)

    def wait_line(self, wanted, what, seconds):
        deadline = time.monotonic() + seconds
        while True:
            found = [line for line in self.lines if wanted(line)]
            if found:
                self.lines.clear()
                return found[0]
            if time.monotonic() > deadline:
                raise Failure(self.explain(f"QEMU's monitor: no {what} in {seconds} s"))
            self.pump(0.2)

    def command(self, name, **arguments):
        """Its answer; raises if QEMU refuses."""
        arguments = {key.replace("_", "-"): value for key, value in arguments.items()}
        line = {"execute": name, "arguments": arguments}
        self.socket.sendall(json.dumps(line).encode() + b"\n")
        answer = self.wait_line(lambda line: "return" in line or "error" in line,
                                f"answer to {name}", ANSWER_S)
        if "error" in answer:
            raise Failure(f"QEMU refuses {name}: {answer['error']['desc']}")
        return answer["return"]

    def wait_event(self, name, since=0, seconds=ANSWER_S, **data):
        """The first event of that name, of those from `since` on, whose data has these values."""
        deadline = time.monotonic() + seconds
        while True:
            for event in self.events[since:]:
                if event["event"] == name and data.items() <= event.get("data", {}).items():
                    return event
            if time.monotonic() > deadline:
                raise Failure(self.explain(f"QEMU's monitor: no {name} {data} in {seconds} s"))
            self.pump(0.2)
