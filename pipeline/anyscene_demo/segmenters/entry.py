"""What the registry entries of the demo's 2D models have in common."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import WeightsError
from anyscene.segmenters.entry import Entry

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters


class DemoEntry(Entry, ABC):
    """A 2D model whose weights `make zoo` trains; they lie in the repository under models/demo."""

    @property
    def title(self) -> str:
        return f"{self.name} (demo)"

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        folder = self.folder(params.segmenters)
        if not folder.is_dir() or not any(folder.iterdir()):
            raise WeightsError(f"{folder} is empty: run `make zoo`")
        return str(folder)
