# SPDX-License-Identifier: BSD-3-Clause
"""Open vSwitch on DPDK, the distribution's, without systemd: its daemons in a rig's folder."""

import os
import shutil
import subprocess

from process import Failure
from rig import CPUS, memory_args
from testpmd import Program, wait_until


class OpenVSwitch:
    """ovsdb-server and ovs-vswitchd; ports are added with vsctl()."""

    BINARY = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
    SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"

    def __init__(self, rig, plugins=()):
        """plugins: EAL's arguments."""
        self.rig = rig
        self.plugins = plugins
        self.folders = {name: rig.folder for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR")}
        self.database = f"unix:{rig.path('db.sock')}"
        self.daemon = None

    @classmethod
    def is_there(cls):
        return os.path.exists(cls.BINARY)

    # What is done in order: (command, None), or (daemon, the socket that it makes).

    def vsctl(self, *argv):
        return ["ovs-vsctl", f"--db={self.database}", "--timeout=30", *argv]

    def list_database_steps(self):
        return [(["ovsdb-tool", "create", self.rig.path("conf.db"), self.SCHEMA], None),
                (["ovsdb-server", self.rig.path("conf.db"), f"--remote=p{self.database}",
                  f"--unixctl={self.rig.path('db.ctl')}"], self.rig.path("db.sock"))]

    def list_switch_steps(self):
        extra = ["--no-pci", "--file-prefix", f"{self.rig.prefix}-ovs", *self.plugins,
                 *memory_args()]
        return [(self.vsctl("--no-wait", "init"), None),
                (self.vsctl(
                    "--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                    # Beside its forwarding thread, of nice -20, its other threads starve.
                    f"other_config:dpdk-lcore-mask={1 << CPUS[-1]:#x}",
                    f"other_config:pmd-cpu-mask={1 << CPUS[0]:#x}",
                    'other_config:dpdk-socket-mem="1024"',
                    f'other_config:dpdk-extra="{" ".join(extra)}"'), None),
                # In a network of its own: its bridge is an interface of the kernel, too. It has
                # much to say, and nobody reads its terminal meanwhile.
                (["unshare", "--net", self.BINARY, self.database,
                  f"--unixctl={self.rig.path('vswitchd.ctl')}", "-vconsole:off",
                  f"--log-file={self.rig.log('vswitchd-own')}"], self.rig.path("vswitchd.ctl")),
                (self.vsctl("wait-until", "Open_vSwitch", ".", "dpdk_initialized=true"), None)]

    # What runs.

    def run(self, *argv):
        done = subprocess.run(argv, env={**os.environ, **self.folders}, check=False,
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Failure(f"{' '.join(argv)}: {done.stderr}")
        return done.stdout

    def take_steps(self, steps):
        for argv, socket in steps:
            if socket is None:
                self.run(*argv)
                continue
            name = os.path.basename(socket).split(".")[0]
            if os.path.exists(socket):
                os.unlink(socket)  # of one that was killed
            self.daemon = self.rig.add(
                Program(argv, self.rig.log(name), environment=self.folders))
            wait_until(lambda socket=socket: os.path.exists(socket), socket, 30)

    def check_ports(self, names):
        for name in names:
            error = self.run(*self.vsctl("get", "Interface", name, "error")).strip()
            if error != "[]":
                raise Failure(f"Open vSwitch: {name}: {error}")

    def appctl(self, *argv):
        return self.run("ovs-appctl", "-t", self.rig.path("vswitchd.ctl"), *argv)

    def end(self):
        shutil.rmtree(f"/run/dpdk/{self.rig.prefix}-ovs", ignore_errors=True)
