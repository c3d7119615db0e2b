"""What a package offers of a data set under the entry points `anyscene.readers`.

A reader of another package is one class:

    class Mine(Entry):
        settings = Settings  # a frozen dataclass, the section dataset.mine of params.yaml

        def open(self, section, scenes, memory):
            return MyScans(Path(section.root), section.settings(self.name), scenes.frame_stride)

    ENTRY = Mine("mine")

with a line in its pyproject.toml, and `dataset.reader: mine` reads by it:

    [project.entry-points."anyscene.readers"]
    mine = "my_package.mine:ENTRY"

An entry is imported to check params.yaml: modules that take long are imported inside its methods.
`anyscene.testing.ReaderTests` checks that the reader keeps the protocol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from anyscene.datasets.protocol import Dataset
from anyscene.project import parameters


@dataclass(frozen=True)
class Extent:
    """How much there is to do, and how that is known; a number that is not known is None."""

    scenes: int | None
    training: int | None  # scenes to train on
    views: int
    points: int | None
    known: str  # how it is known


@dataclass(frozen=True)
class Entry(ABC):
    """A form of raw scans that can be named in `dataset.reader`."""

    name: str  # of the entry point, and in params.yaml

    # Frozen dataclass of the section dataset.NAME; its __post_init__ raises ConfigError for values out of
    # bounds. None: the reader has no section.
    settings: ClassVar[type | None] = None
    # What scenes come from that are alike, such as the regions of a house: what `origin` names. Intervals of
    # scores are over these, because scenes of one are not drawn independently.
    origins: ClassVar[str] = "scenes"
    # Whether its scans are annotated by categories, from which the classes of any label set are found. One
    # that says False is annotated by rows of one label set, `dataset.label_set`.
    by_category: ClassVar[bool] = True

    @property
    def module(self) -> str:
        """The module whose code, with what it imports, reads the scans. When it changes, what this reader
        read becomes stale, and nothing else."""
        return type(self).__module__

    @abstractmethod
    def open(self, section: parameters.Dataset, scenes: parameters.Scenes, memory: Path) -> Dataset:
        """The scans in `section.root`. The hashes of files are remembered in the folder `memory`.

        Nothing is read yet, so that errors about missing files come from what reads them.
        """

    def origin(self, scene: str) -> str:
        """Where the scene `scene` comes from, for a reader that says what its `origins` are."""
        return scene

    def files(self, section: parameters.Dataset) -> Sequence[Path]:
        """The files outside `section.root` that are read: tables beside it. The label set is not among them,
        because every reader may be asked for one."""
        return ()

    def published(self, stride: int) -> Extent | None:
        """What was published about the whole data set, with every `stride`-th frame of it; None where nothing
        was. Where the scans are missing, hours and bytes are estimated from it."""
        return None


def beside(root: Path, name: str) -> tuple[Path, ...]:
    """The file `name` in the folder above `root`, as a tuple; empty where there is none, or one in `root`
    itself is read. It is named by way of `root`, so that its path is the same on every machine."""
    above = root / ".." / name
    return (above,) if above.is_file() and not (root / name).is_file() else ()
