# SPDX-License-Identifier: BSD-3-Clause
"""
The common runner: each test that takes `scene` attacks it, and is checked behind its back.

Each attack is on a port of either front end, but for those that say which one's they are (dialect.py).
What has to do with frames and memory is done to a host that copies and to one whose queues are
mapped; all other attacks only if the tests are to be exhaustive (NMX_HOSTILE).
"""

import os
import shutil

import pytest

from rig import ROOT, Rig
from scene import FULL, Scene, VirtioScene

ALWAYS_MAPPED = ["test_memory", "test_rings",
                 # Of a virtio guest's: those of rings that are lent from.
                 "test_buffer_to_the_guest", "test_crumbs", "test_table_again_and_again_under_load",
                 "test_request_while_a_burst_stands_still"]

SCENES = {"vdpdk": Scene, "virtio": VirtioScene}


def get_dialects(metafunc):
    """Attacks are on ports of both front ends, but for modules and tests of one dialect."""
    mine = getattr(metafunc.function, "dialect", getattr(metafunc.module, "DIALECT", None))
    return [mine] if mine else list(SCENES)


def pytest_generate_tests(metafunc):
    if "stage" in metafunc.fixturenames:
        mapped = (FULL or metafunc.module.__name__ in ALWAYS_MAPPED
                  or metafunc.function.__name__ in ALWAYS_MAPPED)
        stages = [f"{kind}-{form}" for kind in get_dialects(metafunc)
                  for form in (["copied", "mapped"] if mapped else ["copied"])]
        metafunc.parametrize("stage", stages, indirect=True, scope="session")


class Stage:
    """One scene for all tests, until one of them breaks it."""

    def __init__(self, plugins, name):
        self.plugins = plugins
        self.name = name
        self.rig = None
        self.scene = None
        self.number = 0

    def get(self):
        if self.scene is None:
            self.number += 1
            logs = os.path.join(ROOT, f"build/e2e/hostile-{self.name}-{self.number}")
            shutil.rmtree(logs, ignore_errors=True)
            self.rig = Rig(self.plugins, logs)
            kind, form = self.name.split("-")
            self.scene = SCENES[kind](self.rig, form == "mapped")
        return self.scene

    def clear(self):
        if self.rig is not None:
            self.rig.clean_up()
        self.rig = self.scene = None


@pytest.fixture(scope="session")
def stage(plugins, request):
    stage = Stage(plugins, request.param)
    yield stage
    stage.clear()


@pytest.fixture
def scene(stage):
    try:
        scene = stage.get()
        scene.begin()
        yield scene
        scene.check()
    except BaseException:
        stage.clear()
        raise
