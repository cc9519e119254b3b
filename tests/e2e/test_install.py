# SPDX-License-Identifier: BSD-3-Clause
"""What is installed works from where it is, alone."""

import os
import shutil
import subprocess

from rig import ROOT
from testpmd import wait_until


def test_installed_plugins_work_and_nothing_else_is_written(rig, monkeypatch):
    place = f"{ROOT}/build/e2e/install"
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run([f"{ROOT}/devtools/install"], check=True,
                   env=dict(os.environ, DESTDIR=place, PREFIX="/opt/nmx"))
    assert os.listdir(place) == ["opt"] and os.listdir(f"{place}/opt") == ["nmx"]
    libraries = f"{place}/opt/nmx/lib/nicmux"
    assert sorted(os.listdir(libraries)) == [
        "librte_common_nicmux.so", "librte_net_vdpdk.so", "librte_net_vdpdk_host.so"]
    assert sorted(os.listdir(f"{place}/opt/nmx")) == ["include", "lib", "sbin", "share"]
    daemon, example = f"{place}/opt/nmx/sbin/nicmuxd", f"{place}/opt/nmx/share/nicmux/nicmuxd.json"
    said = subprocess.run(["ldd", daemon], check=True, capture_output=True, text=True).stdout
    assert f"{place}/opt/nmx/sbin/../lib/nicmux/librte_common_nicmux.so" in said
    # Its owner's group is of a machine with virtual machines; another has none.
    with open(example, encoding="ascii") as file:
        config = file.read().replace(":kvm", ":root")
    with open(rig.path("nicmuxd.json"), "w", encoding="ascii") as file:
        file.write(config)
    said = subprocess.run([daemon, "--test", "--config", rig.path("nicmuxd.json")], check=True,
                          capture_output=True, text=True).stdout
    assert "is good: 1 uplink, 2 guests" in said
    # A program of somebody else's includes the contract from there.
    subprocess.run(["gcc", "-std=c11", "-fsyntax-only", "-I", f"{place}/opt/nmx/include/nicmux",
                    "-x", "c", "-"], input=b'#include "vdpdk.h"\nint main(void) { return 0; }\n',
                   check=True)
    folder = subprocess.run([f"{ROOT}/devtools/plugin-dir", libraries], cwd=ROOT, check=True,
                            capture_output=True, text=True).stdout.strip()
    monkeypatch.setattr(rig, "plugins", os.path.join(ROOT, folder))
    host = rig.host(args=["--auto-start"])
    guest = rig.guest(args=["--auto-start"])
    wait_until(guest.link_is_up, "link up")
    wait_until(host.link_is_up, "link up")
