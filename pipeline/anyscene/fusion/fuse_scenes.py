"""Projections -> data/fusion: one feature for each point from those of all 2D models, and its mean over
superpoints."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import zarr

from anyscene.arrays import F4, F8
from anyscene.capability import measured
from anyscene.errors import StoreError
from anyscene.fusion.fuse import SuperpointMeans, fuse_blocks
from anyscene.project import layout, per_scene, store
from anyscene.project.artefact import FEATURE_BITS
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Fusion, Params, plain
from anyscene.text import embeddings, load_text_encoder

MEANS = "superpoint_feature"  # an array of the artefact


@dataclass(frozen=True, eq=False)
class Fuse:
    """Writes one feature for each point from those of all 2D models, and its mean over superpoints."""

    models: tuple[str, ...]
    settings: Fusion
    by_axes: bool  # how features of points are stored
    capability: F8  # f8[M, K]
    text: F4  # f4[K, C]
    other: F4 | None = None  # f4[C], of the class beside these

    def __call__(self, scene: str, group: zarr.Group) -> None:
        projected = [
            store.open_scene(store.scene_path(layout.PROJECTION / model, scene)) for model in self.models
        ]
        superpoint = store.open_scene(store.scene_path(layout.SUPERPOINTS, scene))["superpoint"][:]
        points, width = projected[0]["feature"].shape
        superpoints = int(superpoint.max()) + 1
        alone = superpoints == points  # a point is its own mean, which is not stored twice
        means = SuperpointMeans(0 if alone else superpoints, width)
        rest, done = [], 0
        name = MEANS if alone else "feature"
        kept = (
            store.features(group, name, (points, width), self.by_axes, layout.FUSION)
            if alone or self.settings.point_features
            else nullcontext()
        )
        with kept as rows:
            for block in fuse_blocks(
                [source["feature"] for source in projected],
                [source["count"][:] > 0 for source in projected],
                self.capability,
                self.text,
                tau=self.settings.tau,
                normalise=self.settings.normalise,
                method=self.settings.method,
                other=self.other,
            ):
                feature, *others = (part.numpy() for part in block)
                if rows is not None:
                    rows.add(feature)
                rest.append(others)
                if not alone:
                    means.add(superpoint[done : done + len(feature)], feature, others[0])
                done += len(feature)
        valid, weight, prediction = (np.concatenate(parts) for parts in zip(*rest, strict=True))
        store.write(group, "valid", valid)
        store.write(group, "weight", weight.astype(np.float16))
        store.write(group, "prediction", prediction)
        if not alone:
            mean, has_mean = means.result()
            store.write(group, MEANS, mean.astype(np.float16), keep_bits=FEATURE_BITS)
        store.write(group, "superpoint_valid", valid if alone else has_mean)
        rule = {"method": self.settings.method, "tau": self.settings.tau}
        group.attrs[store.FUSED] = {**rule, "normalise": self.settings.normalise, "models": list(self.models)}


def fuse_scenes(params: Params, fresh: Freshness) -> per_scene.RunSummary:
    """Bring data/fusion up to date. Raises StoreError where a capability was not measured, and ScenesFailed
    after all scenes were tried."""
    models = params.segmenters.names
    capability = [_capability(model, params.vocabulary) for model in models]
    projected = {model: store.keys(layout.PROJECTION / model) for model in models}

    def fuse() -> Fuse:
        names, known = (*params.vocabulary, *params.others), len(capability[0])
        text = embeddings(load_text_encoder(params.text), names, params.text.template)
        other = text[known] if params.others else None
        by_axes = params.projection.store == "axes"
        return Fuse(models, params.fusion, by_axes, np.array(capability), text[:known], other)

    return per_scene.run(
        per_scene.Later(fuse),
        per_scene.join(superpoints=store.keys(layout.SUPERPOINTS), **projected),
        layout.FUSION,
        parameters={
            **plain(params.fusion),
            "store": params.projection.store,
            "models": models,
            "capability": capability,
            "text": params.text.encoder,
            "template": params.text.template,
            "vocabulary": params.vocabulary,
            "other": params.capability.other,
        },
        fresh=fresh,
        workers=params.runtime.workers,
        failures=params.runtime.failures,
        label="fusion",
    )


def _capability(model: str, vocabulary: Sequence[str]) -> list[float]:
    """The capability of a 2D model in each class of the vocabulary. Raises StoreError where it was not
    measured."""
    known = measured.read(layout.CAPABILITY, model, vocabulary)
    if known is None:
        raise StoreError(f"{layout.CAPABILITY / model}.json: missing; run the stage capability")
    return [float(value) for value in known]
