"""The results of a scene in the forms of other tools: PLY, Pointcept's folder of arrays, OpenScene's
features."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from anyscene.arrays import I2, Array
from anyscene.datasets import LabelSet, ply
from anyscene.project import outputs
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.scene import World
from anyscene.show.formats import Format
from anyscene.tasks import sources
from anyscene.tasks.features import Features
from anyscene.tasks.layer import label_colours
from anyscene.tasks.segmentation.task import labelled
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.tasks.truth import Annotation
from anyscene.text import TextEncoder

WRITTEN = ".written"  # the folder of a scene's arrays until all of them are there
# arrays of Pointcept's that are never the pipeline's answer; its classes for ScanNet read those with a number
ANNOTATION = ("segment", "segment20", "segment200", "instance")


@dataclass(frozen=True, eq=False)
class Result:
    """A scene, and what the pipeline says of it."""

    surface: Surface
    features: Features
    prediction: I2  # i2[N], rows of the label set by the features, -1 without a feature
    label_set: LabelSet
    truth: Annotation | None  # the annotation; None where the scene has none

    @classmethod
    def of(cls, surface: Surface, features: Features, texts: Texts, truth: Annotation | None) -> Result:
        """Label each point by the class whose prompt is closest to its feature."""
        said = labelled(features, texts)
        return cls(surface, features, said.label, said.label_set, truth)


def read(
    artefacts: Artefacts,
    scenes: Sequence[str],
    settings: Params,
    encoder: TextEncoder,
    source: str | None = None,
) -> Iterator[Result]:
    """Yield imported scenes with the features of `source`; None: as `sources.default`. A network is read
    once, and one scene is in memory at a time.

    Raises StoreError for a scene that was not imported, and where there are no features."""
    texts = Texts.of(settings, encoder)
    features: dict[str, Callable[[str], Features]] = {}  # by source
    for scene in scenes:
        surface, name = Surface.read(artefacts, scene), source or sources.default(artefacts, scene)
        if name not in features:
            features[name] = sources.opened(artefacts, name, settings.runtime.device)
        truth = Annotation.of(artefacts, scene, texts.label_set)
        yield Result.of(surface, features[name](scene), texts, truth)


def write_ply(result: Result, out: Path, world: World = "scene") -> Path:
    """Write the mesh, coloured by label, with a label and a superpoint for each vertex. The names of the
    classes are comments of the file. Places in the world "source" are doubles."""
    surface, colours = result.surface, label_colours(result.prediction, result.label_set.colours)
    comments = [f"label {index} {name}" for index, name in enumerate(result.label_set.names)]
    columns = {"label": result.prediction.astype(np.int32)}
    if len(surface.superpoint):
        columns["superpoint"] = surface.superpoint
    ply.write_mesh(out, surface.xyz_in(world), colours, surface.face, comments=comments, **columns)
    return out


def write_pointcept(result: Result, out: Path, world: World = "scene") -> Path:
    """Write OUT/SCENE/*.npy, as `DefaultDataset` of Pointcept (pointcept/datasets/defaults.py) reads them,
    with OUT as a split: coord f4[N, 3], color u1[N, 3], normal f4[N, 3], and from the annotation segment
    i4[N] and instance i4[N], -1 = ignored. A scene without annotation has neither; Pointcept then takes -1.
    In the world "source" coord is f8: an f4 has no digits for the coordinates of a map.

    prediction i4[N], feature f2[N, C] and valid b1[N] are what the pipeline says. Pointcept ignores them,
    because its VALID_ASSETS does not name them."""
    folder = out / result.surface.scene
    arrays: dict[str, Array] = {
        "coord": result.surface.xyz_in(world),
        "color": result.surface.rgb.astype(np.uint8),
        "normal": result.surface.normal_in(world),
        "prediction": result.prediction.astype(np.int32),
        "feature": result.features.dense().astype(np.float16),
        "valid": result.features.valid,
    }
    if result.truth is not None:
        arrays["segment"] = result.truth.label.astype(np.int32)
        numbered = f"segment{len(result.truth.label_set)}"
        if result.truth.label_set.name.startswith("scannet") and numbered in ANNOTATION:
            arrays[numbered] = arrays["segment"]
        arrays["instance"] = result.truth.instance.astype(np.int32)
    with outputs.replaced(folder / WRITTEN) as partial:  # all of it, before anything of an older export goes
        partial.mkdir()
        for name, array in arrays.items():
            np.save(partial / f"{name}.npy", array)
    for name in ANNOTATION:  # of an earlier export, with annotation
        (folder / f"{name}.npy").unlink(missing_ok=True)
    for file in (folder / WRITTEN).iterdir():
        file.replace(folder / file.name)
    (folder / WRITTEN).rmdir()
    return folder


def explained(result: Result, form: Format) -> str:
    """What the files hold, for whoever might take a prediction for annotation."""
    if form is not Format.pointcept:
        return ""
    if result.truth is None:
        return "prediction.npy is what the features say; without annotation no segment.npy, no instance.npy"
    return "segment.npy and instance.npy are annotation; prediction.npy is what the features say"


def write_openscene(result: Result, out: Path, world: World = "scene") -> Path:
    """Write OUT/SCENE_0.pt: {"feat": f2[V, C], the rows of the valid points; "mask_full": b1[N]}. OpenScene's
    `save_fused_feature` writes the same, and its `FusedFeatureLoader` reads it
    (scripts/feature_fusion/fusion_util.py, dataset/feature_loader.py). There must be no other key, or the
    loader takes the file for one of an older form. Places are not in it, so a `world` changes nothing."""
    path = out / f"{result.surface.scene}_0.pt"
    valid = result.features.valid
    feature = torch.from_numpy(result.features.dense()[valid].astype(np.float16))
    content = io.BytesIO()  # by itself torch raises a RuntimeError where the disk is full
    torch.save({"feat": feature, "mask_full": torch.from_numpy(valid)}, content)
    outputs.write(path, content.getvalue())
    return path


WRITERS: dict[Format, Callable[[Result, Path, World], Path]] = {
    Format.ply: write_ply,
    Format.pointcept: write_pointcept,
    Format.openscene: write_openscene,
}
