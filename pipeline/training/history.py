"""Arrays that grow with the data set and change at every step: one memory-mapped file per scene.

Between two checkpoints a scene is updated in place. Once frozen a file is never written again: the next
update goes to a new one, so that a checkpoint names files whose content stays, and costs no copy of them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.errors import TrainingError


class History:
    """f4 arrays by scene, in `folder`. Two processes may share a folder if they keep different scenes."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._maps: dict[str, np.memmap] = {}
        self._files: dict[str, str] = {}
        self._frozen: set[str] = set()  # scenes whose file a checkpoint names
        self._generation = 0

    def __contains__(self, scene: str) -> bool:
        return scene in self._files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, scene: str) -> np.ndarray:
        """A view of the file; change it by assignment only."""
        return self._maps[scene]

    def __setitem__(self, scene: str, values: np.ndarray) -> None:
        if scene not in self._files or scene in self._frozen:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files[scene] = f"{scene}.{self._generation}.npy"
            self._maps[scene] = np.lib.format.open_memmap(
                self.folder / self._files[scene], "w+", np.float32, values.shape
            )
            self._frozen.discard(scene)
        self._maps[scene][:] = values

    def freeze(self) -> dict[str, str]:
        """The file of every scene, flushed; from now on none of them is written."""
        for scene in self._files.keys() - self._frozen:
            self._maps[scene].flush()
        self._frozen = set(self._files)
        self._generation += 1
        return dict(self._files)

    def restore(self, files: Mapping[str, str]) -> None:
        """Take up frozen files. Raises TrainingError naming one that is missing or damaged."""
        for scene, name in files.items():
            try:
                self._maps[scene] = np.load(self.folder / name, mmap_mode="c")  # its file is not written
            except (OSError, ValueError) as error:
                raise TrainingError(
                    f"{self.folder / name}: the history of {scene} cannot be read ({error}); remove "
                    f"{self.folder.parent} to train from the start"
                ) from error
            self._generation = max(self._generation, int(name.split(".")[-2]) + 1)
        self._files = dict(files)
        self._frozen = set(files)

    def prune(self) -> None:
        """Remove the files of this history's scenes that are no longer in use."""
        used = set(self._files.values())
        for file in self.folder.glob("*.npy"):
            if file.name.rsplit(".", 2)[0] in self._files and file.name not in used:
                file.unlink()
