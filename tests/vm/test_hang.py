# SPDX-License-Identifier: BSD-3-Clause
"""QEMU stops its guest while it waits for an answer, so each is there within a second."""

import re
from datetime import datetime

from dpdk import start_testpmd, start_vm
from process import wait_until
from scene import hold_thread

LIMIT_S = 1.0
EVENTS = ["vfio_user_send_write", "vfio_user_recv_hdr"]


def read_waits(vm):
    """Seconds from each message to its answer, as QEMU saw it."""
    sent, waits = {}, []
    for line in vm.read_trace().splitlines():
        match = re.match(r"(\S+Z) vfio_user_(send_write|recv_hdr) .*?id (0x\w+)", line)
        if not match:
            continue
        time = datetime.fromisoformat(match.group(1).replace("Z", "+00:00")).timestamp()
        if match.group(2) == "send_write":
            sent.setdefault(match.group(3), time)
        elif match.group(3) in sent:
            waits.append(time - sent.pop(match.group(3)))
    return waits


def start_loaded_guest(rig):
    """Its host does nothing but to give it frames, so it is most of the time inside that burst."""
    host = rig.host(args=["--forward-mode=txonly", "--txpkts=1500", "--auto-start"])
    vm = start_vm(rig, "vfio-pci", trace=EVENTS, qemu=["-msg", "timestamp=on"])
    return host, vm, start_receiver(vm)


def start_receiver(vm):
    guest = start_testpmd(vm, args=["--auto-start", "--forward-mode=rxonly"])
    wait_until(lambda: guest.stats()["RX-packets"] > 1000, "frames in the guest", 30)
    return guest


def test_no_answer_takes_a_second_while_a_data_thread_hangs(rig):
    """The machine is reset while a thread of the host stands in the middle of a burst."""
    host, vm, _ = start_loaded_guest(rig)
    for _ in range(20):
        before = len(read_waits(vm))
        with hold_thread(host, inside="librte_common_nicmux") as hold:
            vm.reset()
            waits = read_waits(vm)[before:]
            hold.release()
        assert max(waits) < LIMIT_S
        if max(waits) > 0.3:
            break  # it stood inside
        start_receiver(vm)
    else:
        raise AssertionError("the data thread was never caught inside a burst")
    print(f"{len(waits)} answers, the slowest after {max(waits):.2f} s")
    assert host.xstats()["guest_answers_forced"] > 0
    start_receiver(vm)
