"""What the registry entries of the demo's 2D models have in common."""

from __future__ import annotations

import json
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

    on_device = False  # they are so small that a GPU would not be faster

    @property
    def title(self) -> str:
        return f"{self.name} (demo)"

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def taught(self, section: Segmenters) -> Sequence[str] | None:
        from anyscene.weights import described  # only here, because torch takes seconds to import

        file = self.folder(section) / described.DESCRIPTION
        try:
            names: Sequence[str] | None = json.loads(file.read_text(encoding="utf-8")).get("names")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"{file}: damaged ({error}); restore the folder from the repository or run `make zoo`"
            ) from error
        return names

    def find(self, params: Params) -> str:
        folder = self.folder(params.segmenters)
        if not folder.is_dir() or not any(folder.iterdir()):
            raise WeightsError(f"{folder} is empty: run `make zoo`")
        return str(folder)
