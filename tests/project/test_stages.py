"""dvc.yaml declares what the stages really use."""

import ast
from pathlib import Path

import pytest
import yaml

from anyscene.project import parameters
from tests.builders import REPOSITORY

STAGES = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())["stages"]
PARAMS = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
NEUTRAL = {
    "pipeline/__init__.py",
    "pipeline/anyscene/project/parameters.py",
    "pipeline/anyscene/errors.py",
    "pipeline/anyscene/project/progress.py",
    "pipeline/anyscene/project/timing.py",
    "stages/__init__.py",
}
HOW_NOT_WHAT = {  # they change how fast or where, not what comes out
    "runtime.workers", "runtime.device", "runtime.device_memory_gib", "runtime.memory_gib",
    "runtime.checkpoint_seconds", "segmenters.batch",
    "dataset.root", "segmenters.weights", "distillation.objectives",  # these are templates of dvc.yaml
}  # fmt: skip


def imported(file: Path) -> set[Path]:
    """Files of this project that `file` imports, at any depth."""
    found, queue = set(), [file]
    while queue:
        for module in modules(queue.pop()):
            for path in (REPOSITORY / f"{module}.py", REPOSITORY / module / "__init__.py"):
                if path.is_file() and path not in found:
                    found.add(path)
                    queue.append(path)
    return found


def modules(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.replace(".", "/") for name in names if name.split(".")[0] in ("pipeline", "stages")}


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_of_code_runs_the_stage_again(stage):
    command = REPOSITORY / "stages" / f"{stage}.py"
    used = {path.relative_to(REPOSITORY).as_posix() for path in imported(command)} | {f"stages/{stage}.py"}
    declared = STAGES[stage]["deps"]
    missing = [
        path
        for path in sorted(used - NEUTRAL)
        if not any(path == dep or path.startswith(f"{dep}/") for dep in declared)
    ]
    assert missing == []


def test_declared_code_exists():
    code = {
        dep for stage in STAGES.values() for dep in stage["deps"] if dep.startswith(("pipeline", "stages"))
    }
    assert [path for path in sorted(code) if not (REPOSITORY / path).exists()] == []


def test_every_parameter_belongs_to_a_stage():
    declared = {name for stage in STAGES.values() for name in stage.get("params", [])}
    keys = {
        f"{section}.{key}" if isinstance(values, dict) else section
        for section, values in PARAMS.items()
        for key in (values if isinstance(values, dict) else [None])
    }
    unused = {key for key in keys if key not in declared and key.split(".")[0] not in declared}
    assert unused == HOW_NOT_WHAT & keys


def test_declared_parameters_exist():
    for name, stage in STAGES.items():
        for key in stage.get("params", []):
            section, _, entry = key.partition(".")
            assert section in PARAMS and (not entry or entry in PARAMS[section]), (name, key)


def test_sections_are_those_of_the_parameters():
    assert set(PARAMS) == set(parameters.Params.__annotations__)


def test_what_is_computed_scene_by_scene_persists():
    for name in ("scenes", "labels", "superpoints", "projection", "synthesis", "fusion"):
        assert all(options["persist"] for out in STAGES[name]["outs"] for options in out.values())


def test_annotation_is_read_by_evaluation_and_report_alone():
    readers = {name for name, stage in STAGES.items() if "data/labels" in stage["deps"]}
    assert readers <= {"evaluation", "report"}
