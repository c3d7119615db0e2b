"""python -m benchmarks.speed.memory [POINTS VIEWS GIB]: time and peak memory of a huge scene.

The scene goes through projection and fusion. By default it has 5 million points, 300 views and two models of
512 channels, one dense and one of masks, and runtime.memory_gib is 4. The artefacts, about 15 GB, are written
to a temporary folder and removed.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from anyscene.fusion import SuperpointMeans, fuse_blocks
from anyscene.lifting.projection import DescribedFrame, project
from anyscene.project import store
from anyscene.segmenters.protocol import CaptionMap, FeatureMap
from benchmarks.speed.meshes import orbit
from benchmarks.speed.own_process import peak

CHANNELS, CAPTIONS = 512, 200
TABLE = np.random.default_rng(0).standard_normal((CAPTIONS, CHANNELS), np.float32)


def dense_views(views: int) -> Iterator[DescribedFrame]:
    for i, camera in enumerate(orbit(views)):
        random = torch.Generator().manual_seed(i)
        yield DescribedFrame(camera, None, FeatureMap(torch.rand(60, 80, CHANNELS, generator=random)))


def mask_views(views: int) -> Iterator[DescribedFrame]:
    rng, text = np.random.default_rng(1), tuple(map(str, range(CAPTIONS)))
    for camera in orbit(views):
        masks = rng.integers(-1, CAPTIONS, (12, 16)).astype(np.int32)
        yield DescribedFrame(camera, None, CaptionMap(masks.repeat(20, 0).repeat(20, 1), text))


def box(points: int) -> np.ndarray:
    """f4[N, 3]: points on the walls, the floor and the ceiling of a room. Neighbours are close in memory."""
    rng, size = np.random.default_rng(0), np.array([6, 5, 2.7], np.float32)
    xyz, side = rng.random((points, 3), np.float32) * size, rng.integers(0, 6, points)
    xyz[np.arange(points), side // 2] = np.where(side % 2, size[side // 2], 0)
    return xyz[np.lexsort(np.floor(2 * xyz).T)]


def main(points: int = 5_000_000, views: int = 300, gib: float = 4) -> None:
    console = Console(highlight=False)
    xyz, start = box(points), time.perf_counter()

    def report(stage: str) -> None:
        console.print(f"{stage}: {time.perf_counter() - start:.0f} s, peak {peak():.2f} GiB")

    with tempfile.TemporaryDirectory(dir=".") as folder:
        projected = []
        for name, described in (("dense", dense_views(views)), ("mask", mask_views(views))):
            group, counts = store.create(Path(folder) / f"{name}.zarr", ""), []
            rows = int(gib * 2**30 / 2 / (4 * CHANNELS))
            options = {"tolerance": 0.25, "border": 10, "rows": rows, "spool": Path(folder)}
            with store.Appending(group, "feature", (points, CHANNELS), np.float16, keep_bits=6) as stored:
                for feature, count in project(xyz, described, lambda t: TABLE[[*map(int, t)]], **options):
                    stored.add(feature)
                    counts.append(count)
            projected.append((group["feature"], np.concatenate(counts) > 0))
            report(f"projection of {name}")
        superpoint = (np.arange(points) // 100).astype(np.int32)
        means, done = SuperpointMeans(superpoint[-1] + 1, CHANNELS), 0
        group = store.create(Path(folder) / "fusion.zarr", "")
        features, valid = zip(*projected, strict=True)
        with store.Appending(group, "feature", (points, CHANNELS), np.float16, keep_bits=6) as stored:
            for block in fuse_blocks(features, valid, np.full((2, 20), 0.5), TABLE[:20]):
                feature = block.feature.numpy()
                stored.add(feature)
                means.add(superpoint[done : done + len(feature)], feature, block.valid.numpy())
                done += len(feature)
        means.result()
        report("fusion")


if __name__ == "__main__":
    main(*(kind(value) for kind, value in zip((int, int, float), sys.argv[1:], strict=False)))
