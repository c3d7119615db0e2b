"""Which extra brings a missing package."""

import ast
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from anyscene.project import extras
from tests.builders import REPOSITORY

OWN = {"anyscene", "anyscene_demo", "stages"}
BROUGHT = {"MinkowskiEngineBackend": "MinkowskiEngine"}  # a second module of a distribution


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("viser", "viewer"),
        ("dvclive", "pipeline"),
        ("open_clip", "2d"),
        ("segment_anything", "2d"),
        ("diffusers", "synthesis"),
        ("skimage", "demo"),
        ("fast_simplification", "demo"),
        ("lzfse", "record3d"),
        ("laspy", "clouds"),
        ("lazrs", "clouds"),
        ("pye57", "clouds"),
        ("MinkowskiEngine", "minkowski"),
        ("torch", None),
        ("no_such_package", None),
    ],
)
def test_extra_of_a_module(module, extra):
    assert extras.of_module(module) == extra


def test_remedy_names_the_package_and_not_what_was_missed_inside_it():
    error = ModuleNotFoundError("No module named 'viser.theme'", name="viser.theme")
    assert extras.remedy(error) == 'needs viser: pip install "anyscene[viewer]"'
    assert extras.remedy(ModuleNotFoundError("No module named 'torch'", name="torch")) is None
    assert extras.remedy(ImportError("cannot import name 'Server' from 'viser'", name="viser")) is None


def test_every_package_that_is_imported_is_declared():
    """A module whose name is not that of its distribution needs a line in extras.DISTRIBUTIONS."""
    declared = {canonicalize_name(Requirement(line).name) for line in metadata.requires("anyscene")}
    known = metadata.packages_distributions()
    missing = set()
    for file in (REPOSITORY / "pipeline").rglob("*.py"):
        for module in imported(ast.parse(file.read_text())) - OWN - set(sys.stdlib_module_names):
            module = BROUGHT.get(module, module)
            name = canonicalize_name(extras.DISTRIBUTIONS.get(module, module))
            of_core = {canonicalize_name(one) for one in known.get(module, ())} & declared
            if extras.of_module(module) is None and not of_core and name not in declared:
                missing.add(module)
    assert missing == set()


def imported(tree):
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found
