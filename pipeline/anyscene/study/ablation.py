"""The rows of the ablation: every way from 2D models to labelled points for which there are artefacts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import torch

from anyscene import datasets
from anyscene.arrays import B1, F4, F8
from anyscene.capability.measured import read as read_capability
from anyscene.fusion import fuse
from anyscene.networks.cloud import Cloud, read_cloud
from anyscene.networks.trained import Description, TrainedNetwork, described, first_weights
from anyscene.project import store
from anyscene.project.artefact import Artefact
from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Fusion, FusionMethod, Params
from anyscene.study.rows import BEST_SINGLE, CAPABILITY, Row, last_step
from anyscene.study.trained_on import marked, shown
from anyscene.tasks.features import stored
from anyscene.text import TextEncoder, load_text_encoder
from anyscene.text.text_space import Prediction, TextSpace, together

CPU = torch.device("cpu")


class Planned(Protocol):
    """An entry of the section `training`, as far as its row shows it."""

    @property
    def kind(self) -> str:
        """The kind of the objective."""
        ...

    @property
    def title(self) -> str:
        """What people call the network."""
        ...


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the rows are computed from."""

    artefacts: Artefacts
    models: tuple[str, ...]  # 2D models, in the order of fusion
    vocabulary: tuple[str, ...]  # V classes over which capability is measured
    encoder: TextEncoder
    space: TextSpace  # its vocabulary is followed by `capability.other`, where that is a class
    fusion: Fusion
    training: Mapping[str, Planned]  # the networks that should be trained, by name
    turns: int = 1  # test-time augmentation of networks: equal turns about the vertical
    device: torch.device = CPU  # of networks

    @classmethod
    def of(cls, params: Params, artefacts: Artefacts, device: torch.device = CPU) -> Inputs:
        """The inputs of a project with these parameters."""
        label_set = datasets.label_set(params.dataset.label_set)
        others = [datasets.label_set(name) for name in params.evaluation.label_sets]
        encoder, vocabulary = load_text_encoder(params.text), (*params.vocabulary, *params.others)
        return cls(
            artefacts,
            params.segmenters.names,
            params.vocabulary,
            encoder,
            TextSpace.of(encoder, label_set, vocabulary, params.text.template, others),
            params.fusion,
            params.training,
            params.evaluation.turns,
            device,
        )


ByModel = Mapping[str, F8 | None]  # f8[V] for each 2D model, None where it is not known


@dataclass(frozen=True, eq=False)
class Controls:
    """The weights that the controls use in place of the measured capability."""

    taught: ByModel  # 1 for the classes that the 2D model was taught, else 0
    truth: ByModel  # true IoU in 0..1, NaN for classes without a point
    shuffles: int = 0  # permutations of the capability over classes, over which the row "shuffled" averages
    seed: int = 0  # of the permutations


class SceneFeatures:
    """What the rows read of one scene. Each array is read once, when a row first asks for it."""

    def __init__(self, inputs: Inputs, scene: str) -> None:
        self.scene, self._inputs = scene, inputs
        self._lifted: dict[str, tuple[F4, B1]] = {}
        self._answers: dict[str, F4] = {}

    def of_model(self, model: str) -> tuple[F4, B1]:
        """(feature f4[N, r+1] in the text space, valid b1[N]): those of a 2D model at every point."""
        if model not in self._lifted:
            group = self.open(f"projection/{model}")
            self._lifted[model] = self._inputs.space.reduce(group["feature"]), group["count"][:] > 0
        return self._lifted[model]

    def of_network(self, name: str, answer: Callable[[Cloud], F4]) -> F4:
        """f4[N, r+1]: the features of a trained network at every point, in the text space. answer: gives its
        features [N, C]."""
        if name not in self._answers:
            self._answers[name] = self._inputs.space.reduce(answer(self.cloud))
        return self._answers[name]

    @cached_property
    def cloud(self) -> Cloud:
        """The cloud of the scene."""
        data = self._inputs.artefacts.data
        return read_cloud(data("scenes"), data("superpoints"), self.scene)

    def open(self, stage: str) -> Artefact:
        """The scene's group in data/STAGE. Raises StoreError where there is none."""
        return store.open_scene(store.scene_path(self._inputs.artefacts.data(stage), self.scene))


@dataclass(frozen=True, kw_only=True)
class PredictingRow(Row):
    """A row that can predict."""

    # of a scene, by all label sets; several where the row has variants
    predict: Callable[[SceneFeatures], list[Prediction]]
    missing: str | None = None  # why it cannot be computed; None where it can
    network: Description | None = None  # of a row of a trained network


