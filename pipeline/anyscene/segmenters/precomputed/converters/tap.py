"""Answers of TAP (Pan et al. 2024). Its Predictor.get_results returns a list of one dict for each image
(baaivision/tokenize-anything, scripts/app_gradio.py), which SAS's TAP/infer.py saves:

    scores    f4[n, 2]  the IoU expected of the mask; the probability of the concept
    masks     u1[n, H, W]
    concepts  text [n]  the likeliest of 2560 names
    captions  text [n]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anyscene.errors import DataError
from anyscene.segmenters.precomputed.answer import MaskAnswer, Size
from anyscene.segmenters.precomputed.converters import torch_file
from anyscene.segmenters.protocol import nearest


@dataclass(frozen=True)
class TapAnswers:
    """TAP alone as a mask model, from KEY.pth in `folder`. The names of masks are their concepts."""

    folder: Path

    def has(self, key: str) -> bool:
        return self._file(key).is_file()

    def read(self, key: str, size: Size) -> MaskAnswer:
        file = self._file(key)
        answer = _answer(file)
        said, concept = _texts(file, answer, "captions"), _texts(file, answer, "concepts")
        mask, score = (np.asarray(answer.get(name, ())) for name in ("masks", "scores"))
        count = len(said)
        if (
            mask.ndim != 3
            or 0 in mask.shape[1:]
            or score.shape != (count, 2)
            or not len(mask) == count == len(concept)
        ):
            raise DataError(
                f"{file}: wanted masks [n, h, w], scores [n, 2], concepts [n] and captions [n], found "
                f"{list(mask.shape)}, {list(score.shape)}, [{len(concept)}] and [{count}]"
            )
        expected = score[:, 0].astype(np.float32)
        if not np.isfinite(expected).all():
            raise DataError(f"{file}: scores contain NaN or infinity")
        resized = [nearest(one > 0, size) for one in mask]
        # an IoU that a network estimates may be a little outside
        return MaskAnswer(np.array(resized, bool).reshape(-1, *size), concept, expected.clip(0, 1), said)

    def _file(self, key: str) -> Path:
        return self.folder / f"{key}.pth"


def captions(file: Path) -> tuple[str, ...]:
    """The captions of the masks that TAP was asked for, in that order. Raises DataError naming the file."""
    return _texts(file, _answer(file), "captions")


def _answer(file: Path) -> dict[str, Any]:
    stored = torch_file.load(file)
    if isinstance(stored, list) and len(stored) == 1:
        (stored,) = stored
    if not isinstance(stored, dict):
        raise DataError(f"{file}: wanted the list of one dict that TAP's Predictor.get_results returns")
    return stored


def _texts(file: Path, answer: dict[str, Any], name: str) -> tuple[str, ...]:
    texts = np.asarray(answer.get(name, 0)).tolist()
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{file}: wanted {name!r}, one text for each mask")
    return tuple(texts)
