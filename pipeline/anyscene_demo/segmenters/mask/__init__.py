"""The demo's mask model: where its weights lie, and how it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyscene.segmenters.protocol import Segmenter
from anyscene_demo.segmenters.entry import DemoEntry

if TYPE_CHECKING:
    from anyscene.project.parameters import Params


class Mask(DemoEntry):
    """The registry entry of the mask model."""

    captioned = True
    own_labels = True

    def load(self, params: Params, captions: bool) -> Segmenter:
        from anyscene.segmenters.captions import load_captioner
        from anyscene.text import load_text_encoder
        from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter

        section, text = params.segmenters, load_text_encoder(params.text)
        captioner = load_captioner(params, captions)
        return MaskSegmenter(
            self.name, self.folder(section), text, captioner, section.nouns, section.precision
        )


ENTRY = Mask("mask")
