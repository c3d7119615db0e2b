"""Grounding DINO with SAM: where their weights are, and how they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import WeightsError
from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

FILES = (
    "config.json",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    catalogue.TENSORS,
)
SAM_FILES = "sam_vit_*.pth"


class Grounded(Entry):
    captioned = True

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        return str(find(self.folder(params.segmenters)))

    def load(self, params: Params, captions: bool) -> Segmenter:
        folder = self.folder(params.segmenters)
        find(folder)
        from anyscene.segmenters.captions import load_captioner
        from anyscene.segmenters.grounded.segmenter import GroundedSegmenter

        captioner, precision = load_captioner(params, captions), params.segmenters.precision
        return GroundedSegmenter.load(
            self.name, folder, device_of(params), captioner=captioner, precision=precision
        )


def find(folder: Path) -> Path:
    """SAM's checkpoint in `folder`, which holds Grounding DINO too. Raises WeightsError that says what is
    missing and where to get it."""
    catalogue.find("grounded", folder, FILES)
    found = sorted(folder.glob(SAM_FILES))
    if len(found) != 1:
        raise WeightsError(
            f"{folder / SAM_FILES}: {'more than one' if found else 'no'} checkpoint of SAM; put one of "
            f"{catalogue.get('sam_vit_h').source} there (`anyscene weights fetch sam_vit_h` brings one into "
            f"{folder.parent / 'sam'}), or go on without: take `grounded` out of segmenters.names"
        )
    return found[0]


ENTRY = Grounded("grounded")
