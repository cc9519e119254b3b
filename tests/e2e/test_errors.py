# SPDX-License-Identifier: BSD-3-Clause
"""Errors of use: one clear sentence, and no port."""

import os
import resource
import socket
import subprocess

import pytest

from rig import ROOT
from fake_host import FakeHost


def try_probe(rig, plugin, devargs, eal=()):
    """Start testpmd with one vdev that can't work; what was said, and whether there is a port."""
    name = f"net_{plugin}0"
    program = rig.testpmd("try", [], eal=[*rig.plugin(plugin), *eal])
    answer = program.command(f"port attach {name},{devargs}")
    ports = program.command("show port summary all")
    program.quit()
    return answer, name in ports


def check_refusal(rig, plugin, devargs, words):
    answer, has_port = try_probe(rig, plugin, devargs)
    ours = [line for line in answer.splitlines() if line.startswith(f"net_{plugin}: ")]
    assert len(ours) == 1, answer
    for word in words:
        assert word in ours[0]
    assert not has_port


@pytest.mark.parametrize("plugin", ["vdpdk", "vdpdk_host"])
@pytest.mark.parametrize("devargs,words", [
    ("queues=1", ["path= is missing"]),
    ("path=", ["path= is missing"]),
    ("path=/run/x,queues=0", ["queues=0", "1 to 64"]),
    ("path=/run/x,queues=65", ["queues=65", "1 to 64"]),
    ("path=/run/x,queues=-1", ["queues=-1", "1 to 64"]),
    ("path=/run/x,queues=two", ["queues=two", "1 to 64"]),
    ("path=/run/x,mac=ff:ff:ff:ff:ff:ff", ["mac=ff:ff", "unicast"]),
    ("path=/run/x,mac=00:00:00:00:00:00", ["unicast"]),
    ("path=/run/x,colour=blue", ["colour", "known are path="]),
])
def test_bad_devargs(rig, plugin, devargs, words):
    check_refusal(rig, plugin, devargs, words)


@pytest.mark.parametrize("plugin", ["vdpdk", "vdpdk_host"])
def test_path_too_long_for_a_socket(rig, plugin):
    check_refusal(rig, plugin, "path=/run/" + "x" * 103, ["107 bytes", "shorter"])


def test_path_of_107_bytes_is_not_too_long(rig):
    path = rig.path("y" * (107 - len(rig.path(""))))
    assert len(path) == 107
    program = rig.testpmd("host", [f"net_vdpdk_host0,path={path}"])
    assert os.path.exists(path)
    program.quit()
    assert not os.path.exists(path)


def test_folder_that_is_not_there(rig):
    check_refusal(rig, "vdpdk_host", f"path={rig.path('no/such')}", ["folder", "create it"])


def test_live_socket_in_place(rig):
    live = socket.socket(socket.AF_UNIX)
    live.bind(rig.path("g0"))
    live.listen()
    check_refusal(rig, "vdpdk_host", f"path={rig.path('g0')}", ["another process listens"])
    assert os.path.exists(rig.path("g0"))


def test_second_host_at_one_path(rig):
    host = rig.host()
    check_refusal(rig, "vdpdk_host", f"path={rig.path('g0')}", ["another process listens"])
    rig.light_guest()
    assert host.xstats(0)["guest_sessions"] >= 1


def test_stale_socket_is_replaced(rig):
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(rig.path("g0"))
    stale.close()
    rig.host()
    rig.light_guest()


@pytest.mark.parametrize("target", ["missing", "file", "socket"])
def test_symbolic_link_in_place(rig, target):
    if target == "file":
        open(rig.path("target"), "w").close()
    if target == "socket":
        socket.socket(socket.AF_UNIX).bind(rig.path("target"))
    os.symlink(rig.path("target"), rig.path("g0"))
    check_refusal(rig, "vdpdk_host", f"path={rig.path('g0')}", ["symbolic link"])
    assert os.path.islink(rig.path("g0"))
    assert os.path.exists(rig.path("target")) == (target != "missing")


def test_file_in_place(rig):
    with open(rig.path("g0"), "w") as file:
        file.write("precious")
    check_refusal(rig, "vdpdk_host", f"path={rig.path('g0')}", ["no socket is there"])
    with open(rig.path("g0")) as file:
        assert file.read() == "precious"


def test_nobody_listens_at_the_first_attach(rig):
    check_refusal(rig, "vdpdk", f"path={rig.path('none')}", ["start the host first"])
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(rig.path("g0"))
    stale.close()
    check_refusal(rig, "vdpdk", f"path={rig.path('g0')}", ["nobody listens"])


