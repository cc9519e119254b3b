# SPDX-License-Identifier: BSD-3-Clause
"""
What all tests with whole programs share: where the plugins are, and a rig for each test.

NMX_PLUGINS    folder of the plugins (build/plugins)
NMX_PRELOAD    see e2e/testpmd.py
"""

import os
import shutil
import subprocess
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in (".", "e2e", "hostile", "vm"):
    sys.path.insert(0, os.path.join(HERE, folder))

from rig import KINDS, ROOT, Rig, remove_leftovers  # noqa: E402


@pytest.fixture(scope="session")
def plugins():
    remove_leftovers()
    folder = os.environ.get("NMX_PLUGINS") or "build/plugins"
    answer = subprocess.run([f"{ROOT}/devtools/plugin-dir", folder], cwd=ROOT, check=True,
                            capture_output=True, text=True)
    return os.path.join(ROOT, answer.stdout.strip())


@pytest.fixture
def rig_class():
    """What a folder's tests have more than the others is its own rig."""
    return Rig


@pytest.fixture
def rig(plugins, rig_class, request):
    name = request.node.name.replace("/", "_").replace(" ", "_")
    logs = os.path.join(ROOT, "build/e2e", name)
    shutil.rmtree(logs, ignore_errors=True)
    rig = rig_class(plugins, logs)
    yield rig
    rig.clean_up()


@pytest.fixture(params=KINDS)
def kind(rig, request):
    """Every kind of guest; the rig's from now on."""
    rig.kind = request.param
    return rig.kind
