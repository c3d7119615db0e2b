"""Mask2Former and OneFormer: where their weights are, and how they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

FILES = ("config.json", "preprocessor_config.json", catalogue.TENSORS)


class Universal(Entry):
    captioned = True
    own_labels = True

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        return str(catalogue.find(self.name, self.folder(params.segmenters), FILES))

    def load(self, params: Params, captions: bool) -> Segmenter:
        folder = catalogue.find(self.name, self.folder(params.segmenters), FILES)
        from anyscene.segmenters.captions import load_captioner
        from anyscene.segmenters.universal.segmenter import UniversalSegmenter
        from anyscene.text import load_text_encoder

        text, captioner = load_text_encoder(params.text), load_captioner(params, captions)
        return UniversalSegmenter.load(
            self.name,
            folder,
            text,
            device_of(params),
            captioner=captioner,
            nouns=params.segmenters.nouns,
            precision=params.segmenters.precision,
        )


MASK2FORMER, ONEFORMER = Universal("mask2former"), Universal("oneformer")
