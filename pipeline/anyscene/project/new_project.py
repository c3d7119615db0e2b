"""A project of one's own: a folder in which the stages run on one's own scans, beside the clone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import anyscene
from anyscene.errors import ConfigError
from anyscene.project import layout, outputs, presets
from anyscene.project.parameters import RANDOM

CLONE = Path(anyscene.__file__).parents[2]
# Of the clone. Git ignores in each folder what stages write there.
COPIED = (
    *(layout.PARAMETERS, layout.STAGES, layout.NETWORKS / RANDOM, layout.THROUGHPUT),
    *map(Path, (".dvc/config", ".dvc/plots", ".dvc/.gitignore", ".dvcignore", ".gitignore")),
    *(folder / ".gitignore" for folder in (layout.DATA, layout.NETWORKS, layout.REPORTS)),
)
MODELS = layout.DEMO_MODELS  # which the settings name until a preset sets others
DEMO = "world"  # the stage that makes the demo's raw scans
WRITE_DVC_YAML = """
from pathlib import Path
from anyscene.project.stages import declared, dvc_yaml
Path("dvc.yaml").write_text(dvc_yaml(declared()))
"""
NAME = "mine"  # of the data set
SCANS = "scans"  # where raw scans are looked for, unless another folder is named


def create(folder: Path, root: Path | None = None, preset: str | None = None) -> None:
    """Make `folder` a project without the demo's scans: its own params.yaml, dvc.yaml, stages and settings of
    DVC. It appears as a whole or not at all.

    root: the folder of the raw scans; None: `scans` inside the project. preset: whose settings it takes;
    without one those of the clone, with the demo's models and the reader `rgbd`.

    Raises ConfigError where `folder` holds something, there is no clone to copy from, or `root` is missing;
    OutputError where `folder` cannot be written.
    """
    folder = folder.resolve()
    if not (CLONE / layout.STAGES).is_dir():
        raise ConfigError(
            f"{CLONE}: no clone of the repository, whose stages a project runs; "
            "clone it and call its `anyscene`"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is there and not empty; name a new folder")
    if root is not None and not root.is_dir():
        raise ConfigError(f"{root}: no such folder; --root is that of the raw scans")
    scans = SCANS if root is None else str(root.resolve())
    outputs.check_folder(folder)
    with outputs.replaced(folder) as partial:
        _fill(partial, scans, preset)


def _fill(folder: Path, scans: str, preset: str | None) -> None:
    for name in COPIED if preset else (*COPIED, MODELS):
        source, target = CLONE / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", f"{DEMO}.py"))
        else:
            shutil.copy(source, target)
    if scans == SCANS:
        (folder / SCANS).mkdir()
    params = folder / layout.PARAMETERS
    if preset is None:
        presets.change(params, {"dataset": {"name": NAME, "root": scans, "reader": "rgbd"}})
    else:
        presets.write(preset, params, Path(scans))
    # in a process of its own, which imports the stages of the new project and no others
    subprocess.run([sys.executable, "-c", WRITE_DVC_YAML], cwd=folder, check=True)
