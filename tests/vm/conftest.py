# SPDX-License-Identifier: BSD-3-Clause
"""A rig that has guests with a machine of their own."""

import os

import pytest

from process import LocalProcess
from rig import ROOT, Rig
from vm import Vm, get_parts


# Of the programs beside a guest: a tenth of a processor that both want.
NICE = 10


def list_threads(pid):
    return map(int, os.listdir(f"/proc/{pid}/task"))


class VmRig(Rig):
    """rig.vm(...) beside rig.host(...) and the like."""

    def __init__(self, plugins, logs):
        super().__init__(plugins, logs)
        self.vms = []

    def vm(self, *sockets, name=None, boot=True, **options):
        """
        A guest with a NIC for each of these sockets of the rig's; see Vm. boot: wait until it is up.
        """
        vm = Vm(self, name or f"vm{len(self.vms)}", map(self.path, sockets), **options)
        self.vms.append(vm)
        (vm.power_on if boot else vm.launch)()
        return vm

    def add(self, program):
        """Programs of this machine poll; a guest that boots beside them needs the processors more."""
        if isinstance(program.process, LocalProcess):
            for thread in list_threads(program.pid):
                os.setpriority(os.PRIO_PROCESS, thread, NICE)
        return super().add(program)

    def divide_processors(self):
        """
        As an operator does: those who poll have the first processor, the machines have the others.

        Where a machine's processors run beside a thread that polls, Linux may let that thread wait
        for over a second.
        """
        for program in self.programs:
            for thread in list_threads(program.pid):
                os.sched_setaffinity(thread, {0})
        for vm in self.vms:
            for thread in list_threads(vm.pid):
                os.sched_setaffinity(thread, set(range(1, os.cpu_count())) or {0})

    def clean_up(self):
        for vm in self.vms:
            vm.kill()
        super().clean_up()


@pytest.fixture(scope="session", autouse=True)
def parts():
    """Made before a test's time runs."""
    return get_parts()


@pytest.fixture
def rig_class():
    return VmRig


@pytest.fixture(scope="session")
def make_rig(plugins):
    """Makes one by its name, which whoever asked for it cleans up."""
    return lambda name: VmRig(plugins, f"{ROOT}/build/e2e/{name}")


@pytest.fixture(scope="module")
def shared_rig(make_rig, request):
    """For all tests of a file."""
    rig = make_rig(request.module.__name__)
    yield rig
    rig.clean_up()


@pytest.fixture(scope="module")
def shared_vm(shared_rig):
    """One guest without NICs for all tests of a file that leave it as it is."""
    return shared_rig.vm()
