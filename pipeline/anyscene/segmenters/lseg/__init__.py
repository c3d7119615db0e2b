"""LSeg: its settings, where its weights are, and how it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import ConfigError, WeightsError
from anyscene.project.parameters import LONGEST_SIDE, within
from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

FILES = ("demo_e200.safetensors", "demo_e200.ckpt")
SOURCE = catalogue.get("lseg").source


@dataclass(frozen=True)
class Settings:
    """The section segmenters.lseg."""

    base: int  # the pixels to which the longer side of a frame is resized
    crop: int  # the side in pixels of the square that the network sees at a time

    def __post_init__(self) -> None:
        within("segmenters.lseg", self, 1, LONGEST_SIDE, "base")
        within("segmenters.lseg", self, 32, LONGEST_SIDE, "crop")
        if self.crop % 32:
            raise ConfigError(f"segmenters.lseg.crop: must be a multiple of 32, not {self.crop}")


class Lseg(Entry):
    settings = Settings
    looks_at_vocabulary = False

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        return str(find(self.folder(params.segmenters)))

    def load(self, params: Params, captions: bool) -> Segmenter:
        file = find(self.folder(params.segmenters))
        from anyscene.segmenters.lseg.segmenter import LsegSegmenter
        from anyscene.text import load_text_encoder

        section = params.segmenters
        text, settings = load_text_encoder(params.text), section.settings(self.name)
        return LsegSegmenter.load(
            self.name,
            file,
            text,
            settings,
            device_of(params),
            precision=section.precision,
            template=params.text.template,
        )


def find(folder: Path) -> Path:
    """The checkpoint in `folder`. Raises WeightsError that says which file is missing and where to get it."""
    for name in FILES:
        if (folder / name).is_file():
            return folder / name
    raise WeightsError(
        f"{folder / FILES[-1]}: no LSeg weights; get demo_e200.ckpt from {SOURCE} and put it there (or a "
        f"copy converted to {FILES[0]}), or go on without LSeg: take `lseg` out of segmenters.names"
    )


ENTRY = Lseg("lseg")
