"""Segments of SEEM and ODISE, with what TAP says of each.

pano_seg/KEY.pth holds the segments, in one of two forms:

- what both models return under "panoptic_seg", as Mask2Former does: a map of segment numbers, 0 = none, and a
  list of {"id", "category_id", ...} (UX-Decoder/Segment-Everything-Everywhere-All-At-Once, branch v1.0,
  inference/xdecoder/infer_panoseg.py; NVlabs/ODISE, demo/demo.py). Both scripts only draw it.
- only the map, as SAS writes it for SEEM (peoplelu/SAS,
  point_feat_extraction/seem_feat/extract_seem_pano.py). The classes are then in sem_seg/KEY.pth, a map of
  them (extract_seem_semantic.py), which need not respect the segments: each part of a segment that has
  another class becomes a mask of its own, as in SAS's fusion_util.py, where pixels have the adjectives of
  their segment and the noun of their class.

caption/KEY.pth, if there is such a folder, is written by SAS's TAP/infer.py: its n-th caption is that of
segment n. (SAS's fusion_util.py takes the next one, and so fails at the last; what was run for the paper must
have differed.)
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.arrays import I8
from anyscene.errors import DataError
from anyscene.segmenters.class_names import SEEM, names
from anyscene.segmenters.precomputed.answer import MaskAnswer, Options, Size
from anyscene.segmenters.precomputed.converters import tap, torch_file
from anyscene.segmenters.protocol import nearest

LARGEST = np.iinfo(np.int32).max  # of segments, so that one and a class fit into a number


def seem(folder: Path, options: Options) -> Panoptic:
    """The reader of SEEM's files."""
    return Panoptic(folder, options.labels, SEEM)


def odise(folder: Path, options: Options) -> Panoptic:
    """The reader of ODISE's files."""
    return Panoptic(folder, options.labels)


@dataclass(frozen=True)
class Panoptic:
    """Segments in `folder`, whose classes `labels` names. Without labels, a map of classes has the names
    `usual`; classes in a list of segments are those that the model was asked for."""

    folder: Path
    labels: tuple[str, ...] | None
    usual: tuple[str, ...] | None = None

    def has(self, key: str) -> bool:
        return self._file("pano_seg", key).is_file()

    def read(self, key: str, size: Size) -> MaskAnswer:
        """Masks that do not overlap, by the numbers of their segments. A map of another size is read at the
        cell in which the centre of each pixel lies."""
        file = self._file("pano_seg", key)
        stored = torch_file.load(file)
        pair = isinstance(stored, (tuple, list)) and len(stored) >= 2
        labels = self.labels or (None if pair else self.usual)
        if labels is None:
            raise DataError(
                f"{file}: holds numbers of classes; say by --labels what the model was asked for, "
                "as a JSON list of names"
            )
        segment = nearest(_map(file, stored[0] if pair else stored), size)
        if pair:
            part, classes = np.where(segment > 0, segment, -1), _classes(file, stored[1])
            numbers = _values(part)
            if unknown := [number for number in numbers if number not in classes]:
                raise DataError(f"{file}: segment {unknown[0]} is not in the list of segments beside the map")
            label, of = [classes[number] for number in numbers], numbers
        else:
            file = self._file("sem_seg", key)
            count = len(labels)
            semantic = _map(file, torch_file.load(file))
            if semantic.max() >= count:
                raise DataError(f"{file}: class {semantic.max()} has no name; there are {count}, from 0")
            part = segment * count + nearest(semantic, size)
            numbers = _values(part)
            label, of = [number % count for number in numbers], [number // count for number in numbers]
        if wrong := [one for one in label if not 0 <= one < len(labels)]:
            raise DataError(f"{file}: class {wrong[0]} has no name; there are {len(labels)}, from 0")
        return MaskAnswer(
            part == np.array(numbers, np.int64).reshape(-1, 1, 1),
            tuple(names(labels[one])[0] for one in label),
            np.ones(len(numbers), np.float32),
            self._captions(key, of),
        )

    def _captions(self, key: str, segments: list[int]) -> tuple[str, ...] | None:
        """The caption of each of the segments; "" for what is in none."""
        if not (self.folder / "caption").is_dir():
            return None
        if not any(segments):
            return ("",) * len(segments)  # TAP's script writes no file then
        file = self._file("caption", key)
        said = tap.captions(file)
        if max(segments) > len(said):
            raise DataError(f"{file}: {len(said)} captions, but there is a segment {max(segments)}")
        return tuple(said[number - 1] if number else "" for number in segments)

    def _file(self, kind: str, key: str) -> Path:
        return self.folder / kind / f"{key}.pth"


def _map(file: Path, stored: Any) -> I8:
    """i8[h, w]: the map in `stored`, of numbers >= 0. Raises DataError where there is none."""
    fine = isinstance(stored, torch.Tensor) and not stored.is_floating_point() and stored.numel()
    value = stored.squeeze() if fine and stored.ndim > 2 else stored
    if not fine or value.ndim != 2 or value.min() < 0 or value.max() > LARGEST:
        raise DataError(f"{file}: wanted a map [h, w] of numbers from 0, alone or with the list of segments")
    ids: I8 = value.numpy().astype(np.int64)
    return ids


def _classes(file: Path, segments: Any) -> dict[int, int]:
    """The class of each segment. Raises DataError where there is no list of segments."""
    try:
        return {index(one["id"]): index(one["category_id"]) for one in segments}
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f'{file}: wanted a list of {{"id", "category_id"}} beside the map') from error


def _values(part: I8) -> list[int]:
    return [int(number) for number in np.unique(part) if number >= 0]
