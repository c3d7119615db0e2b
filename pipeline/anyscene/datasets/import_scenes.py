"""Raw scans -> data/scenes: one group for each scene, with its cloud and an index of its frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import zarr
from rich.console import Console

from anyscene import datasets
from anyscene.datasets import contradictions, placement
from anyscene.errors import StoreError
from anyscene.project import layout, per_scene, store
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import Params, plain

REMARKS = 5  # that are printed


@dataclass(frozen=True)
class Import:
    """Writes the cloud of a scene, the index of its frames, and how far it agrees with itself. Raises
    DataError where it contradicts itself and is to be refused."""

    dataset: datasets.Dataset
    refuse: bool

    def __call__(self, scene: str, group: zarr.Group) -> None:
        found, findings = contradictions.read(self.dataset, scene, self.refuse)
        placement.refuse_strays(scene, found.xyz)  # those that a reader of its own did not look for
        store.write_scene(group, found, self.dataset.root)
        if record := findings.record():
            group.attrs["agreement"] = record


def import_scenes(params: Params, fresh: Freshness, replace: bool = False) -> per_scene.RunSummary:
    """Bring data/scenes up to date, and print how many frames were left out, and why, what readers remark,
    and in which scenes depth maps hardly agree.

    replace: whether the scenes may all go that are there now. Raises StoreError where they would and may not,
    before anything is changed, and ScenesFailed after all scenes were tried.
    """
    dataset = datasets.open_dataset(params.dataset, params.scenes)
    keys = dataset.keys()
    if not replace:
        _require_kept(keys, params.dataset.root)
    summary = per_scene.run(
        Import(dataset, params.scenes.contradictions == "refuse"),
        keys,
        layout.SCENES,
        parameters=plain(params.scenes),
        fresh=fresh,
        workers=params.runtime.workers,
        failures=params.runtime.failures,
        label="scenes",
    )
    paths = [store.scene_path(layout.SCENES, scene) for scene in store.scene_ids(layout.SCENES)]
    lost = [store.lost_frames(path) for path in paths]
    for path in paths:
        if warning := store.agreement(path).get("warning"):
            Console(stderr=True, soft_wrap=True).print(f"scenes: {warning}", highlight=False, markup=False)
    if any(lost):
        faults = Counter(frame.why for frames in lost for frame in frames)
        count = f"{faults.total()} frames of {sum(map(bool, lost))} scenes were left out"
        why = ", ".join(f"{number} {fault}" for fault, number in faults.most_common())
        Console(stderr=True).print(f"scenes: {count}: {why}", highlight=False)
    said = [remark for path in paths for remark in store.remarks(path)]
    for remark in said[:REMARKS]:
        Console(stderr=True, soft_wrap=True).print(f"scenes: {remark}", markup=False, highlight=False)
    if len(said) > REMARKS:
        more = f"scenes: {len(said) - REMARKS} more like these, in the attributes of {layout.SCENES}"
        Console(stderr=True, soft_wrap=True).print(more, markup=False, highlight=False)
    return summary


def _require_kept(scenes: Iterable[str], root: str) -> None:
    """Raise StoreError where there are scenes in data/scenes and `scenes`, those in `root`, are all others:
    then another dataset.root was meant for another project."""
    there = store.scene_ids(layout.SCENES) if layout.SCENES.is_dir() else []
    if there and not set(there) & set(scenes):
        named = there[0] if len(there) == 1 else f"{there[0]} to {there[-1]}"
        raise StoreError(
            f"{layout.SCENES}: holds {len(there)} scenes ({named}), none of which is in {root}: all would be "
            "removed, and what was made of them replaced. To keep them, make a project for the other scans: "
            f"`anyscene init FOLDER --root {root}`. To replace them, run `anyscene scenes --replace`, then "
            "`dvc repro`; `git checkout HEAD -- params.yaml dvc.lock reports` and `dvc checkout` bring back "
            "what the dvc.lock in git names"
        )
