"""A scene's results in the forms of other tools: PLY, Pointcept's folder of arrays, OpenScene's features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from anyscene.datasets import LabelSet, ply
from anyscene.errors import DataError
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Params
from anyscene.show.formats import Format
from anyscene.tasks import sources
from anyscene.tasks.layer import label_colours
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.text import TextEncoder


@dataclass(frozen=True, eq=False)
class Result:
    """A scene with what the pipeline says of it."""

    surface: Surface
    source: str  # of the features
    feature: np.ndarray  # f4[N, C]
    valid: np.ndarray  # b1[N]
    label: np.ndarray  # i4[N], rows of the label set, -1 without a feature
    label_set: LabelSet
    instance: np.ndarray | None  # i4[N] of the annotation, where there is one


def read(
    artefacts: Artefacts, scene: str, settings: Params, encoder: TextEncoder, source: str | None = None
) -> Result:
    """The scene with features of `source` (see `sources.of_scene`) and the label whose prompt is closest to
    each. Raises StoreError for a scene that was not imported and where there are no features."""
    surface, texts = Surface.read(artefacts, scene), Texts.of(settings, encoder)
    features = sources.of_scene(artefacts, scene, source)
    feature, label_set = features.dense(), texts.label_set
    label = label_set.of_prompts((feature @ texts.prompts.T).argmax(1))
    annotation = store.scene_path(artefacts.data("labels"), scene)
    return Result(
        surface,
        features.name,
        feature,
        features.valid,
        np.where(features.valid, label, -1).astype(np.int32),
        label_set,
        store.open_scene(annotation)["instance"][:] if annotation.is_dir() else None,
    )


def write_ply(result: Result, out: Path) -> Path:
    """The mesh with label and superpoint per vertex, coloured by label; the classes' names are comments."""
    _parent(out)
    surface, colours = result.surface, label_colours(result.label, result.label_set.colours)
    comments = [f"label {index} {name}" for index, name in enumerate(result.label_set.names)]
    columns = {"label": result.label, "superpoint": surface.superpoint}
    ply.write_mesh(out, surface.xyz, colours, surface.face, comments=comments, **columns)
    return out


def write_pointcept(result: Result, out: Path) -> Path:
    """OUT/SCENE/*.npy, as `DefaultDataset` of Pointcept (pointcept/datasets/defaults.py) reads them, with OUT
    as a split: coord f4[N, 3], color u1[N, 3], normal f4[N, 3], segment i4[N], instance i4[N]; -1 = ignored.

    `segment` is what the pipeline says, not annotation; `instance` is annotation, and missing without it.
    feature f2[N, C] and valid b1[N] are ours: Pointcept passes over what VALID_ASSETS does not name."""
    folder = out / result.surface.scene
    arrays = {
        "coord": result.surface.xyz.astype(np.float32),
        "color": result.surface.rgb.astype(np.uint8),
        "normal": result.surface.normal.astype(np.float32),
        "segment": result.label,
        "feature": result.feature.astype(np.float16),
        "valid": result.valid,
    }
    if result.instance is not None:
        arrays["instance"] = result.instance.astype(np.int32)
    _folder(folder)
    (folder / "instance.npy").unlink(missing_ok=True)  # of an earlier export, with annotation
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def write_openscene(result: Result, out: Path) -> Path:
    """OUT/SCENE_0.pt: {"feat": f2[V, C], rows of the valid points alone; "mask_full": b1[N]}, as OpenScene's
    `save_fused_feature` writes and `FusedFeatureLoader` reads them (scripts/feature_fusion/fusion_util.py,
    dataset/feature_loader.py): two keys, or it takes the file for one of its older form."""
    _folder(out)
    path = out / f"{result.surface.scene}_0.pt"
    feature = torch.from_numpy(result.feature[result.valid].astype(np.float16))
    torch.save({"feat": feature, "mask_full": torch.from_numpy(result.valid)}, path)
    return path


WRITERS: dict[Format, Callable[[Result, Path], Path]] = {
    Format.ply: write_ply,
    Format.pointcept: write_pointcept,
    Format.openscene: write_openscene,
}


def _parent(path: Path) -> None:
    if path.is_dir():
        raise DataError(f"{path}: is a folder; give the file to write")
    _folder(path.parent)


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise DataError(f"{path}: a file is in the way of this folder; give another --out") from error
