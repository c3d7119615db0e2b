"""The rendered images on which the zoo is trained, and what the frozen backbone makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from anyscene.arrays import F2, I8, U1, U2, Array
from anyscene.errors import PipelineError
from anyscene_demo.segmenters.backbone import CHANNELS, Backbone, prepare
from anyscene_demo.zoo.knowledge import IGNORE

SOFT = 0.3  # the share of images that are softened, because generated images are soft


@dataclass(frozen=True)
class Images:
    """Rendered images with their truth."""

    rgb: U1  # u1[n, H, W, 3]
    label: U1  # u1[n, H, W], 255 = none
    instance: U2  # u2[n, H, W], 0 = none
    place: I8  # i8[n], the room, or the single object's view, in which a number means one instance

    def __len__(self) -> int:
        return len(self.rgb)


def rendered(cache: Path, part: str, most: int | None = None) -> Images:
    """The first `most` images of a part ("rooms", "objects", "heldout_rooms", ...) of the renderings in
    `cache`, mapped from disk.

    Raises PipelineError naming the file that is missing or unreadable.
    """
    arrays = {}
    for name in ("rgb", "label", "instance"):
        path = cache / f"{part}_{name}.npy"
        if name == "instance" and part.endswith("objects"):
            continue
        try:
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PipelineError(
                f"{path}: no readable renderings ({error}); run `make zoo` from the start"
            ) from error
    label = arrays["label"]
    views = label.shape[1] if label.ndim == 4 else 1  # rooms come as [R, V, H, W]
    size = label.shape[-2:]
    count = int(np.prod(label.shape[:-2]))
    if "instance" not in arrays:  # views of one object: what is of one class is one thing
        arrays["instance"] = np.where(label == IGNORE, 0, label + np.uint16(1))
    # rooms and single objects draw from different places
    place = np.arange(count, dtype=np.int64) // views + (0 if label.ndim == 4 else 10_000_000)
    return Images(
        arrays["rgb"].reshape(count, *size, 3)[:most],
        label.reshape(count, *size)[:most],
        arrays["instance"].reshape(count, *size)[:most],
        place[:most],
    )


@dataclass(frozen=True)
class Seen:
    """Images as a network sees them: a random variation of each, after the frozen backbone."""

    maps: tuple[F2, ...]  # f2[n, h, w, c] at strides 4, 8, 16 and 32
    label: U1  # u1[n, h, w] at stride 4
    instance: U2  # u2[n, h, w] at stride 4


@torch.inference_mode()
def see(
    images: Images,
    backbone: Backbone,
    folder: Path,
    *,
    side: int,
    grey: bool,
    seed: int,
    say: Callable[[str], None],
) -> Seen:
    """Draw a variation of each image (crop, exposure, tint, softness), and map it. The result is kept in
    `folder`, where another call with the same images and settings finds it."""
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    content = hashlib.blake2b(np.ascontiguousarray(images.rgb).data).hexdigest()
    key = {"side": side, "grey": grey, "seed": seed, "rgb": content}
    names = [*(f"stride{4 << level}" for level in range(len(CHANNELS))), "label", "instance"]
    paths = [folder / f"{name}.npy" for name in names]
    if not (done.exists() and json.loads(done.read_text(encoding="utf-8")) == key):
        done.unlink(missing_ok=True)
        backbone = backbone.to(memory_format=torch.channels_last)
        files: list[np.memmap[Any, Any]] = []
        for i in range(len(images)):
            rgb, label, instance = vary(images, i, np.random.default_rng([seed, i]))
            maps = backbone(prepare(rgb[None], side, grey))
            found = [m[0].permute(1, 2, 0).numpy().astype(np.float16) for m in maps]
            cells = found[0].shape[:2]
            found += [at_cells(label, cells), at_cells(instance, cells)]
            if not files:
                files = [
                    np.lib.format.open_memmap(path, "w+", a.dtype, (len(images), *a.shape))
                    for path, a in zip(paths, found, strict=True)
                ]
            for file, array in zip(files, found, strict=True):
                file[i] = array
            if i % 500 == 0:
                say(f"seen {i} of {len(images)} images")
        for file in files:
            file.flush()
        done.write_text(json.dumps(key), encoding="utf-8")
    *maps, label, instance = (np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)
    return Seen(tuple(maps), label, instance)


def at_cells(image: Array, size: Sequence[int]) -> Array:
    """The values of an image [H, W] at the centres of a grid of `size` cells that covers it."""
    rows, columns = (
        ((np.arange(cells) + 0.5) * length / cells).astype(int)
        for cells, length in zip(size, image.shape, strict=True)
    )
    read: Array = image[rows][:, columns]
    return read


def vary(images: Images, i: int, rng: np.random.Generator) -> tuple[U1, U1, U2]:
    """(rgb, label, instance) of image number i: a part of it with another exposure and tint, and sometimes
    softened."""
    height, width = images.label.shape[1:]
    part = rng.uniform(0.75, 1)
    h, w = round(height * part), round(width * part)
    top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
    window = (i, slice(top, top + h), slice(left, left + w))
    # every image the same size, so that maps stack
    rgb = _resize(images.rgb[window], (height, width))
    if rng.random() < SOFT:
        factor = rng.uniform(1.3, 2.5)
        rgb = _resize(_resize(rgb, (round(height / factor), round(width / factor))), (height, width))
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.95, 1.05, 3)
    rgb = np.clip(rgb * gain + rng.uniform(-15, 15), 0, 255).astype(np.uint8)
    return (
        rgb,
        at_cells(images.label[window], (height, width)),
        at_cells(images.instance[window], (height, width)),
    )


def _resize(rgb: U1, size: tuple[int, int]) -> U1:
    return np.asarray(
        Image.fromarray(np.ascontiguousarray(rgb)).resize(size[::-1], Image.Resampling.BILINEAR)
    )