def test_more_queues_than_the_host_grants(rig):
    rig.host(queues=2)
    check_refusal(rig, "vdpdk", f"path={rig.path('g0')},queues=3", ["fewer queues"])
    answer, has_port = try_probe(rig, "vdpdk", f"path={rig.path('g0')},queues=2")
    assert has_port, answer


def test_second_guest_of_one_host(rig):
    rig.host()
    rig.light_guest()
    check_refusal(rig, "vdpdk", f"path={rig.path('g0')}", ["serves somebody else"])


def test_host_in_the_same_process(rig):
    """Guest and host would wait for each other's locks."""
    program = rig.testpmd("try", [f"net_vdpdk_host0,path={rig.path('g0')}"],
                          eal=rig.plugin("vdpdk"))
    answer = program.command(f"port attach net_vdpdk0,path={rig.path('g0')}")
    assert "this very process" in answer
    assert "net_vdpdk0" not in program.command("show port summary all")


def serve_once(path, answers):
    """A server of another kind: answers with given bytes, then keeps silent."""
    code = f"""
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind({path!r}); s.listen()
print('ready', flush=True)
c, _ = s.accept()
for answer in {answers!r}:
    c.recv(65536); c.sendall(answer)
time.sleep(60)
"""
    process = subprocess.Popen(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process


@pytest.mark.parametrize("answers,words", [
    ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], ["doesn't speak vfio-user"]),
    ([b"\0\0\1\0\x14\0\0\0\1\0\0\0\0\0\0\0\1\0\0\0"], ["doesn't speak vfio-user"]),
])
def test_server_of_another_kind(rig, answers, words):
    process = serve_once(rig.path("g0"), answers)
    try:
        check_refusal(rig, "vdpdk", f"path={rig.path('g0')}", words)
    finally:
        process.kill()
        process.wait()


def test_memory_beyond_the_hosts_limit(rig):
    rig.host(devargs=",mem_max=4M")
    check_refusal(rig, "vdpdk", f"path={rig.path('g0')}", ["so much memory", "mem_max="])


def test_memory_that_ends(rig):
    """Port after port until EAL has no more: the last one says so, those before live."""
    program = rig.testpmd("try", [], args=["--mbuf-size=300", "--total-num-mbufs=1200"],
                          eal=[*rig.plugin("vdpdk_host"), "--no-huge", "-m", "9"], tiny=True)
    for i in range(32):
        answer = program.command(f"port attach net_vdpdk_host{i},path={rig.path(f'g{i}')},queues=64")
        if "Port %d is attached" % i not in answer:
            break
    assert "no memory; give EAL more" in answer
    assert not os.path.exists(rig.path(f"g{i}"))
    assert program.command("show port summary all").count("net_vdpdk_host") == 2 * i > 0
    program.quit()


def test_descriptors_that_end(rig):
    program = rig.testpmd("try", [], eal=rig.plugin("vdpdk_host"))
    used = program.count_fds()
    resource.prlimit(program.pid, resource.RLIMIT_NOFILE, (used + 30, used + 30))
    answer = program.command(f"port attach net_vdpdk_host0,path={rig.path('g0')},queues=64")
    assert "no more file descriptors" in answer
    assert program.count_fds() == used
    answer = program.command(f"port attach net_vdpdk_host0,path={rig.path('g0')},queues=4")
    assert "Port 0 is attached" in answer
    program.quit()


@pytest.mark.parametrize("fault,words", [
    ({"abi": 2 << 16}, ["another ABI"]),
    ({"magic": 0x12345678}, ["another ABI"]),
    ({"class": 0x010802}, ["no vDPDK device"]),
    ({"status": 0}, ["breaks the protocol"]),
    ({"silent": True}, ["doesn't speak vfio-user"]),
])
def test_device_that_is_another(rig, fault, words):
    host = FakeHost(rig.path("g0"), **fault)
    try:
        check_refusal(rig, "vdpdk", f"path={rig.path('g0')}", words)
    finally:
        host.stop()


def test_our_programs_end_with_an_error_code(rig):
    guest = os.path.join(ROOT, "build/bin/nmx-test-guest")
    waiter = os.path.join(ROOT, "build/bin/nmx-rxwait")
    assert subprocess.run([guest], capture_output=True).returncode != 0
    assert subprocess.run([guest, rig.path("none")], capture_output=True).returncode != 0
    program = rig.program("rxwait", [waiter, *rig.eal("try", []), "--", "1"])
    assert program.wait() != 0
