# SPDX-License-Identifier: BSD-3-Clause
"""The common runner: each test that takes `scene` attacks it, and is checked behind its back."""

import os
import shutil

import pytest

from rig import ROOT, Rig
from scene import Scene


class Stage:
    """One scene for all tests, until one of them breaks it."""

    def __init__(self, plugins):
        self.plugins = plugins
        self.rig = None
        self.scene = None
        self.number = 0

    def get(self):
        if self.scene is None:
            self.number += 1
            logs = os.path.join(ROOT, f"build/e2e/hostile-{self.number}")
            shutil.rmtree(logs, ignore_errors=True)
            self.rig = Rig(self.plugins, logs)
            self.scene = Scene(self.rig)
        return self.scene

    def clear(self):
        if self.rig is not None:
            self.rig.clean_up()
        self.rig = self.scene = None


@pytest.fixture(scope="session")
def stage(plugins):
    stage = Stage(plugins)
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
