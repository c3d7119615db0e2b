"""Arrays that grow with the data set and change at every step: one memory-mapped file for each scene.

Between two checkpoints a scene is updated in place. A file that is frozen is never written again: the next
update goes to a new file. So a checkpoint names files that do not change, and need not copy all of them.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from anyscene.arrays import F4, Array
from anyscene.errors import TrainingError
from anyscene.project import array_files


class History:
    """f4 arrays by scene, kept in `folder`. Processes may share a folder if they keep different scenes.

    A file is open only while its scene is used, so that memory and open files do not grow with the scenes."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self._files: dict[str, str] = {}
        self._frozen: dict[str, str] = {}  # the checksum of each scene whose file a checkpoint names
        self._generation = 0

    def __getitem__(self, scene: str) -> F4:
        """The array of a scene, a view of its file. Change it only by assignment to the scene."""
        return array_files.mapped(self._path(scene))

    def __setitem__(self, scene: str, values: F4) -> None:
        new = scene not in self._files or scene in self._frozen
        if new:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._files[scene] = f"{scene}.{self._generation}.npy"
            self._frozen.pop(scene, None)
        file = np.lib.format.open_memmap(
            self._path(scene), "w+" if new else "r+", np.float32, values.shape if new else None
        )
        file[:] = values

    def freeze(self) -> dict[str, tuple[str, str]]:
        """Flush the file of every scene, and return its name and checksum. From now on none of these files is
        written."""
        for scene in self._files.keys() - self._frozen.keys():
            with self._path(scene).open("rb") as file:
                os.fsync(file.fileno())
            self._frozen[scene] = checksum(self[scene])
        self._generation += 1
        return {scene: (file, self._frozen[scene]) for scene, file in self._files.items()}

    def restore(self, frozen: Mapping[str, Sequence[str]]) -> None:
        """Continue from what `freeze` returned. Raises TrainingError naming a file that is missing or
        altered."""
        for scene, (name, expected) in frozen.items():
            try:
                if checksum(array_files.mapped(self.folder / name)) != expected:
                    raise ValueError("its bytes have changed since it was written")
            except (OSError, ValueError) as error:
                raise TrainingError(
                    f"{self.folder / name}: the history of {scene} cannot be read ({error}); remove "
                    f"{self.folder.parent} to train from the start"
                ) from error
            self._files[scene], self._frozen[scene] = name, expected
            self._generation = max(self._generation, int(name.split(".")[-2]) + 1)

    def _path(self, scene: str) -> Path:
        return self.folder / self._files[scene]

    def prune(self) -> None:
        """Remove the files of this history's scenes that are not used any more."""
        used = set(self._files.values())
        for file in self.folder.glob("*.npy"):
            if file.name.rsplit(".", 2)[0] in self._files and file.name not in used:
                file.unlink()


def checksum(content: bytes | Array) -> str:
    """The BLAKE2b hash of bytes, or of those of a contiguous array, in hexadecimal."""
    buffer = content if isinstance(content, bytes) else content.data
    return hashlib.blake2b(buffer, digest_size=16).hexdigest()
