"""Speed of the network and of training, on two threads or as many as there are."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from anyscene import datasets, networks
from anyscene.learning.engine.curve import Curve
from anyscene.learning.engine.loop import train
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objective import Context
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.networks.sparse.backend import Space
from anyscene.networks.trained import hidden
from anyscene.networks.voxels import voxelise
from anyscene.project import layout, parameters, store
from anyscene.text import embeddings, load_text_encoder
from benchmarks.speed import meshes
from benchmarks.speed.measurement import Figure, alternate, seconds
from benchmarks.speed.peers import training as peer

STEPS = 12


class Counting:
    """A space that counts the multiplications of its convolutions."""

    def __init__(self, space: Space, maps: networks.CoordinateMaps):
        self._space, self._maps, self.products = space, maps, 0

    def __getattr__(self, name):
        return getattr(self._space, name)

    def convolve(self, features, kernel, level, size):
        pairs = int((self._maps.neighbours(level, size).table < self._maps.size(level)).sum())
        self.products += pairs * kernel[0].numel()
        return self._space.convolve(features, kernel, level, size)

    def down(self, features, kernel, level):
        self.products += self._maps.size(level) * kernel[0].numel()
        return self._space.down(features, kernel, level)

    def up(self, features, kernel, level):
        self.products += self._maps.size(level - 1) * kernel[0].numel()
        return self._space.up(features, kernel, level)


def backends() -> list[Figure]:
    """Forward and backward of MinkUNet18A, kernel maps included, and its GFLOP/s beside those of a matrix
    product."""
    xyz, _ = meshes.room(148_000)
    voxels = voxelise(xyz, 0.0565)
    coordinates = np.column_stack([np.zeros(len(voxels.point), np.int32), voxels.coordinates])
    features = torch.rand(len(coordinates), 3, generator=torch.Generator().manual_seed(0))
    with _all_threads() as threads:
        models = []
        for backend in ("torch", "minkowski"):
            torch.manual_seed(0)
            models.append(networks.MinkUNet("18A", 3, 512, backend))

        arriving = torch.rand(len(coordinates), 512)

        def step(model: networks.MinkUNet) -> None:
            model.zero_grad()
            model(networks.CoordinateMaps(coordinates), features).backward(arriving)

        ours, theirs = alternate(*(partial(seconds, partial(step, model)) for model in models))
        maps = networks.CoordinateMaps(coordinates)
        counting = Counting(models[0].space(maps), maps)
        models[0].space = lambda maps: counting
        with torch.no_grad():
            models[0](maps, features)
        products = counting.products + len(coordinates) * models[0].final.kernel.numel()
        matrix = torch.rand(2048, 2048)
        peak = 2 * 2048**3 / min(seconds(lambda: matrix @ matrix) for _ in range(10))
        rate = 3 * 2 * products / ours  # backward: one product for the inputs, one for the kernels
    setting = (
        f"MinkUNet18A, {len(coordinates)} voxels, 512 outputs, float32, {threads} threads, maps included"
    )
    return [
        Figure("forward and backward of the network", setting, "s", ours, theirs, "MinkowskiEngine 0.5.4"),
        Figure(
            "the same as useful GFLOP/s", setting, "GFLOP/s", rate / 1e9, peak / 1e9,
            "limit: a product of 2048 x 2048 matrices",
        ),
    ]  # fmt: skip


def steps() -> list[Figure]:
    """A step of every entry of `training` whose objective has a rival."""
    settings = parameters.load()
    return [_step_of(name, released, settings) for name, released in rivals(settings.training).items()]


def rivals(training: Mapping[str, parameters.Training]) -> dict[str, type[peer.Released]]:
    """The rival of each entry of `training` whose objective has one, by the name of the entry."""
    of_kind = {released.kind: released for released in peer.ALL}
    return {name: of_kind[entry.kind] for name, entry in training.items() if entry.kind in of_kind}


def _step_of(name: str, released: type[peer.Released], settings: parameters.Params) -> Figure:
    section = settings.training[name]
    clouds = read_training_clouds(layout.SCENES, layout.SUPERPOINTS)
    prompts = datasets.label_set(settings.dataset.label_set).prompts
    embedded = embeddings(load_text_encoder(settings.text), prompts, settings.text.template)
    text, net = torch.from_numpy(embedded), settings.network

    def student() -> networks.MinkUNet:
        model = networks.MinkUNet(
            net.variant, 3, text.shape[1], net.backend, width=net.width, precision=net.precision
        )
        if section.start != parameters.RANDOM:
            networks.load_weights(model, layout.NETWORKS / section.start / "model.safetensors")
        return model.train()

    with tempfile.TemporaryDirectory() as place, _all_threads() as threads:
        folder = Path(place)
        entry = parameters.OBJECTIVES.get(section.kind)
        context = Context(
            student(),
            net.voxel,
            net.input,
            layout.FUSION,
            folder / "memory",
            lambda: embedded,
            settings.augmentation,
        )
        objective = entry.load()(section.objective, context)

        def fused(cloud: networks.Cloud) -> tuple[np.ndarray, np.ndarray]:
            return store.fused_points(store.scene_path(layout.FUSION, cloud.id))

        def answers(cloud: networks.Cloud) -> torch.Tensor:
            model = student()
            with torch.no_grad():
                return model.final(hidden(model, cloud, net.voxel, net.input))

        restated = released(folder, text, section.objective)
        for cloud in clouds:
            restated.prepare(cloud, partial(fused, cloud), partial(answers, cloud))
        objective.begin(student(), clouds, Processes(torch.device("cpu")))
        objective.begin = lambda *_: None  # it is not part of a step
        recipe = replace(section, steps=STEPS, learning_rate=1e-5, final_learning_rate=1e-5, warmup=0)
        targets = folder if released.targets else None
        batches = peer.loader(peer.Scenes(clouds, section.batch, net.voxel, settings.augmentation, targets))
        rival = student()
        optimiser = torch.optim.Adam(rival.parameters(), lr=1e-5)

        def ours() -> float:
            curve = Curve(folder / "model")
            begin = time.perf_counter()
            train(student(), clouds, objective, recipe, label=name, curve=curve)
            return (time.perf_counter() - begin) / STEPS

        def theirs() -> float:
            begin = time.perf_counter()
            for _ in range(STEPS):
                scenes, files = next(batches)
                restated.step(rival, optimiser, scenes, files)
            return (time.perf_counter() - begin) / STEPS

        times = alternate(ours, theirs)
    points = int(np.mean([len(cloud.xyz) for cloud in clouds]))
    setting = (
        f"the demo's rooms of {points} points on average, {section.batch} a step, {text.shape[1]} channels, "
        f"MinkUNet {net.variant} on voxels of {net.voxel} m, {threads} threads"
    )
    return Figure(f"a step of training {name}", setting, "s", *times, released.against)


@contextlib.contextmanager
def _all_threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
