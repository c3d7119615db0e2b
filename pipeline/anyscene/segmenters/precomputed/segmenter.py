"""A 2D model that ran elsewhere. Its answers are read from files, one for each image (docs/precomputed.md).

An answer belongs to the pixels of an image and not to the name of a frame. So frames and synthesised images
are found in the same way, and a frame that was exported again never passes for the one that was segmented.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from anyscene.arrays import F4, I2, U1, Array
from anyscene.errors import DataError
from anyscene.project import layout
from anyscene.project.digests import Digests
from anyscene.project.parameters import CaptionNouns
from anyscene.segmenters.captions import noun_phrase
from anyscene.segmenters.captions.captioner import Captioner
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.named_masks import LabelledMaskModel, NamedMasks, owners
from anyscene.segmenters.precomputed import archive, description
from anyscene.segmenters.precomputed.image_index import IndexedImage, image_key
from anyscene.segmenters.protocol import FeatureMap, nearest
from anyscene.text import TextEncoder, embeddings
from anyscene.weights.catalogue import ANSWERS

FIRST = 5  # the number of missing answers that a message names


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


def load(
    name: str,
    folder: Path,
    text: TextEncoder,
    captioner: Captioner = ColourCaptioner(),
    nouns: CaptionNouns = "own",
) -> PrecomputedMasks | PrecomputedFeatures:
    """The answers in `folder` behind the Segmenter protocol. It holds precomputed.json and a file KEY.npz for
    every image. Raises DataError where the description is missing or wrong; the files of images are checked
    when they are read."""
    said = description.read(folder)
    if said["kind"] == "features":
        return PrecomputedFeatures(name, folder, text, captioner.template)
    labels, captioned = tuple(said["labels"]), bool(said.get("captions"))
    return PrecomputedMasks(name, folder, text, labels, captioned, captioner, nouns)


class PrecomputedFeatures:
    """Features in files behind the Segmenter protocol."""

    def __init__(self, name: str, folder: Path, text: TextEncoder, template: str) -> None:
        """template: the sentence in which names are encoded."""
        self.name, self._folder, self._text, self._template = name, folder, text, template

    def describe(self, images: U1, vocabulary: Sequence[str] = ()) -> list[FeatureMap]:
        """One FeatureMap for each image u1[B, H, W, 3]. Raises DataError where an answer is missing or
        wrong."""
        return [FeatureMap(torch.from_numpy(self._feature(image))) for image in images]

    def label(self, images: U1, vocabulary: Sequence[str]) -> I2:
        """i2[B, H, W]: the name most similar to the nearest cell. Raises DataError as `describe`."""
        labels = np.empty(images.shape[:3], np.int16)
        target = embeddings(self._text, vocabulary, self._template)  # [K, C]
        for row, image in zip(labels, images, strict=True):
            row[...] = nearest((self._feature(image) @ target.T).argmax(2), row.shape)
        return labels

    def _feature(self, image: U1) -> F4:
        file, arrays = _read(self.name, self._folder, image, ("feature",))
        feature = arrays["feature"]
        fits = feature.ndim == 3 and feature.shape[2] == self._text.width and 0 not in feature.shape
        _check(
            file, feature.dtype.kind == "f" and fits, "feature", f"floats [h, w, {self._text.width}]", feature
        )
        kept: F4 = _single(feature)
        if not np.isfinite(kept).all():
            raise DataError(f"{file}: features contain NaN or infinity, or more than a float32 holds")
        return kept


class PrecomputedMasks(LabelledMaskModel):
    """Masks in files behind the Segmenter protocol. Their adjectives are those of their own captions, where
    the files have any, or else the captioner's."""

    def __init__(
        self,
        name: str,
        folder: Path,
        text: TextEncoder,
        labels: tuple[str, ...],
        captioned: bool,
        captioner: Captioner,
        nouns: CaptionNouns,
    ) -> None:
        """captioned: whether the files have captions."""
        self.name, self.captioner, self.nouns, self.labels = name, captioner, nouns, labels
        self._folder, self.text, self._captioned = folder, text, captioned

    def labelled(self, images: U1) -> Iterator[NamedMasks]:
        """The masks of each image u1[B, H, W, 3]. Raises DataError where an answer is missing or wrong."""
        return map(self._masks, images)

    def _masks(self, image: U1) -> NamedMasks:
        names = ("mask", "label", "score", *(("caption",) if self._captioned else ()))
        file, arrays = _read(self.name, self._folder, image, names)
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
        if count and not (0 <= label.min() and label.max() < len(self.labels)):
            raise DataError(
                f"{file}: label {label.min() if label.min() < 0 else label.max()} is unknown; "
                f"{ANSWERS} lists {len(self.labels)} labels, counted from 0"
            )
        modifiers, stored = None, arrays.get("caption")
        if stored is not None:
            fine = stored.dtype.kind == "U" and stored.shape == (count,)
            _check(file, fine, "caption", f"texts [{count}]", stored)
            modifiers = tuple(map(noun_phrase.modifiers, _texts(file, stored)))
        return NamedMasks(owners(mask, score.astype(np.float32)), label.astype(np.int64), modifiers)


def _read(name: str, folder: Path, image: U1, arrays: Sequence[str]) -> tuple[Path, dict[str, Array]]:
    file = folder / f"{image_key(image)}.npz"
    try:
        return file, archive.read(file, arrays)
    except KeyError as error:
        raise DataError(f"{file}: array {error} is missing; `anyscene convert` writes all") from error
    except FileNotFoundError as error:
        raise DataError(
            f"{file}: {name} has no answer for this image of {image.shape[1]}x{image.shape[0]}; "
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


def _files(folder: Path) -> list[Path]:
    """The answers in `folder`. A folder with such a name is not one."""
    return [file for file in folder.glob("*.npz") if file.is_file()]
