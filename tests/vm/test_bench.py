# SPDX-License-Identifier: BSD-3-Clause
"""The bench itself: guests boot, and programs in them are under control."""

import time

import pytest

from process import Failure


def test_guest_boots_and_runs_commands(rig):
    vm = rig.vm()
    print(f"boot: {vm.boot_s:.1f} s")
    result = vm.run("echo said; echo complained >&2; exit 3", check=False)
    assert (result.status, result.said) == (3, "said\ncomplained\n")
    assert vm.run(["printf", "%s|", "a b", "$c"]).said == "a b|$c|"
    with pytest.raises(FileNotFoundError):
        vm.run(["no-such-program"])
    with pytest.raises(Failure, match="exit code 1"):
        vm.run("false")
