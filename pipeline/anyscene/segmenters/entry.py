"""What a package offers of a 2D model under the entry points `anyscene.segmenters`.

An entry is light: it is imported to check params.yaml and to list what there is, so modules that need PyTorch
or the model's own packages are imported inside its methods. A model of another package is one class:

    class Mine(Entry):
        settings = Settings  # a frozen dataclass, the section segmenters.mine of params.yaml

        def weights(self, section):
            return (self.folder(section),)

        def load(self, params, captions):
            from my_package.network import MySegmenter

            return MySegmenter(self.folder(params.segmenters), params.segmenters.settings(self.name))

    ENTRY = Mine("mine")

with a line in its pyproject.toml, and no file of this project is edited:

    [project.entry-points."anyscene.segmenters"]
    mine = "my_package.mine:ENTRY"

`anyscene.testing.SegmenterTests` checks that the model keeps the protocol.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from anyscene.segmenters.protocol import Segmenter

if TYPE_CHECKING:
    import torch

    from anyscene.project.parameters import Params, Segmenters


@dataclass(frozen=True)
class Entry(ABC):
    """A 2D model that can be named in `segmenters.names`."""

    name: str  # of the entry point, in params.yaml, and of the folder of its weights

    # Frozen dataclass of the section segmenters.NAME; its __post_init__ raises ConfigError for values out of
    # bounds. None: the model has no section.
    settings: ClassVar[type | None] = None
    # Whether it answers with masks, which a captioner describes.
    captioned: ClassVar[bool] = False
    # Whether its masks have labels of its own. Captions say these where `segmenters.nouns` is own, and then
    # another vocabulary leaves its projections.
    own_labels: ClassVar[bool] = False
    # Whether what it finds in an image depends on the vocabulary or the template, as names of masks do. A
    # model that places pixels in text space by itself says False; another vocabulary leaves its projections.
    looks_at_vocabulary: ClassVar[bool] = True
    # Whether it is computed on `runtime.device`. One that is not runs in many processes also beside a GPU.
    on_device: ClassVar[bool] = True

    @property
    def module(self) -> str:
        """The module whose code, with what it imports, is the model. When it changes, the projections of this
        model become stale, and no others."""
        return type(self).__module__

    @property
    def title(self) -> str:
        """The name of the model in tables."""
        return self.name

    def folder(self, section: Segmenters) -> Path:
        """The folder for weights of the model: NAME under `segmenters.weights`."""
        return Path(section.weights) / self.name

    def weights(self, section: Segmenters) -> Sequence[Path]:
        """The files and folders that `load` reads; empty for a model without weights of its own."""
        return ()

    def taught(self, section: Segmenters) -> Sequence[str] | None:
        """The names of the classes that the model was taught, as its own weights tell; None where they do
        not."""
        return None

    def find(self, params: Params) -> str:
        """Where the weights were found, as a text. Raises WeightsError that says what is missing and how to
        get it."""
        return "needs no weights"

    @abstractmethod
    def load(self, params: Params, captions: bool) -> Segmenter:
        """The model, ready for use.

        captions: whether it will have to describe images; labels alone need no captioner. Raises WeightsError
        where weights are missing or damaged, and TextError where `params.text` names an encoder of another
        text space.
        """


def device_of(params: Params) -> torch.device:
    """The device that `runtime.device` names, with the memory that `runtime.device_memory_gib` allows."""
    from anyscene.project.device import choose_device

    return choose_device(params.runtime.device, params.runtime.device_memory_gib)
