"""MaskCLIP: its settings, and how it is loaded. Its weights are those of the text encoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from anyscene.project.parameters import LONGEST_SIDE, within
from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter

if TYPE_CHECKING:
    from anyscene.project.parameters import Params


@dataclass(frozen=True)
class Settings:
    """The section segmenters.maskclip."""

    base: int  # pixels to which the longer side of a frame is resized, rounded to whole patches

    def __post_init__(self) -> None:
        within("segmenters.maskclip", self, 1, LONGEST_SIDE, "base")


class MaskClip(Entry):
    settings = Settings
    looks_at_vocabulary = False

    def find(self, params: Params) -> str:
        from anyscene.segmenters.maskclip.segmenter import require_tower

        require_tower(params.text.encoder)
        return f"the image tower of {params.text.encoder}"

    def load(self, params: Params, captions: bool) -> Segmenter:
        from anyscene.segmenters.maskclip.segmenter import MaskClipSegmenter, load_tower
        from anyscene.text import load_text_encoder

        section, tower = params.segmenters, load_tower(params.text.encoder)
        text, settings = load_text_encoder(params.text), section.settings(self.name)
        device, template = device_of(params), params.text.template
        return MaskClipSegmenter(self.name, tower, text, settings, device, section.precision, template)


ENTRY = MaskClip("maskclip")
