# SPDX-License-Identifier: BSD-3-Clause
"""
Virtual machines whose NICs are vDPDK devices.

QEMU runs in the Debian of devtools/vm-parts, the guest on the root of this machine, or on that
Debian; either is read-only, what the guest writes is in its memory. The checkout is where it is here.
Files of a guest, in its rig's folders: NAME.console (the kernel's and the agent's last words),
NAME.qemu (QEMU's own), NAME.trace; sockets NAME.agent and NAME.qmp.

Everything is bounded: a guest that hangs raises Failure with the console's end.
"""

import base64
import functools
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import guest
from guest import Agent, GuestProcess
from process import Failure, wait_until
from qmp import Qmp
from rig import ROOT
from testpmd import Program, Testpmd

# From power-on until the agent answers; a free machine needs a tenth of that.
BOOT_S = 90
# What EAL loads in a guest of DPDK's own drivers, unless it is to have all.
FEW_DRIVERS = ["bus_pci", "bus_vdev", "mempool_ring", "net_null", "net_virtio", "net_e1000"]
# With the former it greets when all devices are there; Debian 12's has the other way only.
QMP_ARGS = {"backports": ["-object", "monitor-qmp,id=monitor,chardev=qmp"],
            "stable": ["-mon", "chardev=qmp,mode=control"]}
# Root ports are the devices from here on of the first bus, one a NIC.
FIRST_PORT = 0x10


@functools.cache
def get_parts(*options):
    """What devtools/vm-parts says."""
    answer = subprocess.run([f"{ROOT}/devtools/vm-parts", *options], check=True,
                            stdout=subprocess.PIPE, text=True)
    return dict(line.split("=", 1) for line in answer.stdout.splitlines())


def make_few_drivers():
    """A folder like DPDK's of drivers, in which EAL finds a few; and where that one is."""
    answer = subprocess.run(["pkg-config", "--variable=libdir", "libdpdk"], check=True,
                            capture_output=True, text=True)
    there, = glob.glob(f"{answer.stdout.strip()}/dpdk/pmds-*")
    here = f"{ROOT}/build/vm-drivers-{int(os.stat(there).st_mtime)}"
    if os.path.exists(here):
        return here, there
    new = f"{here}-{os.getpid()}"
    os.makedirs(new)
    for name in os.listdir(there):
        match = re.fullmatch(r"librte_(\w+)\.so\.(\d+)\.\d+", name)
        if not match:
            continue
        # By the shorter name programs are linked to it; EAL loads what has the longer one.
        linked = f"librte_{match[1]}.so.{match[2]}"
        if match[1] in FEW_DRIVERS:
            shutil.copy(f"{there}/{name}", f"{new}/{name}")
            os.symlink(name, f"{new}/{linked}")
        else:
            shutil.copy(f"{there}/{name}", f"{new}/{linked}")
    os.rename(new, here)
    return here, there


