# SPDX-License-Identifier: BSD-3-Clause
"""docs/virtual-machines.md is true: what it tells to do is done, in its order."""

import json
import os
import re
import shlex
import subprocess
import xml.etree.ElementTree as xml

import pytest

from mux import BINARY, Mux, mac
from rig import ROOT

DOCUMENT = f"{ROOT}/docs/virtual-machines.md"
PATH = "/run/nicmux/vm0.sock"
# All of it: a further block is to get a test.
LANGUAGES = ["json", "sh host", "xml", "sh host", "sh guest", "sh guest"]


def read_blocks(kind=None):
    with open(DOCUMENT, encoding="utf-8") as file:
        blocks = re.findall(r"^```(.+)\n((?:(?!```).*\n)*)```$", file.read(), re.M)
    assert [language for language, _ in blocks] == LANGUAGES
    return [text for language, text in blocks if language == kind]


def read_commands(text):
    """Command lines of a block of shell, as words."""
    return [shlex.split(line) for line in text.replace("\\\n", " ").splitlines()]


def read_qemu_options(rig):
    """QEMU's line as pairs, with this machine's processor instead of KVM's, and no disk."""
    argv = read_commands(read_blocks("sh host")[0])[0]
    assert argv[0] == "qemu-system-x86_64" and argv[-2] == "-drive"
    changes = {"accel=kvm": "accel=tcg", PATH: rig.path("vm0")}
    options = []
    for option, value in zip(argv[1:-2:2], argv[2:-2:2]):
        for old, new in changes.items():
            value = value.replace(old, new)
        options.append((option, "max" if (option, value) == ("-cpu", "host") else value))
    return options


def read_huge_backend():
    with open(DOCUMENT, encoding="utf-8") as file:
        return re.search(r"`-object (memory-backend-memfd,\S*hugetlb\S*)`", file.read()).group(1)


def read_libvirt_options(rig):
    root = xml.fromstring(read_blocks("xml")[0])
    space = "{http://libvirt.org/schemas/domain/qemu/1.0}"
    words = [arg.get("value").replace(PATH, rig.path("vm0")) for arg in root.iter(f"{space}arg")]
    return list(zip(words[::2], words[1::2]))


def boot(rig, options, **bench):
    words = [word for pair in options for word in pair]
    return rig.vm(machine=[*words, "-nodefaults", "-no-user-config", "-display", "none"],
                  hugepages=0, **bench)


def find_device(vm):
    """The document's address is this machine's, or what it tells to look for."""
    said = vm.run(["dpdk-devbind.py", "--status"], timeout=120).said
    return re.search(r"(0000:\S+) .*10f8", said).group(1)


def do_as_guest(rig, vm, block):
    """A block of the guest's, to its last line: a program that runs until a key is pressed."""
    address = find_device(vm)
    text = block.replace("0000:01:00.0", address)
    text = text.replace("librte_net_vdpdk.so", f"{rig.plugins}/librte_net_vdpdk.so")
    *lines, last = text.strip().splitlines()
    for line in lines:
        vm.run(line, timeout=120)
    program = vm.start(shlex.split(last))
    program.expect("Press enter to exit", 120)
    return program


@pytest.fixture
def mux(rig):
    """nicmuxd with the guest of the document, and a container as its peer."""
    guest = json.loads(read_blocks("json")[0])["guests"][0]
    assert guest["path"] == PATH
    return Mux(rig, [{**guest, "path": rig.path("vm0"), "owner": ":root"},
                     {"name": "peer", "macs": [mac(7)]}])


def check_traffic(rig, mux):
    """The guest's macswap answers a stream."""
    stream = rig.tnic(window=16, frames=2000, sizes="60-1500", src=mac(7),
                      dst=mux.guests["vm0"]["macs"][0], macs="swapped")
    peer = rig.testpmd("guest", [mux.vdev("peer", 0), stream])
    mux.wait_linked("peer", "vm0")
    peer.command("start")
    rig.check_stream()


def test_configuration_is_accepted(rig):
    text = read_blocks("json")[0].replace("/run/nicmux", rig.folder).replace(":kvm", ":root")
    with open(rig.path("document.json"), "w", encoding="ascii") as file:
        file.write(text)
    subprocess.run([BINARY, "-c", rig.path("document.json"), "--test"], check=True)


def test_line_of_qemu_and_commands_of_the_guest(rig, mux):
    vm = boot(rig, read_qemu_options(rig))
    program = do_as_guest(rig, vm, read_blocks("sh guest")[0])
    check_traffic(rig, mux)
    program.send("")
    assert program.wait(60) == 0


@pytest.mark.skipif(os.environ.get("NMX_NO_HUGE") == "1", reason="no huge pages here")
def test_arguments_for_libvirt_with_huge_pages_and_without_an_iommu(rig, mux):
    """What is left, in one machine; it is smaller than the document's, as this one is."""
    options = []
    for option, value in read_qemu_options(rig):
        if value.startswith("memory-backend-memfd"):
            value = read_huge_backend()
        if "port0" not in value and "intel-iommu" not in value:
            options.append((option, value.replace("2G", "1G")))
    vm = boot(rig, [*options, *read_libvirt_options(rig)], iommu=False)
    vm.run("echo 224 > /proc/sys/vm/nr_hugepages")
    program = do_as_guest(rig, vm, read_blocks("sh guest")[1])
    mux.wait_linked("vm0")
    program.send("")
    assert program.wait(60) == 0


def test_huge_pages_are_reserved_where_the_document_says():
    """The number is this machine's own."""
    command, = read_commands(read_blocks("sh host")[1])
    assert command[0] == "echo" and command[2] == ">"
    with open(command[3], encoding="ascii") as file:
        now = file.read().strip()
    subprocess.run(f"echo {now} > {command[3]}", shell=True, check=True)
