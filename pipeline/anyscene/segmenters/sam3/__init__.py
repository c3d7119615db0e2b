"""SAM 3: where its weights are, and how it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

FILES = ("config.json", catalogue.TENSORS)


class Sam3(Entry):
    captioned = True

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        return str(catalogue.find(self.name, self.folder(params.segmenters), FILES))

    def load(self, params: Params, captions: bool) -> Segmenter:
        folder = catalogue.find(self.name, self.folder(params.segmenters), FILES)
        from anyscene.segmenters.captions import load_captioner
        from anyscene.segmenters.sam3.segmenter import Sam3Segmenter

        captioner, precision = load_captioner(params, captions), params.segmenters.precision
        return Sam3Segmenter.load(
            self.name, folder, device_of(params), captioner=captioner, precision=precision
        )


ENTRY = Sam3("sam3")
