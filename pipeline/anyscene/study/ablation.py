"""The rows of the ablation: every way from 2D models to labelled points that the artefacts at hand allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from anyscene.fusion import fuse
from anyscene.learning import predict_features, read_cloud
from anyscene.networks import MinkUNet, load
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Fusion
from anyscene.tasks.segmentation.metrics import Prediction
from anyscene.text.text_space import TextSpace

METHODS = ("add", "linear", "capability")
NETWORKS = {
    "pixel_distillation": "distillation/pixel",
    "superpoint_distillation": "distillation/superpoint",
    "ensembling": "ensembling",
}
CONTROLS = ("max", "vocabulary", "shuffled", "swapped", "oracle")


class Ablation:
    """The rows that can be computed, in the order of the table, and for the others the reason why not.

    rows: names; missing: row -> reason; backends: row of a network -> its sparse backend.
    """

    def __init__(
        self,
        artefacts: Artefacts,
        models: Sequence[str],
        vocabulary: Sequence[str],
        space: TextSpace,
        fusion: Fusion,
        *,
        known: Mapping[str, np.ndarray | None] | None = None,
        truth: Mapping[str, np.ndarray | None] | None = None,
        shuffles: int = 0,
        seed: int = 0,
        turns: int = 1,
    ) -> None:
        """known: f[V] of 0 and 1, the classes that each 2D model was taught; truth: f[V], its true IoU (NaN
        where unknown); both feed controls. shuffles: permutations of the capability over classes.
        turns: test-time augmentation of the networks."""
        self._turns = turns
        self._artefacts, self._models, self._space, self._fusion = artefacts, tuple(models), space, fusion
        self.missing: dict[str, str] = {}
        self._projected = tuple(m for m in models if artefacts.has(artefacts.data(f"projection/{m}")))
        self.missing |= {m: "its features were not projected" for m in models if m not in self._projected}
        self._capabilities = self._variants(vocabulary, known or {}, truth or {}, shuffles, seed)
        if self._projected != self._models:
            for row in (*METHODS, *CONTROLS):
                self.missing.setdefault(row, "not all 2D models' features were projected")
        if not artefacts.has(artefacts.data("fusion")):
            self.missing["superpoint"] = "nothing was fused"
        self._networks, self.backends = {}, {}
        for row, folder in NETWORKS.items():
            if (artefacts.model(folder) / "network.json").is_file():
                self._networks[row] = load(artefacts.model(folder))
                self.backends[row] = self._networks[row][1]["backend"]
            else:
                self.missing[row] = "the network was not trained"
        every = (*self._models, *METHODS, "superpoint", *NETWORKS, *CONTROLS)
        self.rows = tuple(row for row in every if row not in self.missing)

    def _variants(self, vocabulary, known, truth, shuffles, seed) -> dict[str, list[np.ndarray]]:
        """Capabilities f4[M, V] of the rows that weigh by them; several of `shuffled`."""
        measured = [self._artefacts.capability(model, vocabulary) for model in self._models]
        variants: dict[str, list[np.ndarray]] = {}
        if any(capability is None for capability in measured):
            for row in ("capability", "shuffled", "swapped"):
                self.missing[row] = "capability was not measured for every 2D model"
        else:
            measured = np.array(measured, np.float32)
            rng = np.random.default_rng(seed)
            variants["capability"] = [measured]
            variants["shuffled"] = [rng.permuted(measured, axis=1) for _ in range(shuffles)]
            variants["swapped"] = [np.roll(measured, 1, axis=0)]
        for row, values, reason in (
            ("vocabulary", known, "a 2D model does not say what it was taught"),
            ("oracle", truth, "there are no annotated frames to measure true IoU on"),
        ):
            of_models = [values.get(model) for model in self._models]
            if all(value is not None for value in of_models):
                variants[row] = [np.nan_to_num(np.array(of_models, np.float32))]
            else:
                self.missing[row] = reason
        if not variants.get("shuffled", True):
            self.missing["shuffled"] = "evaluation.shuffles is 0"
        return variants

    def predictions(self, scene: str, rows: Sequence[str] | None = None) -> dict[str, list[Prediction]]:
        """What the rows (all, by default) say about a scene; a list of several where a row has variants."""
        wanted = [row for row in self.rows if rows is None or row in rows]
        found = self._of_teachers(scene, wanted)
        for row in wanted:
            if row == "superpoint":
                found[row] = [self._of_superpoints(scene)]
            elif row in self._networks:
                found[row] = [self._of_network(scene, *self._networks[row])]
        return {row: found[row] for row in wanted}

    def _of_teachers(self, scene: str, wanted: Sequence[str]) -> dict[str, list[Prediction]]:
        if not set(wanted) & {*self._models, *METHODS, *CONTROLS}:
            return {}
        features, valid = [], []
        for model in self._projected:
            group = store.open_scene(store.scene_path(self._artefacts.data(f"projection/{model}"), scene))
            features.append(self._space.reduce(group["feature"]))
            valid.append(group["count"][:] > 0)
        found = {}
        for model, feature, seen in zip(self._projected, features, valid, strict=True):
            if model in wanted:
                found[model] = [self._space.predict(feature, seen)]
        for row in wanted:
            if row in ("add", "linear", "max"):
                equal = np.ones((len(features), len(self._space.vocabulary)), np.float32)
                found[row] = [self._fused(features, valid, equal, row)]
            elif row in self._capabilities:
                found[row] = [self._fused(features, valid, c, "capability") for c in self._capabilities[row]]
        return found

    def _fused(self, features, valid, capability, method) -> Prediction:
        fused = fuse(
            features,
            valid,
            capability,
            self._space.vocabulary,
            tau=self._fusion.tau,
            normalise=self._fusion.normalise,
            method=method,
        )
        return self._space.predict(fused.feature, fused.valid)

    def _of_network(self, scene: str, network: MinkUNet, meta: Mapping[str, Any]) -> Prediction:
        cloud = read_cloud(self._artefacts.data("scenes"), self._artefacts.data("superpoints"), scene)
        feature = predict_features(network, cloud, meta["voxel"], meta["input"] == "colour", self._turns)
        return self._space.predict(self._space.reduce(feature))

    def _of_superpoints(self, scene: str) -> Prediction:
        fused = store.open_scene(store.scene_path(self._artefacts.data("fusion"), scene))
        group = store.open_scene(store.scene_path(self._artefacts.data("superpoints"), scene))
        of_superpoint = self._space.predict(
            self._space.reduce(fused["superpoint_feature"]), fused["superpoint_valid"][:]
        )
        superpoint = group["superpoint"][:]
        return Prediction(of_superpoint.label[superpoint], of_superpoint.foreground[superpoint])