class Ablation:
    """The rows in the order of the table. Without `controls` the rows of controls are not among them."""

    candidates: tuple[PredictingRow, ...]  # all rows, also those that cannot be computed
    networks: tuple[Description, ...]  # all trained networks

    def __init__(
        self, inputs: Inputs, controls: Controls | None = None, scored: Collection[str] = ()
    ) -> None:
        """scored: the scenes on which rows will be scored. The titles of networks that were trained on them
        say so."""
        self._inputs = inputs
        self.networks = described(inputs.artefacts.networks)
        rows = [*_single(inputs), *_fusions(inputs, controls)]
        rows.append(_superpoints(inputs, {row.name: row for row in rows}))
        rows += _networks(inputs, self.networks, {row.name: row for row in rows}, scored)
        rows += _ensembles(inputs, rows)
        if controls is not None:
            rows += _first_weights(inputs, self.networks)
        self.candidates = tuple(sorted(rows, key=lambda row: row.control))

    @property
    def rows(self) -> tuple[PredictingRow, ...]:
        """The rows that can be computed."""
        return tuple(row for row in self.candidates if row.missing is None)

    @property
    def missing(self) -> dict[str, str]:
        """Why each of the other rows cannot be computed, by the row's name."""
        return {row.name: row.missing for row in self.candidates if row.missing is not None}

    def features(self, scene: str) -> SceneFeatures:
        """What the rows read of a scene to predict it."""
        return SceneFeatures(self._inputs, scene)


def _single(inputs: Inputs) -> Iterator[PredictingRow]:
    """Each 2D model alone."""
    for model in inputs.models:
        yield PredictingRow(
            name=model,
            title=f"2D model {model}",
            role="2d_model",
            kind=model,
            summary=False,
            predict=partial(_predict_single, inputs, model),
            missing=None if _projected(inputs, model) else "its features were not projected",
        )


def _predict_single(inputs: Inputs, model: str, scene: SceneFeatures) -> list[Prediction]:
    return [inputs.space.predict(*scene.of_model(model))]


def _projected(inputs: Inputs, model: str) -> bool:
    return inputs.artefacts.has(inputs.artefacts.data(f"projection/{model}"))


Weights = Sequence[F4] | str  # variants f4[M, V] of the 2D models' weights, or why there are none


def _fusions(inputs: Inputs, controls: Controls | None) -> Iterator[PredictingRow]:
    """All 2D models, fused by every rule and then with the weights of the controls."""
    measured = _measured(inputs)
    equal = [np.ones((len(inputs.models), len(inputs.vocabulary)), np.float32)]
    against = (BEST_SINGLE, "add", "linear", *(("max", "shuffled", "swapped") if controls else ()))
    rules = {
        "add": _fusion(inputs, "add", "add", equal, "add"),
        "linear": _fusion(inputs, "linear", "linear", equal, "linear"),
        CAPABILITY: _fusion(inputs, CAPABILITY, "capability fusion", measured, against=against),
        "max": _fusion(inputs, "max", "more confident model", equal, "max", summary=False),
    }
    stored = inputs.fusion.method  # what follows is built on it, so it comes last
    if stored != CAPABILITY:
        rules[stored] = replace(rules[stored], against=(BEST_SINGLE,))
    yield from (rules[name] for name in ("add", "linear", CAPABILITY) if name != stored)
    yield rules[stored]
    if controls is None:
        return
    if stored != "max":
        yield replace(rules["max"], control=True)
    shuffled: Weights = "evaluation.shuffles is 0"
    swapped: Weights = measured
    if isinstance(measured, str):
        shuffled = measured
    else:
        (capability,) = measured
        swapped = [np.roll(capability, 1, axis=0)]
        if controls.shuffles:
            rng = np.random.default_rng(controls.seed)
            shuffled = [rng.permuted(capability, axis=1) for _ in range(controls.shuffles)]
    taught = _given(inputs, controls.taught, "a 2D model does not say what it was taught")
    truth = _given(inputs, controls.truth, "there are no annotated frames to measure true IoU on")
    for row in (
        _fusion(inputs, "vocabulary", "fusion by taught classes", taught, summary=False),
        _fusion(inputs, "shuffled", "fusion by shuffled capability", shuffled, summary=False),
        _fusion(inputs, "swapped", "fusion by swapped capability", swapped),
        _fusion(inputs, "oracle", "fusion by true IoU", truth, against=(CAPABILITY,)),
    ):
        yield replace(row, control=True)


