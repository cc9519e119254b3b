# SPDX-License-Identifier: BSD-3-Clause
"""
The common runner: each test that takes `scene` attacks it, and is checked behind its back.

What has to do with frames and memory is done to a host that copies and to one whose queues are
mapped; all other attacks only if the tests are to be exhaustive (NMX_HOSTILE).
"""

import os
import shutil

import pytest

from rig import ROOT, Rig
from scene import FULL, Scene, VirtioScene

ALWAYS_MAPPED = ["test_memory", "test_rings",
                 # Of a virtio guest's: those of rings that are lent from, whole rings, and memory.
                 "test_buffer_to_the_guest", "test_crumbs", "test_ring_that_is_all_noise",
                 "test_ring_of_likely_noise_in_virtio", "test_answers_overwritten_by_the_guest",
                 "test_memory_that_vanishes_under_rings", "test_table_again_and_again_under_load",
                 "test_request_while_a_burst_stands_still"]
# Attacks on vhost-user ports; all others are on vDPDK ones.
VIRTIO = "test_virtio"

SCENES = {"vdpdk": Scene, "virtio": VirtioScene}


def pytest_generate_tests(metafunc):
    if "stage" in metafunc.fixturenames:
        mapped = (FULL or metafunc.module.__name__ in ALWAYS_MAPPED
                  or metafunc.function.__name__ in ALWAYS_MAPPED)
        kind = "virtio" if metafunc.module.__name__.startswith(VIRTIO) else "vdpdk"
        stages = [f"{kind}-copied", f"{kind}-mapped"] if mapped else [f"{kind}-copied"]
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
