"""Proposals of objects: masks over the points of a scene, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anyscene.arrays import B1, F4, F8, I4, I8, Array
from anyscene.datasets import raw_files
from anyscene.errors import DataError
from anyscene.tasks.point_masks import PointMasks

if TYPE_CHECKING:
    from anyscene.datasets import LabelSet
    from anyscene.tasks.features import Features


@dataclass(frozen=True, eq=False)
class Proposals:
    """P proposals of objects among N points."""

    masks: PointMasks  # P masks of N points
    score: F8  # f8[P], by which they are ranked
    name: tuple[str | None, ...]  # what each is called; None: it has no name yet, or no feature to get one by
    source: str  # what proposed them: "scannet", "mask3d" or "clusters"

    def __len__(self) -> int:
        return len(self.score)

    @classmethod
    def from_scannet(cls, folder: Path, scene: str, points: int) -> Proposals:
        """Read the format of ScanNet's benchmark (evaluate_semantic_instance.py), in the order of the file:

            FOLDER/SCENE.txt        a line for each proposal: mask file, relative to FOLDER; class; score
            FOLDER/pred_mask/*.txt  a number for each point of the scene, in its order; 0: outside

        The class is not read. Raises DataError naming the file and the line."""
        path = folder / f"{scene}.txt"
        if not path.is_file():
            raise DataError(f"{path}: missing; export the proposals of every annotated scene of the split")
        files, scores = [], []
        for number, line in enumerate(raw_files.text(path).splitlines(), 1):
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
            if "\0" in name:
                raise DataError(f"{where}: {name!r} cannot be the name of a file; export it again")
            if Path(name).is_absolute() or not file.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"{where}: {name} is not inside {folder}; masks must lie beside the list")
            files.append((file, where))
        masks = PointMasks.of((_mask(file, where, points) for file, where in files), points)
        return cls(masks, np.array(scores, np.float64), (None,) * len(masks), "scannet")

    @classmethod
    def from_mask3d(cls, folder: Path, scene: str, points: int) -> Proposals:
        """Read Mask3D's masks as OpenMask3D keeps them, in FOLDER/SCENE_*masks.pt: a tensor [N, P] that is 0
        outside a mask; or this and the scores [P]. Without scores all are 1.

        Only tensors are read from the file. Raises DataError naming it."""
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
        if mask.dtype.kind == "f" and not np.isfinite(mask).all():
            raise DataError(f"{found[0]}: masks contain NaN or infinity; export it again")
        masks = PointMasks.of((column != 0 for column in mask.T), points)
        return cls(masks, score, (None,) * len(score), "mask3d")

    @classmethod
    def from_clusters(cls, group: I4, superpoint: I4, smallest: int = 1) -> Proposals:
        """Make a proposal of each group of superpoints, such as `query.groups.objects` returns them, that has
        `smallest` points or more. All have the score 1. group: i4[L], the group of each superpoint;
        superpoint: i4[N], the superpoint of each point."""
        of_point = group[superpoint]
        kept = np.flatnonzero(np.bincount(of_point) >= smallest)
        masks = PointMasks.of((of_point == one for one in kept), len(superpoint))
        return cls(masks, np.ones(len(kept)), (None,) * len(kept), "clusters")

    def named(self, features: Features, text: F4, candidates: I8, label_set: LabelSet) -> Proposals:
        """The same proposals with names. Each is called by the class whose prompt is closest to the mean of
        the features inside it, and has no name where there are none. text: f4[T, C], the label set's prompts;
        candidates: i8[J], the rows of `text` to choose from."""
        mean, count = features.means(self.masks)
        best = candidates[(mean @ text[candidates].T).argmax(1)]
        row = label_set.of_prompts(best)
        names = [label_set.names[at] if points else None for at, points in zip(row, count, strict=True)]
        return replace(self, name=tuple(names))

    def rows(self, names: Sequence[str]) -> I8:
        """i8[P]: the place of each proposal's name among `names`, -1 where it has no name or another."""
        row = {name: index for index, name in enumerate(names)}
        return np.array([-1 if name is None else row.get(name, -1) for name in self.name], np.int64)


READERS = {"scannet": Proposals.from_scannet, "mask3d": Proposals.from_mask3d}  # by the format of the files


def _mask(path: Path, where: str, points: int) -> B1:
    try:
        values = np.array(path.read_text(encoding="utf-8").split(), np.int64)
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing, {where} names it; export it again") from error
    except (OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path}: not a mask of one integer per point ({error}); export it again") from error
    if len(values) != points:
        raise DataError(
            f"{path}: {len(values)} lines for {points} points; export it of the mesh that was imported"
        )
    inside: B1 = values != 0
    return inside


def _tensors(path: Path) -> tuple[Array, F8]:
    """(masks [N, P], scores f8[P])."""
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        mask, score = content if isinstance(content, tuple | list) else (content, None)
        mask = mask.numpy()
        return mask, np.ones(mask.shape[-1]) if score is None else score.double().numpy()
    except Exception as error:  # a damaged pickle ends in any
        raise DataError(f"{path}: not a tensor of masks, or of masks and scores ({error})") from error
