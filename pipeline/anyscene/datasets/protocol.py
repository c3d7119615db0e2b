"""What every data set looks like to the rest of the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from anyscene.arrays import U1
from anyscene.datasets.left_out import Sorted
from anyscene.datasets.readings import Reading
from anyscene.datasets.truth import Truth
from anyscene.errors import PipelineError
from anyscene.scene import Frame, Scene


@runtime_checkable
class Dataset(Protocol):
    """Raw scans, read scene by scene, in several processes at once: a data set can be pickled.

    A scene is named by its id, a text that can name a file. Errors of one scene never stop the others: they
    are returned by `keys` and `truth_keys`, and raised as DataError by what reads one scene.
    """

    @property
    def root(self) -> Path:
        """The folder under which all files of frames lie."""
        ...

    def splits(self) -> Mapping[str, str]:
        """The split of every scene, sorted by id: "train", "val", "test" or one of its own.

        Raises DataError where there are no scenes.
        """
        ...

    def keys(self) -> Mapping[str, str | PipelineError]:
        """For every scene of `splits` a hash of all that `read` depends on, or the error where that cannot be
        read. The annotation is not part of it: scenes are not imported again when labels change."""
        ...

    def truth_keys(self) -> Mapping[str, str | PipelineError]:
        """For every scene that is annotated a hash of all that `read_truth` depends on, the meaning of labels
        with it, or the error where that cannot be read."""
        ...

    def read(self, scene: str) -> Scene:
        """The whole scene but the pixels of its frames, which are read when they are asked for.

        Raises DataError that names the file and says what to do.
        """
        ...

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the points of `read`, in their order.

        Raises DataError that names the file and says what to do.
        """
        ...

    def read_frame_truth(self, scene: str, frame: str) -> U1 | None:
        """u1[H, W] of one frame: rows of the label set, 255 = none; None where it is not annotated.

        Raises DataError that names the file.
        """
        ...


@runtime_checkable
class Correctable(Dataset, Protocol):
    """Scans that may be read in another way, if a person says so."""

    def frames(self, scene: str) -> Sorted[Frame]:
        """The frames of `read`, in the world and the unit of the files, and those that it leaves out. Raises
        DataError as it does."""
        ...

    def read(self, scene: str, frames: Sorted[Frame] | None = None) -> Scene:
        """As of any data set. frames: what `frames` says of the scene, where it was asked before."""
        ...

    def reading(self, scene: str) -> Reading:
        """How the numbers of its frames are taken."""
        ...

    def correction(self, scene: str, changed: Mapping[str, Any]) -> str:
        """What a person has to do, so that fields of `reading` become those in `changed`."""
        ...
