"""A 2D model that ran elsewhere. Its answers are read from files, one for each image (docs/precomputed.md).

An answer belongs to the pixels of an image and not to the name of a frame. So frames and synthesised images
are found in the same way, and a frame that was exported again never passes for the one that was segmented.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anyscene.arrays import F4, I2, U1, Array
from anyscene.errors import DataError
from anyscene.project import layout
from anyscene.project.digests import Digests
from anyscene.segmenters.captions import noun_phrase
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.named_masks import NamedMasks, owners
from anyscene.segmenters.precomputed import archive
from anyscene.segmenters.precomputed.answer import FORMAT, MaskAnswer
from anyscene.segmenters.precomputed.image_index import IndexedImage, image_key
from anyscene.segmenters.protocol import CaptionMap, FeatureMap, nearest
from anyscene.text import TEMPLATE, TextEncoder, embeddings
from anyscene.weights.catalogue import ANSWERS

FIRST = 5  # the number of missing answers that a message names


def are_masks(folder: Path) -> bool:
    """Whether the answers in `folder` are masks. Raises DataError where the description is missing or
    wrong."""
    return bool(_description(folder / ANSWERS)["kind"] == "masks")


def wants_captioner(folder: Path) -> bool:
    """Whether the answers in `folder` are masks without captions of their own. Raises DataError where the
    description is missing or wrong."""
    description = _description(folder / ANSWERS)
    return description["kind"] == "masks" and not description.get("captions")


def require(name: str, folder: Path, images: Sequence[IndexedImage]) -> None:
    """Raise DataError where the model `name` has no answer to one of `images` in `folder`. Only the names of
    files are looked at."""
    answered = {file.stem for file in _files(folder)}
    missing = [image for image in images if image.key not in answered]
    if not missing:
        return
    of = f"{len({image.of for image in missing})} of {len({image.of for image in images})}"
    lines = [f"  {image.of} {image.image}: {folder / image.key}.npz" for image in missing[:FIRST]]
    if len(missing) > FIRST:
        lines.append(f"  and {len(missing) - FIRST} more")
    raise DataError(
        f"{folder}: {name} has no answer for {len(missing)} of {len(images)} images, in {of} "
        "scenes or classes; nothing was computed. Show it those that `anyscene frames` wrote and add the "
        "answers (where it finds nothing, one without masks):\n" + "\n".join(lines)
    )


def digests(folder: Path, images: Iterable[IndexedImage], of: Iterable[str]) -> dict[str, str]:
    """A digest of the answers in `folder` to the `images` of each scene or class in `of`; that of all answers
    for one without images."""
    files: dict[str, list[Path]] = {one: [] for one in of}
    for image in images:
        files[image.of].append(Path(f"{image.key}.npz"))
    with Digests(layout.DIGESTS) as digest:
        every = functools.cache(
            lambda: digest.of_files(folder, [Path(f.name) for f in sorted(_files(folder))], growing=True)
        )
        return {one: digest.of_files(folder, sorted(own)) if own else every() for one, own in files.items()}


class PrecomputedSegmenter:
    """The files in a folder behind the Segmenter protocol."""

    def __init__(
        self,
        name: str,
        folder: Path,
        text: TextEncoder,
        captioner: Captioner = ColourCaptioner(),
        template: str = TEMPLATE,
    ) -> None:
        """folder: it holds precomputed.json and a file KEY.npz for every image; template: the sentence in
        which names are encoded. Raises DataError where the description is missing or wrong; the files of
        images are checked when they are read."""
        self.name, self._captioner, self._template = name, captioner, template
        self._folder, self._text = folder, text
        description = _description(folder / ANSWERS)
        self._kind = description["kind"]
        if self._kind == "masks":
            self._labels = tuple(description["labels"])
            self._own = dict(zip(self._labels, self._embeddings(self._labels), strict=True))  # f4[C] each
        self._captions = description.get("captions", False)

    def describe(self, images: U1, vocabulary: Sequence[str]) -> list[FeatureMap] | list[CaptionMap]:
        """One map for each image u1[B, H, W, 3]. A mask becomes "a brown table in a scene", with the
        adjectives of its own caption, or else of the captioner, and the name of the vocabulary that is
        closest to the model's label. Raises DataError where an answer is missing or wrong."""
        if self._kind == "features":
            return [FeatureMap(torch.from_numpy(self._feature(image))) for image in images]
        return [
            self._named(image, vocabulary).captions(image, vocabulary, self._captioner) for image in images
        ]

    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: for masks the name closest to their label, -1 outside all; for features the name most
        similar to the nearest cell. Raises DataError as `describe`."""
        labels = np.empty(images.shape[:3], np.int16)
        target = self._embeddings(vocabulary)  # [K, C]
        for row, image in zip(labels, images, strict=True):
            if self._kind == "features":
                row[...] = nearest((self._feature(image) @ target.T).argmax(2), row.shape)
            else:
                row[...] = self._named(image, vocabulary).labels()
        return labels

    def _embeddings(self, names: Sequence[str]) -> F4:
        return embeddings(self._text, names, self._template)

    def _named(self, image: U1, vocabulary: Sequence[str]) -> NamedMasks:
        found = self._masks(image)
        own = np.array([self._own[name] for name in found.name], np.float32).reshape(-1, self._text.width)
        name = (own @ self._embeddings(vocabulary).T).argmax(1)
        modifiers = None if found.caption is None else tuple(map(noun_phrase.modifiers, found.caption))
        return NamedMasks(owners(found.mask, found.score), name, modifiers)

    def _masks(self, image: U1) -> MaskAnswer:
        names = ("mask", "label", "score", *(("caption",) if self._captions else ()))
        file, arrays = self._read(image, names)
        mask, label, score = (arrays[name] for name in names[:3])
        count, size = len(mask) if mask.ndim else 0, image.shape[:2]
        _check(
            file,
            mask.dtype == bool and mask.shape == (count, *size),
            "mask",
            f"b1[n, {size[0]}, {size[1]}]",
            mask,
        )
        _check(
            file, label.dtype.kind in "iu" and label.shape == (count,), "label", f"integers [{count}]", label
        )
        _check(file, score.dtype.kind == "f" and score.shape == (count,), "score", f"floats [{count}]", score)
        if count and not (0 <= score.min() and score.max() <= 1):  # this refuses NaN too
            raise DataError(f"{file}: scores must lie in 0..1")
        if count and not (0 <= label.min() and label.max() < len(self._labels)):
            raise DataError(
                f"{file}: label {label.min() if label.min() < 0 else label.max()} is unknown; "
                f"{ANSWERS} lists {len(self._labels)} labels, counted from 0"
            )
        caption, stored = None, arrays.get("caption")
        if stored is not None:
            fine = stored.dtype.kind == "U" and stored.shape == (count,)
            _check(file, fine, "caption", f"texts [{count}]", stored)
            caption = _texts(file, stored)
        return MaskAnswer(mask, tuple(self._labels[one] for one in label), score.astype(np.float32), caption)

    def _feature(self, image: U1) -> F4:
        file, arrays = self._read(image, ("feature",))
        feature = arrays["feature"]
        fits = feature.ndim == 3 and feature.shape[2] == self._text.width and 0 not in feature.shape
        _check(
            file, feature.dtype.kind == "f" and fits, "feature", f"floats [h, w, {self._text.width}]", feature
        )
        kept: F4 = _single(feature)
        if not np.isfinite(kept).all():
            raise DataError(f"{file}: features contain NaN or infinity, or more than a float32 holds")
        return kept

    def _read(self, image: U1, names: Sequence[str]) -> tuple[Path, dict[str, Array]]:
        file = self._folder / f"{image_key(image)}.npz"
        try:
            return file, archive.read(file, names)
        except KeyError as error:
            raise DataError(f"{file}: array {error} is missing; see docs/precomputed.md") from error
        except FileNotFoundError as error:
            raise DataError(
                f"{file}: {self.name} has no answer for this image of {image.shape[1]}x{image.shape[0]}; "
                "`anyscene frames` writes the images of all answers that are wanted"
            ) from error


def _single(values: Array) -> F4:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        return values.astype(np.float32)


def _check(file: Path, fine: bool, name: str, wanted: str, array: Array) -> None:
    if not fine:
        raise DataError(f"{file}: {name} must be {wanted}, not {array.dtype} {list(array.shape)}")


def _texts(file: Path, array: Array) -> tuple[str, ...]:
    try:
        return tuple(array.tolist())
    except (ValueError, SystemError) as error:  # its numbers are not letters
        raise DataError(f"{file}: caption is not text ({error}); write it again") from error


def _description(file: Path) -> dict[str, Any]:
    """The content of precomputed.json. Raises DataError where it is missing or wrong."""
    try:
        description: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: not readable ({error}); docs/precomputed.md says what it holds") from error
    fine = isinstance(description, dict) and description.get("format") == FORMAT
    if not fine or description.get("kind") not in ("masks", "features"):
        raise DataError(f'{file}: wanted "format": {FORMAT} and "kind": "masks" or "features"')
    labels = description.get("labels")
    if description["kind"] == "masks" and not (
        isinstance(labels, list) and labels and all(isinstance(label, str) and label for label in labels)
    ):
        raise DataError(f'{file}: wanted "labels": the names that masks are labelled with')
    if not isinstance(description.get("captions", False), bool):
        raise DataError(f'{file}: wanted "captions": true where masks carry captions, or false')
    return description


def _files(folder: Path) -> list[Path]:
    """The answers in `folder`. A folder with such a name is not one."""
    return [file for file in folder.glob("*.npz") if file.is_file()]
