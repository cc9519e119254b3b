# SPDX-License-Identifier: BSD-3-Clause
"""No burst executes more instructions for a frame than it did; see counts.py."""

import os
import sys
import warnings

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import counts  # noqa: E402

SLACK = 0.03
UPDATE = "tests/instructions/counts.py --update, and say why in the commit"


@pytest.fixture(scope="module")
def measured():
    return counts.measure()


@pytest.mark.parametrize("name", counts.BURSTS)
def test_burst_executes_no_more_than_expected(measured, name):
    expected = counts.read_expected()[name]
    what = f"{name}: {measured[name]:.1f} instructions a frame, expected {expected:.1f}"
    assert measured[name] <= expected * (1 + SLACK), f"{what}; if that is worth it: {UPDATE}"
    if measured[name] < expected * (1 - SLACK):
        warnings.warn(f"{what}: better. Keep it so: {UPDATE}")
