"""The demo's dense model: where its weights lie, and how it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyscene.segmenters.protocol import Segmenter
from anyscene_demo.segmenters.entry import DemoEntry

if TYPE_CHECKING:
    from anyscene.project.parameters import Params


class Dense(DemoEntry):
    """The registry entry of the dense model."""

    looks_at_vocabulary = False

    def load(self, params: Params, captions: bool) -> Segmenter:
        from anyscene.text import load_text_encoder
        from anyscene_demo.segmenters.dense.segmenter import DenseSegmenter

        section, text = params.segmenters, load_text_encoder(params.text)
        folder, template = self.folder(section), params.text.template
        return DenseSegmenter(self.name, folder, text, section.precision, template)


ENTRY = Dense("dense")
