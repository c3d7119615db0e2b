"""Answers for all images -> the folder of a precomputed model."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from anyscene.errors import DataError
from anyscene.project import outputs
from anyscene.project.progress import progress
from anyscene.segmenters.precomputed import image_index
from anyscene.segmenters.precomputed.answer import FORMAT, FeatureAnswer, MaskAnswer, Reader, Size
from anyscene.weights.catalogue import ANSWERS


@dataclass(frozen=True)
class Conversion:
    """What was written."""

    images: int  # that have an answer
    empty: int  # those of them without a mask
    masks: int  # in all images
    labels: int  # names that occur
    kind: str  # "masks" or "features"


def wanted(frames: Path) -> dict[str, Size]:
    """The keys and sizes (height, width) of the images that `anyscene frames` wrote into `frames`. Raises
    DataError where it wrote none there."""
    index = frames / image_index.INDEX.name
    keys = dict.fromkeys(row["key"] for row in image_index.read(index))
    sizes = {}
    for key in keys:
        try:
            with Image.open(frames / f"{key}.png") as image:
                sizes[key] = (image.height, image.width)
        except OSError as error:
            raise DataError(f"{frames / key}.png: not readable ({error}); run `anyscene frames`") from error
    if not sizes:
        raise DataError(f"{index}: lists no images; run `anyscene frames` after the scenes")
    return sizes


def write(
    reader: Reader,
    images: Mapping[str, Size],
    out: Path,
    *,
    missing_is_empty: bool = False,
    about: Mapping[str, str] | None = None,
) -> Conversion:
    """Fill the folder `out` with the answers for `images`, in the place of those that it held.

    missing_is_empty: an image without an answer has no masks, since some scripts write no file then.
    about: further entries of precomputed.json.

    `out` is replaced only when everything is written. Whenever a run is killed, the old answers or the new
    ones are complete; at worst they are in .NAME.old, from which the next run restores them. Raises DataError
    where answers are missing or wrong, and where `out` holds anything other than answers; OutputError where
    `out` cannot be written.
    """
    missing = [key for key in images if not reader.has(key)]
    if missing and (not missing_is_empty or len(missing) == len(images)):
        raise DataError(
            f"{len(missing)} of {len(images)} images have no answer, first {missing[0]}; run the model on "
            "them. If its script writes no file where it finds nothing, say --missing-is-empty"
        )
    out = out.resolve()  # the target of a link, because folders are renamed here
    partial, old = (out.with_name(f".{out.name}.{state}") for state in ("partial", "old"))
    if old.exists() and not out.exists():
        old.rename(out)  # a run was killed between the two renames
    _refuse_others(out)
    outputs.check_folder(out)
    for left in (partial, old):
        shutil.rmtree(left, ignore_errors=True)
    with outputs.explained(out):
        partial.mkdir(parents=True)
        try:
            summary, description = _fill(partial, reader, images, set(missing))
            said = json.dumps({**description, **(about or {})}, indent=2, ensure_ascii=False)
            (partial / ANSWERS).write_text(f"{said}\n", encoding="utf-8")
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if out.exists():
            out.rename(old)
        partial.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    return summary


def _refuse_others(out: Path) -> None:
    """Raise DataError where `out` exists and holds anything other than answers."""
    if not out.exists():
        return
    if not (out / ANSWERS).is_file():
        raise DataError(f"{out}: exists and holds no {ANSWERS}; name a new folder")
    for file in sorted(out.iterdir()):
        if not file.is_file() or (file.name != ANSWERS and file.suffix != ".npz"):
            raise DataError(
                f"{file}: is not an answer, and {out} would be replaced; move it or name a new folder"
            )


def _fill(
    folder: Path, reader: Reader, images: Mapping[str, Size], missing: set[str]
) -> tuple[Conversion, dict[str, Any]]:
    """Write one file for each image; returns the summary and the content of precomputed.json."""
    labels: dict[str, int] = {}
    count: Counter[str] = Counter()
    with progress("answers", len(images)) as advance:
        for key, size in images.items():
            answer = _none(size) if key in missing else reader.read(key, size)
            _save(folder / f"{key}.npz", answer, labels)
            if isinstance(answer, MaskAnswer):
                count["empty"] += not answer.name
                count["masks"] += len(answer.name)
                count["captioned"] += len(answer.caption or ())
            else:
                count["features"] += 1
            advance()
    if count["features"]:
        if missing:
            raise DataError(
                f"{len(missing)} images have no answer: features have to be there for every image"
            )
        return Conversion(len(images), 0, 0, 0, "features"), {"format": FORMAT, "kind": "features"}
    if not labels:
        raise DataError("there are no masks in any image: is this the folder of the model's answers?")
    captions = count["captioned"] > 0
    description = {"format": FORMAT, "kind": "masks", "captions": captions, "labels": list(labels)}
    return Conversion(len(images), count["empty"], count["masks"], len(labels), "masks"), description


def _none(size: Size) -> MaskAnswer:
    return MaskAnswer(np.zeros((0, *size), bool), (), np.zeros(0, np.float32), ())


def _save(file: Path, answer: MaskAnswer | FeatureAnswer, labels: dict[str, int]) -> None:
    """Write an answer. Names that are not in `labels` yet are added to it."""
    if isinstance(answer, FeatureAnswer):
        np.savez(file, feature=answer.feature)
        return
    label = np.array([labels.setdefault(name, len(labels)) for name in answer.name], np.int32)
    arrays: dict[str, Any] = {"mask": answer.mask, "label": label, "score": answer.score}
    if answer.caption is not None or not answer.name:  # without masks there are no captions in either case
        arrays["caption"] = np.array(answer.caption or [], str)
    np.savez_compressed(file, **arrays)
