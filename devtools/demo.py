#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (c) 2026 nicmux contributors
"""
Shows two stock DPDK programs that share a vDPDK device, that it is quick, and nicmuxd with two guests
on one uplink. No special hardware; under a minute; ends by itself.

    devtools/demo.py           as root, after `make build`; `make demo` does both
    devtools/demo.py --clean   remove what a killed run left

Exit code 0 only if every step worked.

Writes outside the checkout, and removes at its end, on Ctrl-C and SIGTERM too: the namespace
nmx-demo with the interface nmx-tap0, /run/nmx-demo, /run/dpdk/nmx-demo-*, hugepage files nmx-demo-*
and, where they have to be made first, /run/netns, /run/dpdk, reserved hugepages
(devtools/hugepages) and a copy of the plugins (devtools/plugin-dir). Logs: build/demo/.
"""

import dataclasses
import os
import re
import shutil
import subprocess
import sys
import textwrap
import time

# The other parts of the demo stand beside it; leave no byte code of them in the checkout.
sys.dont_write_bytecode = True

from demo_mux import Nicmuxd  # noqa: E402
from demo_sandbox import (NETNS, ROOT, RUN, TAP, Failure, Interrupted,  # noqa: E402
                          Interrupts, Sandbox, plugin_copies)
from demo_testpmd import Testpmd, pick_cpus  # noqa: E402

SOCKET = f"{RUN}/vdpdk.sock"
LOGS = "build/demo"
KERNEL_ADDRESS, GUEST_ADDRESS = "10.64.0.1", "10.64.0.2"
MUX_ADDRESSES = {"a": "10.64.0.10", "b": "10.64.0.11"}
FLOW_S, FLOW_BURSTS = 3, 4
N_PINGS = 10
N_LOG_LINES = 16
N_HUGEPAGES = 256  # of 2 MiB, for both programs

SIZES_BYTES = (64, 1514)
# Seconds for each size: the path itself, and the same with a source that touches each byte.
PVP_S, PAYLOAD_S = 5, 3
WIRE_EXTRA_BYTES = 24  # checksum 4, preamble 8, gap 12
TEN_GBIT = 10e9

PING_PICTURE = """
  kernel       host: testpmd io                  guest: testpmd icmpecho
  [ ping ] <-> [ net_tap0, net_vdpdk_host0 ] <-> [ net_vdpdk0 ]
                                       vDPDK device
"""
MUX_PICTURE = r"""
  guest a: testpmd [ net_vdpdk0 ] <--\
                                      nicmuxd [ net_tap0 ] <-> [ ping ] kernel
  guest b: testpmd [ net_vdpdk0 ] <--/
"""
PVP_PATH = "null -> host -> guest -> host -> null"


def bold(text):
    """For a terminal that may get it."""
    plain = "NO_COLOR" in os.environ or os.environ.get("TERM") == "dumb"
    return text if plain or not sys.stdout.isatty() else f"\033[1m{text}\033[0m"


