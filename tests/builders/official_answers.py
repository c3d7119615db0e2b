"""Images, and what the scripts of SEEM, ODISE, TAP and OpenSeg write of them, made up at random."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from anyscene.segmenters.class_names import SEEM
from anyscene.segmenters.precomputed import image_index
from anyscene.segmenters.precomputed.image_index import image_key

SIZES = ((24, 32), (24, 32), (48, 64), (1, 1), (24, 32))  # height, width; in the last nothing is found
SAID = (
    "a wooden bench near a wall", "a white wall", "an old brown leather sofa", "the floor",
    "a tall metal lamp", "a black and white cat on a bed",
)  # fmt: skip
CONCEPTS = ("bench", "wall", "sofa", "floor", "lamp", "cat")
ODISE = ("chair", "dining table", "wall", "floor", "sofa")
CHANNELS = 8


def images(folder):
    """Write them as `anyscene frames` does; returns them by their keys."""
    folder.mkdir()
    random = np.random.default_rng(0)
    found = {}
    rows = []
    for number, size in enumerate(SIZES):
        image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
        found[image_key(image)] = image
        Image.fromarray(image).save(folder / f"{image_key(image)}.png")
        rows.append((image_key(image), "scene", str(number), "state"))
    rows.append((next(iter(found)), "other", "0", "state"))  # two frames may be equal
    image_index.write(rows, folder / "index.csv")
    return found


def segments(random, size, most):
    """i4[h, w] of numbers from 0, as Mask2Former counts them: without gaps."""
    coarse = random.integers(0, most + 1, (max(1, size[0] // 6), max(1, size[1] // 6)))
    _, dense = np.unique(np.append(coarse, 0), return_inverse=True)
    dense = dense[:-1].reshape(coarse.shape)
    rows, columns = np.arange(size[0]) * len(dense) // size[0], np.arange(size[1]) * dense.shape[1] // size[1]
    return dense[rows[:, None], columns].astype(np.int32)


def write_sas(folder, found, captions=True):
    """pano_seg, sem_seg and caption, as SAS's scripts write them; nothing for the last image."""
    random = np.random.default_rng(1)
    for kind in ("pano_seg", "sem_seg", *(("caption",) if captions else ())):
        (folder / kind).mkdir(parents=True)
    for key, image in list(found.items())[:-1]:
        segment = segments(random, image.shape[:2], 4)
        semantic = np.where(random.random(segment.shape) < 0.1, 5, 56 + 3 * segment).astype(np.uint8)
        torch.save(torch.from_numpy(segment), folder / "pano_seg" / f"{key}.pth")
        torch.save(torch.from_numpy(semantic), folder / "sem_seg" / f"{key}.pth")
        if captions and segment.max():
            torch.save(tap_results(random, segment.max(), image.shape[:2]), folder / "caption" / f"{key}.pth")
    assert semantic.max() < len(SEEM)
    return folder


def write_pairs(folder, found, classes):
    """pano_seg, as the models answer under "panoptic_seg", with an empty list for the last image."""
    random = np.random.default_rng(2)
    (folder / "pano_seg").mkdir(parents=True)
    for number, (key, image) in enumerate(found.items()):
        segment = segments(random, image.shape[:2], 4 if number < len(found) - 1 else 0)
        info = [
            {"id": number, "isthing": bool(number % 2), "category_id": int(random.integers(classes))}
            for number in range(1, segment.max() + 1)
        ]
        torch.save((torch.from_numpy(segment), info), folder / "pano_seg" / f"{key}.pth")
    return folder


def tap_results(random, count, size):
    """What TAP's Predictor.get_results returns for one image."""
    chosen = random.integers(0, len(SAID), count)
    return [
        {
            "scores": random.random((count, 2), np.float32) * 1.02,
            "masks": (random.random((count, *size)) < 0.4).astype(np.uint8),
            "concepts": np.array(CONCEPTS)[chosen],
            "captions": np.array(SAID)[chosen],
        }
    ]


def write_tap(folder, found):
    """KEY.pth of every image but the last."""
    random = np.random.default_rng(3)
    folder.mkdir()
    for key, image in list(found.items())[:-1]:
        torch.save(tap_results(random, 3, image.shape[:2]), folder / f"{key}.pth")
    return folder


def write_openseg(folder, found):
    """KEY.npz of every image, as np.savez(KEY, **{name: value.numpy() ...}) writes the SavedModel's answer:
    to a square of 40 the image is scaled, and padded."""
    random = np.random.default_rng(4)
    folder.mkdir()
    for key, image in found.items():
        height, width = image.shape[:2]
        scale = 40 / max(height, width)
        info = [[height, width], [40, 40], [scale, scale], [0, 0]]
        np.savez(
            folder / f"{key}.npz",
            ppixel_ave_feat=random.normal(size=(1, 40, 40, CHANNELS)).astype(np.float32),
            image_embedding_feat=np.zeros((1, 40, 40, CHANNELS), np.float32),
            image_info=np.array(info, np.float32),
        )
    return folder