class Vm:
    """A guest: power_on(), and in the end kill()."""

    def __init__(self, rig, name, nics=(), **options):
        """
        nics: paths of vfio-user sockets; nic N is device "nicN" behind root port "portN".

        memory      of the guest, MiB (768)
        hugepages   of 2 MiB that the guest reserves of it (128)
        cpus        1
        ports       root ports: more than NICs, if some are to come later
        iommu       True: the guest has one, so vfio-pci works
        huge        False: the guest's memory is of this machine's huge pages
        root        "host", or "trixie": Debian 13 with DPDK 24.11
        shares      more folders that the guest sees where they are here, read-only
        drivers     "few": of DPDK's drivers, EAL loads those that there are devices for; or "all",
                    which takes an emulated machine half a minute
        qemu        more arguments for QEMU
        netns       QEMU's network namespace
        machine     QEMU's arguments for machine and memory, instead of the bench's
        append      more words for the kernel's command line
        emulator    "backports": the QEMU with vfio-user; or "stable": Debian 12's own, without
        trace       patterns of QEMU's trace events, which go to NAME.trace
        nic         more properties of the NICs, a dictionary
        """
        self.rig = rig
        self.name = name
        self.nics = list(nics)
        self.options = {"memory": 768, "hugepages": 128, "cpus": 1, "ports": len(self.nics),
                        "iommu": True, "huge": False, "root": "host", "shares": (), "qemu": (), "machine": (),
                        "drivers": "few", "netns": None, "emulator": "backports",
                        "append": "", "trace": (), "nic": {}}
        unknown = options.keys() - self.options.keys()
        assert not unknown, unknown
        self.options.update(options)
        self.parts = get_parts(*(["--trixie"] if self.options["root"] == "trixie" else []))
        self.process = self.agent = self.qmp = None

    # Arguments

    def list_shares(self):
        """(folder of this machine, where the guest sees it)"""
        paths = [ROOT, *[path for path in (self.rig.plugins, *self.options["shares"])
                         if not path.startswith(ROOT + "/")]]
        shares = [(path, path) for path in paths]
        if self.options["drivers"] == "few" and self.options["root"] == "host":
            shares.append(make_few_drivers())
        return shares

    def list_binds(self):
        """What QEMU sees of this machine."""
        root = "/" if self.options["root"] == "host" else self.parts["trixie"]
        shares = [f"{here}:/mnt/share{number}:ro"
                  for number, (here, _) in enumerate(self.list_shares())]
        return [f"{root}:/mnt/root:ro", f"{self.parts['modules']}:/mnt/modules:ro", *shares,
                f"{os.path.dirname(self.parts['kernel'])}:/mnt/kernel:ro",
                f"{os.path.dirname(self.parts['initramfs'])}:/mnt/parts:ro",
                f"{self.rig.logs}:/mnt/logs", f"{self.rig.folder}:{self.rig.folder}"]

    def kernel_args(self):
        shares = [f"nmx.share=modules:/lib/modules/{self.parts['release']}",
                  *[f"nmx.share=share{number}:{there}"
                    for number, (_, there) in enumerate(self.list_shares())]]
        words = ["console=ttyS0", "loglevel=4", "mitigations=off", "no_timer_check",
                 "default_hugepagesz=2M", f"hugepages={self.options['hugepages']}",
                 f"nmx.agent={ROOT}/tests/vm/agent.py", *shares]
        if self.options["iommu"]:
            words += ["intel_iommu=on"]
        return ["-kernel", f"/mnt/kernel/{os.path.basename(self.parts['kernel'])}",
                "-initrd", f"/mnt/parts/{os.path.basename(self.parts['initramfs'])}",
                "-append", " ".join([*words, self.options["append"]]).strip()]

    def machine_args(self):
        if self.options["machine"]:
            return list(self.options["machine"])
        memory = f"{self.options['memory']}M"
        huge = ",hugetlb=on,hugetlbsize=2M,prealloc=on" if self.options["huge"] else ""
        args = ["-machine", "q35,kernel-irqchip=split,memory-backend=ram0",
                "-accel", "tcg,thread=multi", "-cpu", "max",
                "-object", f"memory-backend-memfd,id=ram0,size={memory},share=on{huge}",
                "-m", memory, "-smp", str(self.options["cpus"]),
                "-nodefaults", "-no-user-config", "-display", "none"]
        if self.options["iommu"]:
            # Before the NICs, or they don't get it.
            args += ["-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48"]
        return args

    def device_args(self):
        args = ["-chardev", f"file,id=console,path=/mnt/logs/{self.name}.console",
                "-serial", "chardev:console",
                "-chardev", f"socket,id=agent,path={self.rig.path(self.name)}.agent",
                "-device", "virtio-serial-pci", "-device",
                "virtserialport,chardev=agent,name=nicmux",
                "-chardev", f"socket,id=qmp,path={self.rig.path(self.name)}.qmp",
                *QMP_ARGS[self.options["emulator"]]]
        for tag in ("root", "modules", *[f"share{i}" for i in range(len(self.list_shares()))]):
            args += ["-virtfs", f"local,path=/mnt/{tag},mount_tag={tag},security_model=none,"
                     "readonly=on,multidevs=remap"]
        for number in range(self.options["ports"]):
            args += ["-device", f"pcie-root-port,id=port{number},chassis={number + 1},"
                     f"slot={number + 1},addr={FIRST_PORT + number:#x}"]
        for number in range(len(self.nics)):
            args += ["-device", json.dumps({"driver": "vfio-user-pci", **self.nic_args(number)})]
        for pattern in self.options["trace"]:
            args += ["-trace", pattern]
        if self.options["trace"]:
            args += ["-D", f"/mnt/logs/{self.name}.trace"]
        return [*args, *self.options["qemu"]]

    def nic_args(self, number):
        return {"id": f"nic{number}", "bus": f"port{number}",
                "socket": {"type": "unix", "path": self.nics[number]}, **self.options["nic"]}

    # Life

    def power_on(self):
        """QEMU, and the guest up to its agent."""
        begin = time.monotonic()
        self.launch()
        self.wait_booted()
        self.boot_s = time.monotonic() - begin

    def launch(self):
        """QEMU, with its devices; the guest only begins to boot."""
        listeners = [self.listen(kind) for kind in ("agent", "qmp")]
        netns = ["ip", "netns", "exec", self.options["netns"]] if self.options["netns"] else []
        root = {"backports": self.parts["qemu"], "stable": "/"}[self.options["emulator"]]
        argv = [*netns, f"{ROOT}/devtools/in-root", root, *self.list_binds(), "--",
                "qemu-system-x86_64", *self.machine_args(), *self.device_args(),
                *self.kernel_args()]
        with open(f"{self.rig.logs}/{self.name}.qemu", "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            start_new_session=True)
        agent, qmp = [self.accept(listener) for listener in listeners]
        self.agent = Agent(agent, self.explain)
        self.qmp = Qmp(qmp, self.explain)

    def listen(self, kind):
        """For a connection of QEMU's."""
        path = f"{self.rig.path(self.name)}.{kind}"
        if os.path.exists(path):
            os.unlink(path)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(0.1)
        return listener

    def accept(self, listener):
        """QEMU's connection; it makes all of them as soon as it starts."""
        deadline = time.monotonic() + BOOT_S
        with listener:
            while True:
                try:
                    return listener.accept()[0]
                except socket.timeout:
                    pass
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise Failure(self.explain("QEMU didn't start"))

    def wait_booted(self, seconds=BOOT_S):
        self.agent.wait(lambda: self.agent.ready, "the guest's agent", seconds)

    def reset(self):
        """The reset button, and wait for the agent of the new boot."""
        self.agent.forget()
        self.qmp.command("system_reset")
        self.wait_booted()

    def reboot(self):
        """The guest resets its machine by itself, at once."""
        since = len(self.qmp.events)
        self.press_sysrq("b")
        self.qmp.wait_event("RESET", since)
        self.agent.forget()
        self.wait_booted()

    def panic(self):
        """The guest's kernel panics, and hangs."""
        self.press_sysrq("c")
        wait_until(lambda: "Kernel panic" in self.read_console(), "the guest to panic", 30)
        self.agent.forget()

    def press_sysrq(self, key):
        """There may be nobody left to answer."""
        data = base64.b64encode(key.encode()).decode()
        self.agent.tell(op="store", id=self.agent.next_number(), path="/proc/sysrq-trigger",
                        data=data)

    def kill(self):
        """kill -9 to QEMU, and gone."""
        if self.process is None:
            return
        self.process.kill()
        self.process.wait()
        if self.agent:
            self.agent.forget()
            self.agent.socket.close()
        if self.qmp:
            self.qmp.socket.close()
        self.process = None

    def quit(self, seconds=30):
        """QEMU ends by itself, as by its window's button; its exit code."""
        self.agent.forget()
        self.qmp.socket.sendall(b'{"execute": "quit"}\n')
        return self.process.wait(seconds)

    @property
    def pid(self):
        """QEMU's."""
        return self.process.pid

    # Words

    def read_log(self, kind):
        try:
            with open(f"{self.rig.logs}/{self.name}.{kind}", encoding="utf-8",
                      errors="replace") as file:
                return file.read().replace("\r", "")
        except FileNotFoundError:
            return ""

    def read_console(self):
        return self.read_log("console")

    def read_trace(self):
        return self.read_log("trace")

    def explain(self, what):
        """A failure's message."""
        state = self.process.poll() if self.process else "killed"
        state = "" if state is None else f" (QEMU has ended: {state})"
        ends = [f"-- {kind} of {self.name}\n" + "\n".join(self.read_log(kind).splitlines()[-25:])
                for kind in ("console", "qemu")]
        return "\n".join([f"{self.name}: {what}{state}", *ends])

    # Programs in the guest

    def run(self, command, timeout=60, check=True, cwd=None, environment=None):
        """A command to its end: text for a shell, or a list. What it said, and its exit code."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else list(map(str, command))
        result = guest.run(self.agent, argv, timeout, cwd, environment)
        if check and result.status != 0:
            raise Failure(f"{self.name}: {command}: {result}")
        return result

    def spawn(self, argv, cwd=None, environment=None):
        return GuestProcess(self.agent, argv, cwd, environment or {})

    def start(self, argv, name=None, cwd=None, environment=None):
        """A program on a terminal of the guest's."""
        name = name or os.path.basename(argv[0])
        return self.rig.add(Program(argv, self.rig.log(f"{self.name}-{name}"), cwd, environment,
                                    start=self.spawn))

    def testpmd(self, eal=(), args=(), bare=False, ready=120, environment=None):
        """
        Stock testpmd, its main lcore at the prompt and another that works; bare: with the caller's
        arguments only.
        """
        if not bare:
            eal = ["--lcores", f"1@0,2@{self.options['cpus'] - 1}", "--no-telemetry", *eal]
            args = ["--total-num-mbufs=8192", *args]
        return self.rig.add(Testpmd(eal, args, self.rig.log(f"{self.name}-testpmd"), ready,
                                    environment, start=self.spawn))

    def read(self, path):
        """A file of the guest's, as text."""
        return self.agent.read_file(path).decode()

    def write(self, path, text):
        self.agent.store_file(path, text.encode())

    def list(self, path):
        return self.agent.list_folder(path)

    # NICs

    def find_nic(self, number=0):
        """PCI address of the device behind a root port, None if there is none."""
        port = f"/sys/bus/pci/devices/0000:00:{FIRST_PORT + number:02x}.0"
        found = [name for name in self.list(port) if name.startswith("0000:") and
                 name.endswith(".0")]
        return found[0] if found else None

    def wait_nic(self, number=0, present=True, seconds=60):
        """Until it has come or gone for drivers and programs; its PCI address."""
        def is_present():
            address = self.find_nic(number)
            # Its folder is there before its registers have addresses, and those files come last.
            devices = "/sys/bus/pci/devices"
            return bool(address) and address in self.list(devices) and \
                "resource0" in self.list(f"{devices}/{address}")

        def is_as_wanted():
            try:
                return is_present() if present else self.find_nic(number) is None
            except OSError:
                return False  # it comes or goes just now
        wait_until(is_as_wanted, f"nic {number} to {'come' if present else 'go'}", seconds)
        return self.find_nic(number)

    def bind(self, driver="vfio-pci", number=0):
        """Give a NIC to a driver, as dpdk-devbind.py does, only quicker; its PCI address."""
        address = self.find_nic(number)
        device = f"/sys/bus/pci/devices/{address}"
        modules = [driver, "vfio_iommu_type1"] if driver == "vfio-pci" else [driver]
        self.run(["modprobe", "-a", *modules])
        if "driver" in self.list(device):
            self.write(f"{device}/driver/unbind", address)
        self.write(f"{device}/driver_override", driver)
        self.write("/sys/bus/pci/drivers_probe", address)
        bound = os.path.basename(self.run(["readlink", f"{device}/driver"]).said.strip())
        assert bound == driver, bound
        return address

    def add_nic(self, number=0):
        """Plug it in; the guest finds it later."""
        self.qmp.command("device_add", driver="vfio-user-pci", **self.nic_args(number))

    def remove_nic(self, number=0, seconds=60):
        """Ask the guest to let it go, and wait until QEMU has."""
        since = len(self.qmp.events)
        self.qmp.command("device_del", id=f"nic{number}")
        self.qmp.wait_event("DEVICE_DELETED", since, seconds, device=f"nic{number}")

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        """QEMU is stopped as a whole."""
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)
