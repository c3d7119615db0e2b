"""A project in a folder: params.yaml with changes, in which tests run stages and tools as a user does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from anyscene.project import parameters
from tests.builders import REPOSITORY

ALONE = {"runtime": {"workers": 1, "device": "cpu"}}  # within the test's process, where it can be looked at


@dataclass(frozen=True)
class Project:
    folder: Path

    @classmethod
    def create(cls, folder: Path, **changes: Any) -> Project:
        """Write the repository's params.yaml into `folder`, changed."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
        project = cls(folder)
        project.change(**ALONE)
        project.change(**changes)
        return project

    def change(self, **changes: Any) -> None:
        """Change params.yaml, section by section: keys of a mapping, or another value for the whole."""
        path = self.folder / "params.yaml"
        values = parameters.read(path)
        for section, value in changes.items():
            values[section] = values[section] | value if isinstance(value, dict) else value
        path.write_text(yaml.safe_dump(values, sort_keys=False))

    @property
    def params(self) -> parameters.Params:
        return parameters.load(self.folder / "params.yaml")
