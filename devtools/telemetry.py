# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""One question to a DPDK program's telemetry, as dpdk-telemetry.py asks it."""

import json
import socket


def ask(prefix, command, timeout_s=10):
    """
    @param prefix   EAL's --file-prefix
    @param command  "/nicmux/guest,NAME"
    @return the answer, decoded; None if the program refuses. Raises OSError if there is none
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.settimeout(timeout_s)
        client.connect(f"/run/dpdk/{prefix}/dpdk_telemetry.v2")
        client.recv(16384)  # who it is
        client.send(command.encode())
        return json.loads(client.recv(65536))[command.split(",")[0]]