def _measured(inputs: Inputs) -> Weights:
    folder = inputs.artefacts.data("capability")
    capability = [read_capability(folder, model, inputs.vocabulary) for model in inputs.models]
    if any(of_model is None for of_model in capability):
        return "capability was not measured for every 2D model"
    return [np.array(capability, np.float32)]


def _given(inputs: Inputs, values: ByModel, otherwise: str) -> Weights:
    of_models = [values.get(model) for model in inputs.models]
    if any(value is None for value in of_models):
        return otherwise
    return [np.nan_to_num(np.array(of_models, np.float32))]


def _fusion(
    inputs: Inputs,
    name: str,
    title: str,
    weights: Weights,
    method: FusionMethod = "capability",
    *,
    summary: bool = True,
    against: tuple[str, ...] = (),
) -> PredictingRow:
    """The 2D models fused by `method` with each variant of the weights."""
    missing = weights if isinstance(weights, str) else None
    if missing is None and not all(_projected(inputs, model) for model in inputs.models):
        missing = "not all 2D models' features were projected"
    return PredictingRow(
        name=name,
        title=title,
        role="fusion",
        kind=name,
        summary=summary,
        against=against,
        predict=partial(_predict_fused, inputs, () if isinstance(weights, str) else weights, method),
        missing=missing,
    )


def _predict_fused(
    inputs: Inputs, variants: Sequence[F4], method: FusionMethod, scene: SceneFeatures
) -> list[Prediction]:
    features, valid = zip(*(scene.of_model(model) for model in inputs.models), strict=True)
    text, other = np.split(inputs.space.vocabulary, [len(inputs.vocabulary)])
    found = []
    for weights in variants:
        fused = fuse(
            features,
            valid,
            weights,
            text,
            tau=inputs.fusion.tau,
            normalise=inputs.fusion.normalise,
            method=method,
            other=other[0] if len(other) else None,
        )
        found.append(inputs.space.predict(fused.feature, fused.valid))
    return found


def _superpoints(inputs: Inputs, fusions: Mapping[str, Row]) -> PredictingRow:
    """The stored fusion, averaged over superpoints."""
    there = inputs.artefacts.has(inputs.artefacts.data("fusion"))
    fused = _stored_rule(inputs) if there else inputs.fusion.method
    return PredictingRow(
        name="superpoint",
        title=_built_on("+ superpoint means", fused, fusions),
        role="superpoints",
        kind="means",
        fused=fused,
        against=(fused,),
        predict=partial(_predict_superpoints, inputs),
        missing=None if there else "nothing was fused",
    )


def _stored_rule(inputs: Inputs) -> str:
    """The rule that the stored features were fused by. Those of older code do not say it."""
    folder = inputs.artefacts.data("fusion")
    first = next(iter(store.scene_ids(folder)), None)
    said = None if first is None else store.open_scene(store.scene_path(folder, first)).attrs.get(store.FUSED)
    return str(said["method"]) if said else inputs.fusion.method


def _built_on(title: str, fused: str | None, others: Mapping[str, Row]) -> str:
    """The title of what was built on a fusion, which says on which unless it is that by capability."""
    if fused is None or fused == CAPABILITY:
        return title
    return f"{title} on {others[fused].plain_title if fused in others else fused}"


def _predict_superpoints(inputs: Inputs, scene: SceneFeatures) -> list[Prediction]:
    fused = scene.open("fusion")
    of_superpoint = inputs.space.predict(
        inputs.space.reduce(fused["superpoint_feature"]), fused["superpoint_valid"][:]
    )
    superpoint = scene.open("superpoints")["superpoint"][:]
    return [of_superpoint.at(superpoint)]


