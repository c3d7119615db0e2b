"""Projections -> data/fusion: one feature per point out of all 2D models', and its mean over superpoints."""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr

from anyscene.cli.command import command
from anyscene.errors import FusionError
from anyscene.fusion import SuperpointMeans, fuse_blocks
from anyscene.project import parameters, per_scene, store
from anyscene.text import embeddings, load_text_encoder

PROJECTION, CAPABILITY = Path("data/projection"), Path("data/capability")
SUPERPOINTS, OUTPUT = Path("data/superpoints"), Path("data/fusion")
VERSION = 1


@dataclass(frozen=True, eq=False)
class Fuse:
    models: tuple[str, ...]
    settings: parameters.Fusion
    capability: np.ndarray  # f8[M, K]
    text: np.ndarray  # f4[K, C]

    def __call__(self, scene: str, group: zarr.Group) -> None:
        projected = [store.open_scene(store.scene_path(PROJECTION / model, scene)) for model in self.models]
        superpoint = store.open_scene(store.scene_path(SUPERPOINTS, scene))["superpoint"][:]
        points, width = projected[0]["feature"].shape
        means = SuperpointMeans(int(superpoint.max()) + 1, width)
        rest, done = [], 0
        kept = (
            store.Appending(group, "feature", (points, width), np.float16, keep_bits=store.FEATURE_BITS)
            if self.settings.point_features
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
            ):
                feature, *others = (part.numpy() for part in block)
                if rows is not None:
                    rows.add(feature)
                rest.append(others)
                means.add(superpoint[done : done + len(feature)], feature, others[0])
                done += len(feature)
        valid, weight, prediction = (np.concatenate(parts) for parts in zip(*rest, strict=True))
        store.write(group, "valid", valid)
        store.write(group, "weight", weight.astype(np.float16))
        store.write(group, "prediction", prediction)
        mean, has_mean = means.result()
        store.write(group, "superpoint_feature", mean.astype(np.float16), keep_bits=store.FEATURE_BITS)
        store.write(group, "superpoint_valid", has_mean)


def read_capability(model: str, vocabulary: tuple[str, ...]) -> list[float]:
    """The model's capability in every class of the vocabulary. Raises FusionError where it is of another."""
    path = CAPABILITY / f"{model}.json"
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise FusionError(f"{path}: cannot be read ({error}); run the stage capability") from error
    if tuple(record["vocabulary"]) != vocabulary:
        raise FusionError(f"{path}: measured over another vocabulary; run the stage capability again")
    return record["capability"]


def main(params: Path = Path("params.yaml")) -> per_scene.RunSummary:
    """Fuse the projected features of all 2D models, weighted by what each is good at."""
    settings = parameters.load(params)
    models, encoder = settings.segmenters.names, load_text_encoder(settings.text)
    capability = [read_capability(model, settings.vocabulary) for model in models]
    text = embeddings(encoder, settings.vocabulary, settings.text.template)
    return per_scene.run(
        Fuse(models, settings.fusion, np.array(capability), text),
        per_scene.join(
            superpoints=store.keys(SUPERPOINTS), **{model: store.keys(PROJECTION / model) for model in models}
        ),
        OUTPUT,
        parameters={
            **parameters.plain(settings.fusion),
            "models": models,
            "capability": capability,
            "text": encoder.name,
            "template": settings.text.template,
            "vocabulary": settings.vocabulary,
        },
        version=VERSION,
        workers=settings.runtime.workers,
        label="fusion",
    )


app = command(main)

if __name__ == "__main__":
    app()
