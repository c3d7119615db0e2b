"""The measurements. Each compares our time with that of a peer or of a limit, in the same run."""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from anyscene.fusion import fuse_blocks, superpoint_means
from anyscene.lifting.projection import DescribedFrame, project
from anyscene.lifting.superpoints import segment_mesh
from anyscene.project import store
from anyscene.project.artefact import FEATURE_BITS
from anyscene.scene import Camera
from anyscene.segmenters.protocol import CaptionMap, FeatureMap
from benchmarks.speed import meshes, training
from benchmarks.speed.measurement import Figure, alternate, seconds
from benchmarks.speed.peers import projection as peer_projection
from benchmarks.speed.peers.superpoints import Compiled

CHANNELS = 512
VIEWS = 80  # of a scene, as OpenScene takes them of ScanNet
VIEWS_TIMED = 12  # of those that the peer processes; each costs the same


def superpoints() -> list[Figure]:
    against = "Segmentator's algorithm restated in C++, g++ -O3"
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        compiled = Compiled(Path(folder))
        for vertices in (20_000, 150_000, 600_000):
            mesh = meshes.room(vertices)
            times = alternate(
                partial(seconds, partial(segment_mesh, *mesh, 0.01, 60)),
                lambda mesh=mesh: compiled.segment(*mesh, 0.01, 60)[1],
            )
            setting = f"{len(mesh[0])} vertices, {len(mesh[1])} faces, identical partition"
            figures.append(Figure("superpoints of a mesh", setting, "s", *times, against))
    return figures


def _room() -> tuple[np.ndarray, list[Camera], list[np.ndarray]]:
    xyz, _ = meshes.room(148_000)
    cameras = meshes.orbit(VIEWS)
    return xyz, cameras, [meshes.depth_of(xyz, camera) for camera in cameras]


def features() -> list[Figure]:
    xyz, cameras, depths = _room()
    feature = torch.randn(CHANNELS, 240, 320, generator=torch.Generator().manual_seed(0))
    shown = FeatureMap(feature.permute(1, 2, 0).contiguous())
    half = feature.half()

    def ours() -> float:
        views = (DescribedFrame(camera, depth, shown) for camera, depth in zip(cameras, depths, strict=True))
        return seconds(lambda: list(project(xyz, views, _encode, tolerance=0.25, border=10))) / len(cameras)

    def peer() -> float:
        total, count = torch.zeros(len(xyz), CHANNELS), torch.zeros(len(xyz), 1)
        start = time.perf_counter()
        for camera, depth in zip(cameras[:VIEWS_TIMED], depths, strict=False):
            mask, pixel = peer_projection.seen(xyz, camera, depth, 0.25, 10)
            peer_projection.accumulate(total, count, mask, pixel, half)
        total /= count.clamp_min(1)
        return (time.perf_counter() - start) / VIEWS_TIMED

    setting = f"{len(xyz)} points, {VIEWS} views of 320x240 pixels, {CHANNELS} channels, per view"
    against = "OpenScene's loop over all points restated in NumPy and torch"
    return [Figure("visibility and mean of dense features", setting, "s", *alternate(ours, peer), against)]


def captions() -> list[Figure]:
    xyz, cameras, depths = _room()
    rng = np.random.default_rng(0)
    text = tuple(f"a {colour} thing in a scene" for colour in range(30))
    blocks = rng.integers(0, 30, (12, 16)).astype(np.int32).repeat(20, 0).repeat(20, 1)
    table = torch.from_numpy(_encode(text))
    counted = CaptionMap(blocks, text)
    expanded = FeatureMap(table[torch.from_numpy(blocks).long()])

    def run(shown: CaptionMap | FeatureMap) -> float:
        views = (DescribedFrame(camera, depth, shown) for camera, depth in zip(cameras, depths, strict=True))
        return seconds(lambda: list(project(xyz, views, _encode, tolerance=0.25, border=10))) / len(cameras)

    def peer() -> float:
        total, count = torch.zeros(len(xyz), CHANNELS), torch.zeros(len(xyz), 1)
        start = time.perf_counter()
        for camera, depth in zip(cameras[:VIEWS_TIMED], depths, strict=False):
            mask, pixel = peer_projection.seen(xyz, camera, depth, 0.25, 10)
            feature = table[torch.from_numpy(blocks).long()].permute(2, 0, 1)
            peer_projection.accumulate(total, count, mask, pixel, feature)
        return (time.perf_counter() - start) / VIEWS_TIMED

    setting = (
        f"{len(xyz)} points, {VIEWS} views of 320x240 pixels, 30 captions of {CHANNELS} channels, per view"
    )
    name = "visibility and mean of captions"
    loop = "captions expanded to feature images, then OpenScene's loop, restated"
    sampling = "captions expanded to feature images, then our own sampling"
    return [
        Figure(name, setting, "s", *alternate(lambda: run(counted), peer), loop),
        Figure(name, setting, "s", *alternate(lambda: run(counted), lambda: run(expanded)), sampling),
    ]


def fusion() -> list[Figure]:
    rng = np.random.default_rng(0)
    points, classes = 148_000, 20
    features = rng.standard_normal((2, points, CHANNELS), np.float32).astype(np.float16)
    valid = rng.random((2, points)) < 0.8
    capability, text = rng.random((2, classes)), rng.standard_normal((classes, CHANNELS), np.float32)
    out = np.empty((points, CHANNELS), np.float16)

    def ours() -> float:
        def work() -> None:
            done = 0
            for block in fuse_blocks(features, valid, capability, text):
                out[done : done + len(block.valid)] = block.feature.numpy()
                done += len(block.valid)

        return seconds(work)

    def limit() -> float:
        def work() -> None:
            np.copyto(out, (features[0].astype(np.float32) + features[1].astype(np.float32)) / 2)

        return seconds(work)

    setting = f"{points} points, 2 models, {CHANNELS} channels, {classes} classes"
    against = "limit: the plain mean of the two arrays in single precision"
    return [Figure("fusion by capability", setting, "s", *alternate(ours, limit), against)]


def training_bytes() -> list[Figure]:
    """The bytes of a scene that training has to read: superpoint features and ids."""
    xyz, face = meshes.room(148_000)
    superpoint = segment_mesh(xyz, face)
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((superpoint.max() + 1, CHANNELS), np.float32)[superpoint]
    mean, _ = superpoint_means(feature, np.ones(len(xyz), bool), superpoint)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.zarr"
        group = store.create(path, "")
        store.write(group, "superpoint_feature", mean.astype(np.float16), keep_bits=FEATURE_BITS)
        store.write(group, "superpoint", superpoint)
        ours = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        saved = Path(folder) / "scene.pt"
        torch.save({"feat": torch.from_numpy(feature).half(), "mask_full": torch.ones(len(xyz)) > 0}, saved)
        peer = saved.stat().st_size
    setting = f"{len(xyz)} points in {len(mean)} superpoints, {CHANNELS} channels, incompressible"
    return [Figure("bytes that training reads", setting, "bytes", ours, peer, "a file as OpenScene saves it")]


def _encode(texts: tuple[str, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(texts), CHANNELS), np.float32)


ALL = (
    superpoints,
    features,
    captions,
    fusion,
    training_bytes,
    training.backends,
    training.steps,
)
