"""A copy of this project on a miniature world, in which tests run dvc as a user does."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from anyscene.project import parameters
from tests.builders import REPOSITORY, ready_python

SOURCES = (
    *("pipeline", "stages", "data/demo", "models/demo", "models/random"),
    *("dvc.yaml", "params.yaml", ".dvc/config", ".dvc/plots", ".dvc/.gitignore", ".dvcignore", ".gitignore"),
    *("data/.gitignore", "models/.gitignore"),
)
MINIATURE = {
    "world": {"train_rooms": 2, "val_rooms": 1, "views": 4, "width": 96, "height": 72},
    "projection": {"width": 96, "height": 72},
    "vocabulary": ["wall", "floor", "chair", "table"],
    "synthesis": {"images": 2, "steps": 2},
    "training": {"distilled": {"steps": 3}, "ensembled": {"steps": 2}},
    "evaluation": {"bootstrap": 20, "shuffles": 2},
    "runtime": {"workers": 1},
}

FINISHED = ("fusion", "labels")  # the stages up to which the workspace of end_to_end is computed


@dataclass(frozen=True)
class Result:
    output: str
    code: int

    @property
    def stages(self) -> list[str]:
        """Names of the stages that dvc ran, but for the one that it always runs."""
        return [name for name in re.findall(r"Running stage '([^']+)'", self.output) if name != "freshness"]


@dataclass(frozen=True)
class Workspace:
    """ready: dvc and the stages start in a Python that has imported packages already, not each in its own."""

    folder: Path
    ready: bool = True

    @classmethod
    def create(cls, folder: Path) -> Workspace:
        for source in SOURCES:
            target = folder / source
            target.parent.mkdir(parents=True, exist_ok=True)
            if (REPOSITORY / source).is_dir():
                shutil.copytree(REPOSITORY / source, target)  # numba's cache too: compiling takes long
            else:
                shutil.copy(REPOSITORY / source, target)
        workspace = cls(folder)
        workspace.set(MINIATURE)
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
        for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-qm", "Start"]):
            subprocess.run(["git", *command], cwd=folder, check=True)
        return workspace

    def set(self, changes: dict) -> None:
        """Change keys of params.yaml; of a mapping those that are named, whatever is below them."""
        values = _merged(self.params(), changes)
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))

    def params(self) -> dict:
        """What params.yaml holds."""
        return parameters.read(self.folder / "params.yaml")

    @property
    def environment(self) -> dict[str, str]:
        """In which dvc finds this interpreter, and the interpreter the workspace's own package."""
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(self.folder / "pipeline"), os.environ.get("PYTHONPATH", "")]),
        }

    def dvc(self, *arguments: str, path: Path | None = None) -> Result:
        """Run dvc; what it and the stages print is in the result. path: of modules, before all others."""
        return self.run("-m", "dvc", *arguments, path=path)

    def run(self, *arguments: str, path: Path | None = None, alone: bool = False) -> Result:
        """Run Python in the workspace: one of its own where modules come before all others, or where it is
        `alone`, the leader of a group of processes."""
        python, environment = sys.executable, self.environment
        if self.ready and path is None and not alone:
            python = str(ready_python.folder() / "python")
            environment["PATH"] = f"{ready_python.folder()}{os.pathsep}{environment['PATH']}"
        if path is not None:
            environment["PYTHONPATH"] = f"{path}{os.pathsep}{environment['PYTHONPATH']}"
        done = subprocess.run(
            [python, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=alone,
        )
        return Result(done.stdout, done.returncode)

    def copy(self, folder: Path) -> Workspace:
        """With all that was computed; what has several names there has them here, too."""
        subprocess.run(["cp", "--archive", self.folder, folder], check=True)
        return Workspace(folder)

    def clone(self, folder: Path) -> Workspace:
        """With what git knows alone, and numba's cache, which is valid for files of the same time."""
        subprocess.run(["git", "clone", "-q", self.folder, folder], check=True)
        shutil.copytree(self.folder / "pipeline", folder / "pipeline", dirs_exist_ok=True)
        return Workspace(folder)

    def lock(self) -> dict:
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]

    def damaged(self) -> list[str]:
        """The files of DVC's cache whose content is not that of their name."""
        return [
            str(file)
            for file in (self.folder / ".dvc/cache/files/md5").glob("*/*")
            if file.parent.name + file.name.removesuffix(".dir") != hashlib.md5(file.read_bytes()).hexdigest()
        ]

    def artefacts(self, *folders: str) -> dict[str, bytes]:
        """Content of every file in the folders, by its path."""
        files = (
            file for name in folders for file in sorted((self.folder / name).rglob("*")) if file.is_file()
        )
        return {file.relative_to(self.folder).as_posix(): file.read_bytes() for file in files}


def _merged(values: dict, changes: dict) -> dict:
    below = {
        key: _merged(values[key], change) if isinstance(change, dict) and key in values else change
        for key, change in changes.items()
    }
    return values | below
