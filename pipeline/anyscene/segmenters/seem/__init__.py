"""SEEM: its settings, where its weights are, and how it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from anyscene.errors import WeightsError
from anyscene.project.parameters import LONGEST_SIDE, within
from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

FILES = tuple(file.name for entry in catalogue.CATALOGUE if entry.folder == "seem" for file in entry.files)
SOURCE = catalogue.get("seem").source
Nouns = Literal["panoptic", "semantic"]


@dataclass(frozen=True)
class Settings:
    """The section segmenters.seem."""

    side: int  # pixels to which the shorter side of a frame is resized
    nouns: Nouns  # the class of a pixel: panoptic, that of its mask; semantic, the best over all queries

    def __post_init__(self) -> None:
        within("segmenters.seem", self, 32, LONGEST_SIDE, "side")


class SeemEntry(Entry):
    settings = Settings
    captioned = True
    own_labels = True

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        return str(find(self.folder(params.segmenters)))

    def load(self, params: Params, captions: bool) -> Segmenter:
        section = params.segmenters
        file, settings = find(self.folder(section)), section.settings(self.name)
        from anyscene.segmenters.captions import load_captioner
        from anyscene.segmenters.seem.segmenter import SeemSegmenter
        from anyscene.text import load_text_encoder

        text, captioner = load_text_encoder(params.text), load_captioner(params, captions)
        return SeemSegmenter.load(
            self.name,
            file,
            text,
            settings,
            device_of(params),
            captioner=captioner,
            nouns=section.nouns,
            precision=section.precision,
        )


def find(folder: Path) -> Path:
    """The checkpoint in `folder`, or its copy in safetensors. Raises WeightsError that says how to get one,
    and where there are several."""
    names = [name for file in FILES for name in (file, f"{Path(file).stem}.safetensors")]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise WeightsError(
            f"{folder / FILES[0]}: no SEEM weights; get one of {', '.join(FILES)} from {SOURCE} and put "
            "it there (`anyscene weights fetch seem`), or go on without: take `seem` out of segmenters.names"
        )
    if len(found) > 1:
        raise WeightsError(
            f"{folder}: holds {', '.join(file.name for file in found)}; keep the one to use, and move the "
            "others away"
        )
    return found[0]


ENTRY = SeemEntry("seem")
