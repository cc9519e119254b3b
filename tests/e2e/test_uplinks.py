# SPDX-License-Identifier: BSD-3-Clause
"""What the trial of an uplink finds with the ports of stock DPDK that need no hardware."""

import socket
import subprocess

import pytest

import mux  # noqa: F401  (finds telemetry)
import telemetry

from test_mapping import start_mapped_host
from testpmd import wait_until

NOTHING = "it holds no buffers"
GIVES = "it holds buffers, and gives them back when it is stopped"
OVER_OTHERS = "it is a port over others, whose devices aren't known; name one of those"
INSERTS_TAGS = "it puts VLAN tags in front of frames; have it strip them"
KEEPS = "it holds buffers, and keeps them when it is stopped"

TAKES_NONE = "it took no frame"

TRIAL_TYPE = 0x88B5

# Devargs, with places for the rig's folder and an interface of its namespace; what is found of the
# Rx queue, and of the Tx queue.
UPLINKS = {
    "null": ("net_null0", NOTHING, NOTHING),
    "pcap": ("net_pcap0,rx_iface={interface},tx_iface={interface}", NOTHING, NOTHING),
    "af_packet": ("net_af_packet0,iface={interface}", INSERTS_TAGS, NOTHING),
    "af_packet-stripping": ("net_af_packet0,iface={interface}", NOTHING, NOTHING),
    "tap": ("net_tap0,iface=nmxtap", KEEPS, NOTHING),
    "af_xdp": ("net_af_xdp0,iface={interface},force_copy=1", KEEPS, NOTHING),
    "memif": ("net_memif0,role=server,socket={folder}/memif,socket-abstract=no", NOTHING,
              TAKES_NONE),
    "ring": ("net_ring0", NOTHING, KEEPS),
    "vhost": ("net_vhost0,iface={folder}/vhost", NOTHING, TAKES_NONE),
    "virtio-user": ("net_virtio_user0,path={folder}/virtio", KEEPS, KEEPS),
    "bonding": ("net_bonding0,mode=0,slave=net_null1", OVER_OTHERS, TAKES_NONE),
    "tnic": ("net_tnic0,file={folder}/stream", NOTHING, NOTHING),
    "tnic-ring": ("net_tnic0,file={folder}/stream,ring=256", GIVES, NOTHING),
    "tnic-tx-ring": ("net_tnic0,file={folder}/stream,ring=256,tx_ring=256", GIVES, GIVES),
    "tnic-tx-kept": ("net_tnic0,file={folder}/stream,tx_ring=256,tx_keep=until-close", NOTHING,
                     KEEPS),
}


@pytest.fixture
def interface(rig):
    """One end of a pair, in the namespace of this process' children."""
    name = "nmx-up"
    subprocess.run(["ip", "link", "add", name, "type", "veth", "peer", "name", "nmx-down"],
                   check=True)
    for end in (name, "nmx-down"):
        subprocess.run(["ip", "link", "set", end, "up"], check=True)
    yield name
    rig.clean_up()
    subprocess.run(["ip", "link", "delete", name], check=True)


def strip_tags(host):
    """Of a mapped host's uplink."""
    for command in ("port stop 2", "port config 2 rx_offload vlan_strip on", "port start 2"):
        host.command(command)


@pytest.mark.parametrize("name", UPLINKS)
def test_trial(rig, interface, name):
    devargs, verdict, tx_verdict = UPLINKS[name]
    lower = devargs.format(folder=rig.folder, interface=interface)
    before = ["net_null1"] if name == "bonding" else []
    if name == "virtio-user":
        rig.testpmd("peer", [f"net_vhost0,iface={rig.path('virtio')}"], ["--auto-start"], tiny=True)
    host = start_mapped_host(rig, lower, before, tiny=True, keys=",tx_trial=1")
    if "stripping" in name:
        strip_tags(host)
    guest = rig.guest(args=["--auto-start"])
    host.command("start")
    wait_until(guest.link_is_up, "the guest's link")
    prefix = host.argv[host.argv.index("--file-prefix") + 1]
    maps = telemetry.ask(prefix, "/nicmux/maps")
    assert len(maps) == 1
    found = telemetry.ask(prefix, f"/nicmux/map,{maps[0]}")
    assert (found["uplink"], found["uplink_tx"]) == (verdict, tx_verdict)
    assert found["may_lend"] == (verdict in (NOTHING, GIVES))


@pytest.mark.parametrize("keys,n_frames", [("", 0), (",tx_trial=1", 8)])
def test_frames_are_sent_where_they_are_asked_for(rig, interface, keys, n_frames):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(TRIAL_TYPE)) as wire:
        wire.bind(("nmx-down", TRIAL_TYPE))
        wire.setblocking(False)
        host = start_mapped_host(rig, f"net_af_packet0,iface={interface}", tiny=True, keys=keys)
        host.command("port stop 2")
        host.command("port start 2")
        frames = []
        while True:
            try:
                frames.append(wire.recv(2048))
            except BlockingIOError:
                break
    assert len(frames) == n_frames
    for frame in frames:
        assert frame[0:6] == frame[6:12] and not any(frame[14:])