def _networks(
    inputs: Inputs, trained: Sequence[Description], others: Mapping[str, Row], scored: Collection[str]
) -> Iterator[PredictingRow]:
    """Every trained network, then the others that the parameters ask for. Where another row has the name of a
    network, the network's row is called "network NAME"."""

    def row_of(network: str) -> str:
        return f"network {network}" if network in others else network

    def before(network: Description) -> str | None:
        """The row of the network that a network began from; None where it began from random weights, or from
        weights that no row shows."""
        return row_of(network.start) if network.start in {other.name for other in trained} else None

    supervised: set[str] = set()  # a network that begins from one that saw labels has them in its weights
    for place, network in enumerate(trained):
        if network.supervised or network.start in supervised:
            supervised.add(network.name)
        siblings = [other.name for other in trained[:place] if before(other) == before(network)]
        yield PredictingRow(
            name=row_of(network.name),
            title=marked(_built_on(network.title, network.fused_by, others), scored, shown(network, trained)),
            network=network,
            role="network",
            kind=network.kind,
            start=before(network),
            fused=network.fused_by,
            supervised=network.name in supervised,
            against=(before(network) or network.fused_by or CAPABILITY, *map(row_of, siblings)),
            predict=_NetworkAnswer(inputs, network),
        )
    names = {network.name for network in trained}
    for name, training in inputs.training.items():
        if name not in names:
            yield PredictingRow(
                name=row_of(name),
                title=training.title,
                role="network",
                kind=training.kind,
                predict=_predict_nothing,
                missing="the network was not trained",
            )


def _first_weights(inputs: Inputs, trained: Sequence[Description]) -> Iterator[PredictingRow]:
    """Networks elsewhere under models/ that trained ones began from: what the trainings added to."""
    known = {network.name for network in trained}
    for network in trained:
        first = None if network.start in known else first_weights(network, inputs.artefacts.networks)
        if first is not None and first.name not in known:
            known.add(first.name)
            yield PredictingRow(
                name=first.name,
                title=f"first weights of {network.title.removeprefix('+ ')}",
                network=first,
                role="network",
                kind="first weights",
                control=True,
                summary=False,
                supervised=first.supervised,
                predict=_NetworkAnswer(inputs, first),
            )


class _NetworkAnswer:
    """What a trained network predicts. Its weights are read when the first scene is shown to it."""

    def __init__(self, inputs: Inputs, network: Description) -> None:
        self._inputs, self._description = inputs, network

    @cached_property
    def _network(self) -> TrainedNetwork:
        return TrainedNetwork.load(self._description.folder).on(self._inputs.device)

    def reduced(self, scene: SceneFeatures) -> F4:
        """f4[N, r+1]: its features in the text space."""
        return scene.of_network(
            self._description.name, lambda cloud: self._network.features(cloud, self._inputs.turns)
        )

    def __call__(self, scene: SceneFeatures) -> list[Prediction]:
        return [self._inputs.space.predict(self.reduced(scene))]


def _ensembles(inputs: Inputs, rows: Sequence[PredictingRow]) -> Iterator[PredictingRow]:
    """The fused features and the most refined network together, as OpenScene's "2D-3D ensemble"."""
    last = last_step([row for row in rows if row.missing is None])
    if last is None or not isinstance(last, PredictingRow) or not isinstance(last.predict, _NetworkAnswer):
        return
    fused = inputs.artefacts.has(inputs.artefacts.data("fusion"))
    yield PredictingRow(
        name="2d-3d",
        title=f"surer of fusion and {last.plain_title}",
        role="ensemble",
        kind="ensemble",
        summary=False,
        start=last.name,
        fused=last.fused,
        supervised=last.supervised,
        against=(last.name,),
        predict=partial(_predict_surer, inputs, last.predict),
        missing=None if fused else "nothing was fused",
        network=last.network,
    )


def _predict_surer(inputs: Inputs, network: _NetworkAnswer, scene: SceneFeatures) -> list[Prediction]:
    """At each point the fused feature or the network's, whichever has the larger cosine with a prompt of the
    label set (OpenScene's run/evaluate.py:302-321)."""
    own, space = network.reduced(scene), inputs.space
    features = stored(inputs.artefacts, scene.scene, "fusion", "fusion")
    fused = space.reduce(features.values)
    if features.row is not None:  # those of superpoints
        fused = fused[features.row]
    found = []
    for prompts in space.prompts:
        surer = features.valid & (_cosine(fused, prompts.text) > _cosine(own, prompts.text))
        found.append(prompts.closest(np.where(surer[:, None], fused, own)))
    return [together(found)]


def _cosine(reduced: F4, prompts: F4) -> F4:
    """f4[N]: the largest cosine of each row f4[N, r+1] with a prompt of length 1."""
    length = np.maximum(np.linalg.norm(reduced, axis=1), 1e-12)
    cosine: F4 = (reduced @ prompts.T).max(1) / length
    return cosine


def _predict_nothing(scene: SceneFeatures) -> list[Prediction]:
    return []
