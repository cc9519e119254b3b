# SPDX-License-Identifier: BSD-3-Clause
"""docs/hostile.md is a table of these tests: each row has its test, each test its row."""

import ast
import glob
import os
import re

from rig import ROOT

RUNNERS = {"test_host.py": "victim", "test_table.py": None}
FOLDER = os.path.join(ROOT, "tests/hostile")


def read_rows():
    """{file: names of its rows}, as the page says."""
    rows = {}
    with open(os.path.join(ROOT, "docs/hostile.md")) as page:
        sections = re.split(r"^## ", page.read(), flags=re.M)[1:]
    for section in sections:
        file = re.search(r"`(test_\w+\.py)`", section).group(1)
        names = re.findall(r"^\| ([^|]+?) \|", section, re.M)
        rows[file] = ["test_" + name.replace(" ", "_") for name in names if name != "attack"]
    return rows


def read_tests():
    """{file: names of its tests}"""
    tests = {}
    for path in [*glob.glob(f"{FOLDER}/test_*.py"), f"{ROOT}/tests/e2e/test_mux_hostile.py"]:
        with open(path) as file:
            tree = ast.parse(file.read())
        tests[os.path.basename(path)] = [node.name for node in tree.body
                                         if isinstance(node, ast.FunctionDef)
                                         and node.name.startswith("test_")]
    del tests[os.path.basename(__file__)]
    return tests


def test_each_row_is_a_test_and_each_test_a_row():
    rows, tests = read_rows(), read_tests()
    assert sorted(rows) == sorted(tests)
    for file, names in rows.items():
        assert sorted(names) == sorted(tests[file]), file


def read_dialect(test):
    """Of a test's decorator: what the page says of it."""
    names = [decorator.args[0].value for decorator in test.decorator_list
             if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "only"]
    return {"vdpdk": "vDPDK", "virtio": "virtio"}[names[0]] if names else "both"


def test_each_row_says_which_front_ends_are_attacked():
    """Modules are of one front end, which their section says, or each row has a word for it."""
    with open(os.path.join(ROOT, "docs/hostile.md")) as page:
        words = dict(re.findall(r"^\| ([^|]+?) \| (both|vDPDK|virtio) \|", page.read(), re.M))
    for path in glob.glob(f"{FOLDER}/test_*.py"):
        with open(path) as file:
            tree = ast.parse(file.read())
        if os.path.basename(path) in RUNNERS or any(
                isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DIALECT"
                for node in tree.body):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                name = node.name.removeprefix("test_").replace("_", " ")
                assert words.pop(name) == read_dialect(node), name
    assert not words


def test_each_attack_on_a_host_is_checked_by_the_runner():
    """No test but those of a hostile host can do without the bystander."""
    for path in glob.glob(f"{FOLDER}/test_*.py"):
        wanted = RUNNERS.get(os.path.basename(path), "scene")
        with open(path) as file:
            tree = ast.parse(file.read())
        for node in tree.body:
            if wanted and isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert wanted in [argument.arg for argument in node.args.args], node.name
