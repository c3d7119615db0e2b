"""OpenSeg: where its weights are, and how it is loaded."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anyscene.errors import WeightsError
from anyscene.segmenters.entry import Entry, device_of
from anyscene.segmenters.protocol import Segmenter
from anyscene.weights import catalogue

if TYPE_CHECKING:
    from anyscene.project.parameters import Params, Segmenters

FILES = tuple(file.name for file in catalogue.get("openseg").files)
SOURCE = catalogue.get("openseg").source


class OpenSeg(Entry):
    looks_at_vocabulary = False

    def weights(self, section: Segmenters) -> Sequence[Path]:
        return (self.folder(section),)

    def find(self, params: Params) -> str:
        return str(find(self.folder(params.segmenters)))

    def load(self, params: Params, captions: bool) -> Segmenter:
        folder = find(self.folder(params.segmenters))
        from anyscene.segmenters.openseg.segmenter import OpenSegSegmenter
        from anyscene.text import load_text_encoder

        text = load_text_encoder(params.text)
        return OpenSegSegmenter.load(self.name, folder, text, device_of(params), params.text.template)


def find(folder: Path) -> Path:
    """`folder`, if it holds the SavedModel. Raises WeightsError that says which file is missing and where to
    get it, and where there is no TensorFlow to run it."""
    catalogue.find("openseg", folder, FILES)
    if importlib.util.find_spec("tensorflow") is None:
        raise WeightsError(f'{folder}: TensorFlow runs it, which is missing: pip install "anyscene[openseg]"')
    return folder


ENTRY = OpenSeg("openseg")