def say(text=""):
    """A line, at once. If nobody reads it any more the demo runs on, to leave nothing behind."""
    try:
        print(text, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@dataclasses.dataclass
class Rate:
    """Frames of one size that came out of the host's net_null port."""

    size_bytes: int
    frames_per_s: float

    @property
    def mpps(self):
        return self.frames_per_s / 1e6

    @property
    def wire_gbit(self):
        return self.frames_per_s * (self.size_bytes + WIRE_EXTRA_BYTES) * 8 / 1e9


class Demo:
    """Both parts, and what they share."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.host_cpu, self.guest_cpu = pick_cpus()
        self.memory = []
        self.plugins = ""
        self.running = []
        self.logs = []  # of the present step

    def prepare(self):
        """Hugepages, plugins, log folder."""
        sandbox = self.sandbox
        shutil.rmtree(f"{ROOT}/{LOGS}", ignore_errors=True)
        os.makedirs(f"{ROOT}/{LOGS}")
        sandbox.note_new_folders("/run/netns", "/run/dpdk")
        if not os.path.exists("/run/nmx-hugepages"):
            sandbox.note("hugepages", "reserved")
        code, said = sandbox.run("devtools/hugepages", str(N_HUGEPAGES))
        if code != 0:
            self.memory = ["--no-huge", "-m", "512"]
            said += "; so the figures are lower than they could be"
            say(textwrap.fill(said, 78, initial_indent="  ", subsequent_indent="  ") + "\n")
        for path in plugin_copies():
            if not os.path.exists(path):
                sandbox.note("plugins", path)
        self.plugins = sandbox.must("the plugins can't be had", "devtools/plugin-dir",
                                    "build/plugins")

    def start(self, step, name, plugin, vdevs, mode, **options):
        """One testpmd with its ports there. @return (Testpmd, Port of each name)"""
        eal = [*self.memory, "-d", f"{self.plugins}/{plugin}"]
        for vdev in vdevs:
            eal += ["--vdev", vdev]
        cpu = self.host_cpu if name == "host" else self.guest_cpu
        self.logs.append(f"{LOGS}/{step}-{name}.log")
        program = Testpmd(self.sandbox, name, eal, mode, cpu=cpu, log=self.logs[-1], **options)
        self.running.append(program)
        names = [vdev.split(",")[0] for vdev in vdevs]
        return program, program.check_ports({name: name.rstrip("0123456789") for name in names})

    def start_host(self, step, vdev, **options):
        return self.start(step, "host", "librte_net_vdpdk_host.so",
                          [vdev, f"net_vdpdk_host0,path={SOCKET}"], "io", **options)

    def start_guest(self, step, mode):
        return self.start(step, "guest", "librte_net_vdpdk.so",
                          [f"net_vdpdk0,path={SOCKET}"], mode)

    def stop(self):
        """Guests first: they would miss their host."""
        while self.running:
            self.running[-1].quit()
            self.running.pop()
        self.logs.clear()

    def ping(self):
        """Part 1: does a frame get through?"""
        say(bold("Part 1 of 3: does a packet get through?"))
        say(PING_PICTURE)
        must = self.sandbox.must
        must("no network namespace can be made; the demo needs a kernel and rights that allow it",
             "ip", "netns", "add", NETNS)
        say(f"  host: forwards between its two ports; the kernel's end of net_tap0 is {TAP}")
        say("  guest: answers pings; here it is a process, as in a container\n")
        say(f"  namespace {NETNS}: a network of its own, nothing of yours is touched")
        host, _ = self.start_host("ping", f"net_tap0,iface={TAP}",
                                  wrapper=("ip", "netns", "exec", NETNS))
        say("  host: started, ports net_tap0 and net_vdpdk_host0 are there")
        guest, ports = self.start_guest("ping", "icmpecho")
        mac = ports["net_vdpdk0"].mac.lower()
        say(f"  guest: started, port net_vdpdk0 is there, MAC address {mac}")

        why = f"the interface {TAP} can't be set up"
        must(why, "ip", "-n", NETNS, "address", "add", f"{KERNEL_ADDRESS}/24", "dev", TAP)
        must(why, "ip", "-n", NETNS, "link", "set", TAP, "up")
        # icmpecho answers any ARP request, so nothing would be proved by asking.
        must(why, "ip", "-n", NETNS, "neighbour", "replace", GUEST_ADDRESS, "lladdr", mac,
             "nud", "permanent", "dev", TAP)
        # What comes for a guest that does not run yet is dropped: the guest goes first.
        guest.command("start")
        host.command("start")
        self.run_ping(GUEST_ADDRESS)
        self.stop()
        say(f"  passed: the guest answered all {N_PINGS} packets of the kernel\n")

    def run_ping(self, address):
        argv = ["ping", "-n", "-c", str(N_PINGS), "-i", "0.2", "-W", "2", address]
        say(f"\n  $ {' '.join(argv)}")
        child = self.sandbox.spawn(["ip", "netns", "exec", NETNS, *argv], stdout=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, stderr=subprocess.STDOUT, text=True)
        said = ""
        for line in child.stdout:
            said += line
            say(f"  | {line.rstrip()}")
        if child.wait() != 0 or not re.search(rf"\b{N_PINGS} received, 0% packet loss", said):
            for program in self.running:
                if isinstance(program, Testpmd):
                    program.command("show port stats all")
            raise Failure("packets to the guest were lost (the statistics of ping and of the ports"
                          f" stand above); see {LOGS}/")

    def measure(self, step, size_bytes, seconds, copy):
        """@return Rate over all seconds"""
        host, ports = self.start_host(step, f"net_null0,size={size_bytes},copy={copy}")
        guest, _ = self.start_guest(step, "macswap")
        guest.command("start")
        host.command("start")
        first = last = host.count(ports["net_null0"])
        for second in range(1, seconds + 1):
            time.sleep(max(0, first.time_s + second - time.monotonic()))
            guest.check_running()
            now = host.count(ports["net_null0"])
            mpps = (now.n_out - last.n_out) / (now.time_s - last.time_s) / 1e6
            last = now
            say(f"  {size_bytes:4} bytes, second {second} of {seconds}: {mpps:6.2f} Mpps")
        if last.n_out == first.n_out:
            raise Failure(f"no frame of {size_bytes} bytes came back from the guest; see {LOGS}/")
        self.stop()
        return Rate(size_bytes, (last.n_out - first.n_out) / (last.time_s - first.time_s))

    def pvp(self):
        """Part 2: how fast is it?"""
        say(bold("Part 2 of 3: how many packets a second?"))
        say(f"\n    {PVP_PATH}\n")
        say("  null: a port that makes and takes frames as fast as it is asked to; no NIC")
        say("  host: testpmd, io; forwards between null and the vDPDK device")
        say("  guest: testpmd, macswap; swaps the addresses of each frame and sends it back\n")
        plain = [self.measure(f"pvp-{size}", size, PVP_S, copy=0) for size in SIZES_BYTES]
        say("\n  The same, with a null that writes and reads every byte of each frame:\n")
        touched = [self.measure(f"pay-{size}", size, PAYLOAD_S, copy=1) for size in SIZES_BYTES]
        self.say_table(plain, touched)

    def say_table(self, plain, touched):
        best = plain[0]
        full = TEN_GBIT / 8 / (best.size_bytes + WIRE_EXTRA_BYTES)
        cpus = sorted({self.host_cpu, self.guest_cpu})
        share = "one CPU, taking turns" if len(cpus) == 1 else "2 CPUs, one each"
        pages = "\n  Huge pages would make it faster." if self.memory else ""
        say(f"\n{bold(f'  Frames that came through {PVP_PATH}')}\n")
        say(f"  {'':10}  {'null touches no payload':>26}  {'null touches every byte':>26}")
        say(f"  {'frame size':10}" + f"  {'Mpps':>10}{'Gbit/s on wire':>16}" * 2)
        say("  " + "-" * 66)
        for rates in zip(plain, touched):
            say(f"  {rates[0].size_bytes:4} bytes" + "".join(
                f"  {rate.mpps:10.2f}{rate.wire_gbit:16.1f}" for rate in rates))
        say(f"""
  Mpps     million frames a second that left by the host's null port. Each was
           in the guest and back: twice through the vDPDK device.
  Gbit/s   what they would fill of a cable, with checksum, preamble and gap.
           A 10 Gbit/s port is full at {full / 1e6:.1f} Mpps of {best.size_bytes} bytes:\
 {best.mpps:.1f} Mpps
           are {best.frames_per_s / full:.1f} such ports, and a frame every\
 {1e9 / best.frames_per_s:.0f} ns.

  Judge with care: both programs share {share} (of {os.cpu_count()} here), with all
  else that runs. There is no NIC: this is the software path only. A null that
  touches no payload flatters; the right half is nearer to real traffic.{pages}
""")


    def mux(self):
        """Part 3: one uplink, two guests."""
        say(bold("Part 3 of 3: nicmuxd, one uplink shared by two guests"))
        say(MUX_PICTURE)
        self.logs.append(f"{LOGS}/nicmuxd.log")
        mux = Nicmuxd(self.sandbox, list(MUX_ADDRESSES), cpu=self.host_cpu, memory=self.memory,
                      log=self.logs[-1], wrapper=("ip", "netns", "exec", NETNS))
        self.running.append(mux)
        say(f"  nicmuxd: started; the kernel's end of its uplink is {TAP}")
        guests = {}
        for name, path in mux.paths.items():
            guests[name], _ = self.start("mux", f"guest-{name}", "librte_net_vdpdk.so",
                                         [f"net_vdpdk0,path={path}"], "icmpecho")
            guests[name].command("start")
            say(f"  guest {name}: started, answers pings, MAC address {mux.macs[name]}")
        must, why = self.sandbox.must, f"the interface {TAP} can't be set up"
        must(why, "ip", "-n", NETNS, "address", "add", f"{KERNEL_ADDRESS}/24", "dev", TAP)
        must(why, "ip", "-n", NETNS, "link", "set", TAP, "up")
        for name, address in MUX_ADDRESSES.items():
            must(why, "ip", "-n", NETNS, "neighbour", "replace", address, "lladdr",
                 mux.macs[name], "nud", "permanent", "dev", TAP)
            self.run_ping(address)
        for name in reversed(list(guests)):
            guests[name].quit()
            self.running.remove(guests[name])
        self.flow(mux)
        self.say_counters(mux)
        self.stop()
        say("  passed: both guests answered the kernel, and each the other\n")

    def flow(self, mux):
        """Frames that go round between guest a and guest b, 64 bytes."""
        def count():
            return (time.monotonic(),
                    sum(mux.ask_guest(name)["to_guest_frames"] for name in mux.paths))

        vdevs = [f"net_vdpdk{number},path={path}"
                 for number, path in enumerate(mux.paths.values())]
        # What comes in by the one port leaves by the other, for the first again.
        peers = [f"--eth-peer=0,{mux.macs['b']}", f"--eth-peer=1,{mux.macs['a']}"]
        guest, _ = self.start("mux", "guest", "librte_net_vdpdk.so", vdevs, "mac", more=peers)
        guest.command(f"start tx_first {FLOW_BURSTS}")
        say(f"\n  Both guests in one program now; {2 * 32 * FLOW_BURSTS} frames of 64 bytes go round"
            " between them:\n")
        begin = last = count()
        for second in range(1, FLOW_S + 1):
            time.sleep(max(0, begin[0] + second - time.monotonic()))
            now = count()
            mpps = (now[1] - last[1]) / (now[0] - last[0]) / 1e6
            say(f"  second {second} of {FLOW_S}: {mpps:6.2f} Mpps from memory to memory, one copy")
            last = now
        guest.command("stop")
        if last[1] == begin[1]:
            raise Failure(f"no frame came from guest to guest; see {LOGS}/")

    def say_counters(self, mux):
        """What an operator reads."""
        say("\n  What nicmuxd counted (dpdk-telemetry.py, /nicmux/guest,NAME; frames):\n")
        say(f"  {'':8}{'from it':>14}{'to it':>14}   dropped, by reason")
        say("  " + "-" * 72)
        rows = {f"guest {name}": (mux.ask_guest(name), "guest") for name in mux.paths}
        rows["uplink"] = (mux.ask_uplink(), "uplink")
        for name, (counters, kind) in rows.items():
            drops = ", ".join(f"{value} {key.replace('_drop_', ' ').replace('_', ' ')}"
                              for key, value in counters.items() if "_drop_" in key and value)
            say(f"  {name:8}{counters[f'from_{kind}_frames']:14}"
                f"{counters[f'to_{kind}_frames']:14}   {drops or 'none'}")
        say()


def check_root():
    if os.geteuid() != 0:
        raise Failure("only root may make network namespaces and TAP interfaces; run it as root,"
                      " for example by sudo")


def check_machine():
    """What the packages and the kernel have to give."""
    for program, package in (("dpdk-testpmd", "dpdk-dev"), ("ip", "iproute2"),
                             ("ping", "iputils-ping")):
        if not shutil.which(program):
            raise Failure(f"{program} isn't installed; install the package {package}")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        raise Failure(f"no TAP interface can be made: {error}; load the kernel's module tun, or let"
                      " this container use that device") from None


def say_ends(logs):
    """What the programs said last before it failed."""
    for path in logs:
        with open(path, encoding="utf-8", errors="replace") as log:
            lines = [line.rstrip() for line in log.read().replace("\r", "").split("\n")]
        say(f"\n  end of {path}:")
        for line in [line for line in lines if line][-N_LOG_LINES:]:
            say(f"  | {line}")


def clean(sandbox):
    check_root()
    removed = sandbox.open()
    for path in filter(os.path.exists, plugin_copies()):
        sandbox.note("plugins", path)
        removed.append(path)
    say(f"demo: removed {', '.join(removed)}" if removed else "demo: a killed run left nothing")


def demonstrate(sandbox):
    check_root()
    check_machine()
    removed = sandbox.open()
    demo = Demo(sandbox)
    say(bold("nicmux demo") + ": a stock DPDK program gets its network card from another one.")
    say("It needs no special hardware, takes under a minute, and ends by itself.\n")
    if removed:
        say(f"  removed what a killed run left: {', '.join(removed)}\n")
    try:
        demo.prepare()
        demo.ping()
        demo.pvp()
        demo.mux()
    except Failure:
        say_ends(demo.logs)
        raise


def attempt(action, *arguments):
    """@return whether it worked; a Failure is told"""
    try:
        action(*arguments)
    except (Failure, OSError) as error:
        say()
        say(bold(f"demo: FAILED: {error}"))
        return False
    return True


def main():
    if sys.argv[1:] in (["-h"], ["--help"]):
        sys.exit(print(__doc__.strip()))
    if sys.argv[1:] not in ([], ["--clean"]):
        sys.exit("demo: unknown option; say nothing, --clean or --help")
    os.chdir(ROOT)
    begin = time.monotonic()
    interrupts = Interrupts()
    sandbox = Sandbox(interrupts)
    worked = False
    try:
        try:
            worked = attempt(clean if sys.argv[1:] else demonstrate, sandbox)
        finally:
            interrupts.ignore()
    except Interrupted:
        say("\ndemo: interrupted, cleaning up")
    if not attempt(sandbox.close):
        say("demo: something is left behind; mend that and run make clean-demo")
        worked = False
    if interrupts.signal_number:
        sys.exit(128 + interrupts.signal_number)
    if worked and not sys.argv[1:]:
        say(f"Done in {time.monotonic() - begin:.0f} s. Nothing is left behind;"
            f" what the programs said is in {LOGS}/.")
    sys.exit(0 if worked else 1)


if __name__ == "__main__":
    main()
