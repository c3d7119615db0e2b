"""Rendered training images of the zoo and the frozen backbone's features of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipeline.errors import PipelineError
from pipeline.segmenters.backbone import CHANNELS, Backbone, prepare


@dataclass(frozen=True)
class Images:
    """rgb u1[n, H, W, 3]; label u1[n, H, W], 255 = none; instance u2[n, H, W], 0 = none; place i8[n], the
    room (or the image itself, for single objects) within which an instance number means one object."""

    rgb: np.ndarray
    label: np.ndarray
    instance: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.rgb)


def rendered(cache: Path, part: str) -> Images:
    """The `part` ("rooms", "objects", "heldout") of the renderings in `cache`, mapped from disk.

    Raises PipelineError naming the file that is missing or unreadable.
    """
    arrays = {}
    for name in ("rgb", "label", "instance"):
        path = cache / f"{part}_{name}.npy"
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
    # rooms and single objects draw from different places
    place = np.arange(count, dtype=np.int64) // views + (10_000_000 if part == "objects" else 0)
    return Images(
        arrays["rgb"].reshape(count, *size, 3),
        label.reshape(count, *size),
        arrays["instance"].reshape(count, *size),
        place,
    )


def backbone_maps(
    backbone: Backbone, images: Images, folder: Path, *, side: int, grey: bool, say=print
) -> tuple[np.ndarray, ...]:
    """Backbone features of all `images`, f2[n, h, w, c] at strides 4, 8, 16, 32, mapped from `folder`.

    Computed once: a second call with the same images and settings only opens them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "done.json"
    key = {"side": side, "grey": grey, "rgb": hashlib.blake2b(np.ascontiguousarray(images.rgb)).hexdigest()}
    paths = [folder / f"stride{4 << level}.npy" for level in range(len(CHANNELS))]
    if not (done.exists() and json.loads(done.read_text()) == key):
        done.unlink(missing_ok=True)
        _compute(backbone, images, paths, side, grey, say)
        done.write_text(json.dumps(key))
    return tuple(np.load(path, mmap_mode="r", allow_pickle=False) for path in paths)


@torch.inference_mode()
def _compute(backbone: Backbone, images: Images, paths: list[Path], side: int, grey: bool, say) -> None:
    backbone = backbone.to(memory_format=torch.channels_last)
    files: list[np.ndarray] = []
    for i in range(len(images)):
        maps = backbone(prepare(np.array(images.rgb[i : i + 1]), side, grey))
        if not files:
            shapes = [(len(images), *m.shape[2:], m.shape[1]) for m in maps]
            files = [
                np.lib.format.open_memmap(path, "w+", np.float16, shape)
                for path, shape in zip(paths, shapes, strict=True)
            ]
        for file, found in zip(files, maps, strict=True):
            file[i] = found[0].permute(1, 2, 0).numpy()
        if i % 500 == 0:
            say(f"features of image {i} of {len(images)}")
    for file in files:
        file.flush()
