"""A copy of this project on a miniature world, in which tests run dvc as a user does."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.builders import REPOSITORY

SOURCES = (
    *("pipeline", "stages", "data/demo", "models/demo"),
    *("dvc.yaml", "params.yaml", ".dvc/config", ".dvc/plots", ".dvc/.gitignore", ".dvcignore", ".gitignore"),
)
MINIATURE = {
    "world": {"train_rooms": 2, "val_rooms": 1, "views": 4, "width": 96, "height": 72},
    "projection": {"width": 96, "height": 72},
    "vocabulary": ["wall", "floor", "chair", "table"],
    "synthesis": {"images": 2, "steps": 2},
    "distillation": {"objectives": ["superpoint", "pixel"], "steps": 3},
    "ensembling": {"steps": 2},
    "evaluation": {"bootstrap": 20, "shuffles": 2},
    "runtime": {"workers": 1},
}


@dataclass(frozen=True)
class Result:
    output: str
    code: int

    @property
    def stages(self) -> list[str]:
        """Names of the stages that dvc ran."""
        return re.findall(r"Running stage '([^']+)'", self.output)


@dataclass(frozen=True)
class Workspace:
    folder: Path

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
        """Change keys of params.yaml, section by section."""
        path = self.folder / "params.yaml"
        values = yaml.safe_load(path.read_text())
        for section, value in changes.items():
            values[section] = values[section] | value if isinstance(value, dict) else value
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    @property
    def environment(self) -> dict[str, str]:
        """In which dvc finds this interpreter, and the interpreter the workspace's own package."""
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.folder / "pipeline"),
        }

    def dvc(self, *arguments: str, path: Path | None = None) -> Result:
        """Run dvc; what it and the stages print is in the result. path: of modules, before all others."""
        return self.run("-m", "dvc", *arguments, path=path)

    def run(self, *arguments: str, path: Path | None = None) -> Result:
        """Run Python in the workspace."""
        environment = self.environment
        if path is not None:
            environment["PYTHONPATH"] = f"{path}{os.pathsep}{environment['PYTHONPATH']}"
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return Result(done.stdout, done.returncode)

    def copy(self, folder: Path) -> Workspace:
        """With all that was computed."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Workspace(folder)

    def clone(self, folder: Path) -> Workspace:
        """With what git knows alone."""
        subprocess.run(["git", "clone", "-q", self.folder, folder], check=True)
        return Workspace(folder)

    def lock(self) -> dict:
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]

    def artefacts(self, *folders: str) -> dict[str, bytes]:
        """Content of every file in the folders, by its path."""
        files = (
            file for name in folders for file in sorted((self.folder / name).rglob("*")) if file.is_file()
        )
        return {file.relative_to(self.folder).as_posix(): file.read_bytes() for file in files}
