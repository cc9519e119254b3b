# SPDX-License-Identifier: BSD-3-Clause
"""A rig that has guests with a machine of their own."""

import os

import pytest

from process import LocalProcess
from rig import ROOT, Rig
from vm import Vm, get_parts


# Of the programs beside a guest: a tenth of a processor that both want.
NICE = 10


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
        self.renice(program, NICE)
        return super().add(program)

    def renice(self, program, nice):
        """Of all its threads; 0: it has what a guest has."""
        if isinstance(program.process, LocalProcess):
            for thread in os.listdir(f"/proc/{program.pid}/task"):
                os.setpriority(os.PRIO_PROCESS, int(thread), nice)

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


@pytest.fixture(scope="module")
def shared_vm(plugins, request):
    """One guest without NICs for all tests of a file that leave it as it is."""
    rig = VmRig(plugins, f"{ROOT}/build/e2e/{request.module.__name__}")
    yield rig.vm()
    rig.clean_up()
