"""Proposals of objects: masks over the points of a scene, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anyscene.errors import DataError
from anyscene.tasks.point_masks import PointMasks

if TYPE_CHECKING:
    from anyscene.datasets import LabelSet
    from anyscene.tasks.features import Features


@dataclass(frozen=True, eq=False)
class Proposals:
    """P proposals of objects among N points."""

    masks: PointMasks
    score: np.ndarray  # f8[P], by which they are ranked
    name: tuple[str | None, ...]  # what each is called; None: not named yet, or nothing to name it by
    source: str  # what proposed them

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def from_scannet(cls, folder: Path, scene: str, points: int) -> Proposals:
        """In the format of ScanNet's benchmark (evaluate_semantic_instance.py), in the order of the file:

            FOLDER/SCENE.txt        a proposal a line: file of its mask, relative to FOLDER, class, score
            FOLDER/pred_mask/*.txt  a number per point of the scene, in its order; other than 0: inside

        The class is not read. Raises DataError naming the file and the line."""
        path = folder / f"{scene}.txt"
        if not path.is_file():
            raise DataError(f"{path}: missing; export the proposals of every annotated scene of the split")
        files, scores = [], []
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where, parts = f"{path}: line {number}", line.split()
            if not parts:
                continue
            try:
                name, _, score = parts
                scores.append(float(score))
            except ValueError as error:
                raise DataError(
                    f"{where}: expected a mask's file, a class and a score; export it again"
                ) from error
            if not np.isfinite(scores[-1]):
                raise DataError(f"{where}: the score {score} is not finite; export it again")
            file = folder / name
            if Path(name).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{where}: {name} is not inside {folder}; masks must lie beside the list")
            files.append((file, where))
        masks = PointMasks.of((_mask(file, where, points) for file, where in files), points)
        return cls(masks, np.array(scores, np.float64), (None,) * len(masks), "scannet")

    @classmethod
    def from_mask3d(cls, folder: Path, scene: str, points: int) -> Proposals:
        """As OpenMask3D keeps Mask3D's masks, in FOLDER/SCENE_*masks.pt: a tensor [N, P], other than 0:
        inside; or that and the scores [P], which are 1 without.

        Raises DataError naming the file; nothing in it but tensors is read."""
        found = sorted(folder.glob(f"{scene}_*masks.pt"))
        if len(found) != 1:
            raise DataError(
                f"{folder}/{scene}_masks.pt: {'one of several' if found else 'missing'}; keep one file of "
                "masks for every annotated scene of the split"
            )
        mask, score = _tensors(found[0])
        if mask.ndim != 2 or len(mask) != points:
            raise DataError(
                f"{found[0]}: masks {list(mask.shape)} for {points} points; export them of the mesh that was "
                "imported"
            )
        if score.shape != mask.shape[1:] or not np.isfinite(score).all():
            raise DataError(f"{found[0]}: every one of {mask.shape[1]} masks needs a finite score")
        masks = PointMasks.of((column != 0 for column in mask.T), points)
        return cls(masks, score, (None,) * len(score), "mask3d")

    @classmethod
    def from_clusters(cls, group: np.ndarray, superpoint: np.ndarray, smallest: int = 1) -> Proposals:
        """Groups of superpoints, such as `query.groups.objects` gives them, those of fewer than `smallest`
        points left out; all have the score 1. group: i4[L], of each superpoint; superpoint: i4[N]."""
        of_point = group[superpoint]
        kept = np.flatnonzero(np.bincount(of_point) >= smallest)
        masks = PointMasks.of((of_point == one for one in kept), len(superpoint))
        return cls(masks, np.ones(len(kept)), (None,) * len(kept), "clusters")

    def named(
        self, features: Features, text: np.ndarray, candidates: np.ndarray, label_set: LabelSet
    ) -> Proposals:
        """The same, each with the name of the class whose prompt is closest to the mean of the features
        inside it; without a feature it has none. text: f4[T, C] of the label set's prompts; candidates:
        i8[J], rows of `text` that are asked."""
        mean, count = features.means(self.masks)
        best = candidates[(mean @ text[candidates].T).argmax(1)]
        row = label_set.of_prompts(best)
        names = [label_set.names[at] if points else None for at, points in zip(row, count, strict=True)]
        return replace(self, name=tuple(names))

    def rows(self, names: Sequence[str]) -> np.ndarray:
        """i8[P]: where each name stands among `names`, -1 where it has none or does not."""
        row = {name: index for index, name in enumerate(names)}
        return np.array([row.get(name, -1) for name in self.name], np.int64)


READERS = {"scannet": Proposals.from_scannet, "mask3d": Proposals.from_mask3d}  # of files, by format


def _mask(path: Path, where: str, points: int) -> np.ndarray:
    try:
        values = np.array(path.read_text().split(), np.int64)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing, {where} names it; export it again") from error
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a mask of one integer per point ({error}); export it again") from error
    if len(values) != points:
        raise DataError(
            f"{path}: {len(values)} lines for {points} points; export it of the mesh that was imported"
        )
    return values != 0


def _tensors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(masks [N, P], scores f8[P])."""
    import pickle

    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        mask, score = content if isinstance(content, tuple | list) else (content, None)
        mask = mask.numpy()
        return mask, np.ones(mask.shape[-1]) if score is None else score.double().numpy()
    except (OSError, RuntimeError, EOFError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        raise DataError(f"{path}: not a tensor of masks, or of masks and scores ({error})") from error
