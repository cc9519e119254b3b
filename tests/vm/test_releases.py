# SPDX-License-Identifier: BSD-3-Clause
"""
Guests of another release of DPDK than the host's: 24.11, with a driver that was built for it.

Where the headers for drivers of that release aren't to be had there is no such driver, and these
tests are skipped.
"""

import os
import subprocess

import pytest

from dpdk import eal_args, start_vm
from process import LocalProcess
from rig import ROOT, memory_args, pick_lcores
from testpmd import Testpmd, check_counters
from vm import get_parts

STREAM = {"window": 32, "frames": 20_000, "sizes": "60-9000", "segments": "1-8", "flows": 64}
ARGS = ["--auto-start", "--enable-scatter", "--max-pkt-len=9018"]
# Of devtools/trixie-driver: there are no headers.
UNAVAILABLE = 69


@pytest.fixture(scope="session")
def other_plugins():
    """A folder with the guests' driver for the other release."""
    built = subprocess.run([f"{ROOT}/devtools/trixie-driver"], check=False)
    if built.returncode == UNAVAILABLE:
        pytest.skip("the archive has no source package of Debian 13's DPDK")
    assert built.returncode == 0
    found = subprocess.run([f"{ROOT}/devtools/plugin-dir", f"{ROOT}/build/trixie/plugins"],
                           check=True, stdout=subprocess.PIPE, text=True)
    return found.stdout.strip()


def check_stream(rig, host, guest):
    assert "RTE Version: 'DPDK 24.11." in guest.text()
    host.command("start")
    stream = rig.check_stream(timeout=120)
    check_counters(host, guest, stream)
    assert guest.quit() == 0


def test_stream_through_a_machine_of_another_release_is_clean(rig, other_plugins):
    host = rig.host(rig.tnic(**STREAM))
    vm = start_vm(rig, "vfio-pci", root="trixie", shares=[other_plugins])
    guest = vm.testpmd(eal_args(vm, vm.bind(), ["-v"], other_plugins), ARGS)
    check_stream(rig, host, guest)


def start_container(rig, plugins):
    """Stock testpmd in the other Debian's root."""
    enter = [f"{ROOT}/devtools/in-root", get_parts("--trixie")["trixie"],
             f"{plugins}:/mnt/plugins:ro", f"{rig.folder}:/run/nicmux", "--"]
    eal = ["-v", "-d", "/mnt/plugins/librte_net_vdpdk.so", "--vdev",
           "net_vdpdk0,path=/run/nicmux/g0", "--no-pci", "--file-prefix", f"{rig.prefix}-other",
           "--no-telemetry", *pick_lcores("guest"), *memory_args()]

    def start(argv, cwd, environment):
        return LocalProcess([*enter, *argv], cwd, {**os.environ, **environment})
    return rig.add(Testpmd(eal, ["--total-num-mbufs=16384", *ARGS], rig.log("other"), start=start))


def test_stream_through_a_container_of_another_release_is_clean(rig, other_plugins):
    host = rig.host(rig.tnic(**STREAM))
    guest = start_container(rig, other_plugins)
    check_stream(rig, host, guest)
