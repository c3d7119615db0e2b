"""All rows of a small finished project, and of partial ones."""

from __future__ import annotations

import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import zarr
from PIL import Image
from rich.console import Console
from scipy.stats import rankdata

from anyscene import datasets
from anyscene.capability import measured
from anyscene.errors import CheckpointError, StoreError
from anyscene.fusion import fuse
from anyscene.networks import checkpoint
from anyscene.networks.trained import TrainedNetwork
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.project.per_scene import WorkerPool
from anyscene.show.report import scores
from anyscene.study import ablation, evaluation, plots, rows
from anyscene.study.ablation import Ablation, Controls, Inputs
from anyscene.study.table import tables
from anyscene.tasks.scoring import score_tasks
from anyscene.tasks.segmentation import EvaluationError, evaluate
from anyscene.text import embeddings
from tests.builders import miniature
from tests.builders.figures import close

pytestmark = pytest.mark.integration

SCANNET = datasets.label_set("scannet20")
FUSIONS = ("add", "linear", "capability")
CONTROLS = ("max", "vocabulary", "shuffled", "swapped", "oracle")
EVERY = ("dense", "mask", *FUSIONS, "superpoint", *miniature.NETWORKS, "2d-3d", *CONTROLS)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, miniature.write(folder)


@pytest.fixture
def copied(finished, tmp_path):
    """A copy that a test may damage."""
    folder = tmp_path / "project"
    return folder, miniature.copy(finished[0], folder)


@pytest.fixture(autouse=True)
def light_models(monkeypatch):
    monkeypatch.setattr(ablation, "load_text_encoder", lambda section: miniature.Spelling())
    monkeypatch.setattr(evaluation, "load_segmenter", lambda name, params, captions: miniature.Painter(name))


def of_project(folder, params, **controls):
    return Ablation(Inputs.of(params, Artefacts(folder)), Controls({}, {}, **controls))


@pytest.fixture(scope="module")
def result(finished):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "load_text_encoder", lambda section: miniature.Spelling())
        patch.setattr(evaluation, "load_segmenter", lambda name, params, captions: miniature.Painter(name))
        return evaluation.run(finished[1], Artefacts(finished[0]))


def test_every_row_is_there_in_order(result):
    assert tuple(result.metrics["semantic"]) == EVERY
    assert result.metrics["missing"] == {} and result.metrics["unannotated"] == []
    assert result.metrics["backend"] == dict.fromkeys(miniature.NETWORKS, "torch")


def test_each_row_equals_an_independent_computation(finished, result):
    """From the full features, without the reduction, over both rooms at once."""
    folder, params = finished
    encoder = miniature.Spelling()
    labels = embeddings(encoder, SCANNET.prompts, params.text.template)
    vocabulary = embeddings(encoder, params.vocabulary, params.text.template)
    capability = np.array(
        [measured.read(folder / "data/capability", m, params.vocabulary) for m in ("dense", "mask")]
    )
    groups = {
        stage: [store.open_scene(folder / f"data/{stage}/room{i}.zarr") for i in (0, 1)]
        for stage in ("labels", "projection/dense", "projection/mask", "superpoints", "fusion")
    }
    target = np.concatenate([group["label"][:] for group in groups["labels"]])
    models = [groups["projection/dense"], groups["projection/mask"]]
    features = [np.concatenate([g["feature"][:] for g in m]).astype(np.float32) for m in models]
    valid = [np.concatenate([g["count"][:] > 0 for g in m]) for m in models]

    def scores(feature, seen):
        similarity = feature @ labels.T
        inside = np.where(SCANNET.foreground, similarity, -np.inf)
        return evaluate(
            target,
            np.where(seen, similarity.argmax(1), -1),
            SCANNET,
            foreground_prediction=np.where(seen, inside.argmax(1), -1),
        )

    expected = {"dense": scores(features[0], valid[0]), "mask": scores(features[1], valid[1])}
    for row, weights, method in (
        ("add", capability, "add"),
        ("linear", capability, "linear"),
        ("max", capability, "max"),
        ("capability", capability, "capability"),
        ("swapped", capability[::-1].copy(), "capability"),
    ):
        fused = fuse(
            features, valid, weights.astype(np.float32), vocabulary, tau=params.fusion.tau, method=method
        )
        expected[row] = scores(fused.feature, fused.valid)
    spread = [
        (g["superpoint_feature"][:][s["superpoint"][:]], g["superpoint_valid"][:][s["superpoint"][:]])
        for g, s in zip(groups["fusion"], groups["superpoints"], strict=True)
    ]
    expected["superpoint"] = scores(
        np.concatenate([f for f, _ in spread]).astype(np.float32), np.concatenate([v for _, v in spread])
    )
    found = result.metrics["semantic"]
    for row, metrics in expected.items():
        assert found[row]["mIoU"] == pytest.approx(metrics.mIoU, abs=0.05), row
        assert found[row]["f_mIoU"] == pytest.approx(metrics.f_mIoU, abs=0.05), row
        assert found[row]["mAcc"] == pytest.approx(metrics.mAcc, abs=0.05), row
    assert found["capability"]["mIoU"] > max(found[row]["mIoU"] for row in ("dense", "mask", "swapped"))


def test_what_a_network_began_from_is_a_control(copied):
    """Its own weights, which no stage of the project trained."""
    folder, params = copied
    (folder / "models/pixelwise").rename(folder / "models/demo/before")
    checkpoint.describe(folder / "models/distilled", {"start": "demo/before"})
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    (row,) = (row for row in rows.measured(metrics) if row.name == "demo/before")
    assert (row.control, row.role, row.title) == (True, "network", "first weights of superpoint distillation")
    assert metrics["trained_on"]["distilled"]["from"] == "demo/before"
    assert "demo/before" not in metrics["trained_on"]
    same = TrainedNetwork.load(folder / "models/demo/before")
    found = Ablation(Inputs.of(params, Artefacts(folder)), Controls({}, {}))
    scene = found.features("room0")
    (said,) = next(one for one in found.rows if one.name == "demo/before").predict(scene)
    labels = embeddings(miniature.Spelling(), SCANNET.prompts, params.text.template)
    assert (said.label == (same.features(scene.cloud, 1) @ labels.T).argmax(1)).mean() > 0.999
    assert scores.table(metrics)["first_weights"]


@pytest.mark.parametrize("kept", ["points", "superpoints"])
def test_an_ensemble_takes_the_surer_of_fusion_and_network(copied, kept):
    """OpenScene's run/evaluate.py:302-321, from the full features and without the reduction."""
    folder, params = copied
    labels = embeddings(miniature.Spelling(), SCANNET.prompts, params.text.template)
    stages = ("fusion", "superpoints")
    group, superpoints = (store.open_scene(folder / f"data/{stage}/room0.zarr") for stage in stages)
    if kept == "superpoints":
        place = superpoints["superpoint"][:]
        fused, valid = group["superpoint_feature"][:][place], group["superpoint_valid"][:][place]
        shutil.rmtree(folder / "data/fusion/room0.zarr/feature")
    else:
        fused, valid = group["feature"][:], group["valid"][:]
    found = Ablation(Inputs.of(params, Artefacts(folder)))
    scene = found.features("room0")
    last = next(row for row in found.rows if row.name == "ensembled")
    feature = TrainedNetwork.load(folder / "models/ensembled").features(scene.cloud, 1)
    both = []
    for one in (fused.astype(np.float32), feature):
        length = np.linalg.norm(one, axis=1, keepdims=True)
        both.append(one / np.where(length == 0, 1, length) @ labels.T)
    surer = valid & (both[0].max(1) > both[1].max(1))
    assert surer.any() and not surer.all()
    wanted = np.where(surer, both[0].argmax(1), both[1].argmax(1))
    (said,) = next(row for row in found.rows if row.name == "2d-3d").predict(scene)
    assert (said.label == wanted).mean() > 0.999  # but for rounding between two classes
    assert (said.label != last.predict(scene)[0].label).any()


def test_rows_are_scored_by_other_label_sets(copied, result):
    """Each as where it is the label set of the project; nothing else changes."""
    folder, params = copied
    wider = replace(params, evaluation=replace(params.evaluation, label_sets=("nyu40",)))
    for scene in ("room0", "room1"):
        group = zarr.open_group(store.scene_path(folder / "data/labels", scene), mode="r+")
        label = group["label"][:]
        ids = np.append(SCANNET.ids["nyu40"], 0)[label]  # nyu40 lists them all, from 1 on
        store.write(group, "label_nyu40", (ids - 1).astype(np.int16))
    found = evaluation.run(wider, Artefacts(folder)).metrics
    semantic = {row: of["mIoU"] for row, of in found["semantic"].items()}
    assert semantic == pytest.approx({k: v["mIoU"] for k, v in result.metrics["semantic"].items()}, abs=0.05)
    (other,) = found["label_sets"].values()
    assert "label_sets" not in result.metrics and other["points"] == found["points"]
    for scene in ("room0", "room1"):
        group = zarr.open_group(store.scene_path(folder / "data/labels", scene), mode="r+")
        group["label"][:] = group["label_nyu40"][:]
    alone = replace(params, dataset=replace(params.dataset, label_set="nyu40"))
    wanted = evaluation.run(alone, Artefacts(folder)).metrics
    assert other["absent"] == wanted["absent"] and set(other["semantic"]) == set(EVERY)
    for row, own in wanted["semantic"].items():
        for name in ("mIoU", "mAcc", "f_mIoU", "f_mAcc"):
            assert other["semantic"][row][name] == pytest.approx(own[name], abs=0.05), (row, name)
        assert other["bootstrap"]["mIoU"][row]["low"] == pytest.approx(
            wanted["bootstrap"]["mIoU"][row]["low"], abs=0.1
        )
    out = io.StringIO()
    Console(file=out, width=250).print(tables(found))
    assert "nyu40: mIoU" in out.getvalue()
    shown = scores.label_sets(found)
    assert shown["names"] == ["nyu40"] and len(shown["lines"]) == len(EVERY)


def test_capability_section_has_true_iou_of_the_frames(result):
    section = result.metrics["capability"]
    assert section["model"]["dense"]["true_iou"]["bed"] == 100  # what the painter never confuses
    assert section["model"]["dense"]["true_iou"]["chair"] == 0
    assert 0 < section["model"]["mask"]["true_iou"]["wall"] < 100  # beds are called walls
    assert section["difference"]["dense - mask"]["spearman"] > 0.5


def test_two_runs_give_the_same_metrics(finished, result):
    again = evaluation.run(finished[1], Artefacts(finished[0]))
    assert json.dumps(again.metrics) == json.dumps(result.metrics)


@pytest.mark.parametrize(
    ("gone", "rows"),
    [
        (["data/fusion"], {"superpoint", "2d-3d"}),
        (["models/ensembled", "models/pixelwise"], {"ensembled", "pixelwise"}),
        (
            ["data/capability/mask.json", "data/fusion"],
            {"capability", "shuffled", "swapped", "superpoint", "2d-3d"},
        ),
        (["models/demo/mask/model.json"], {"vocabulary"}),
        (["data/projection/mask", "data/fusion"], {"mask", "superpoint", "2d-3d", *FUSIONS, *CONTROLS}),
        (["data/world/room0/truth", "data/world/room1/truth"], {"oracle"}),
    ],
)
def test_what_is_missing_is_left_out_and_named(copied, gone, rows):
    folder, params = copied
    for path in gone:
        shutil.rmtree(folder / path) if (folder / path).is_dir() else (folder / path).unlink()
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    assert set(metrics["missing"]) == rows
    assert set(metrics["semantic"]) == set(EVERY) - rows


@pytest.mark.parametrize(
    ("part", "stage"), [("capability/mask.json", "capability"), ("projection/mask", "projection")]
)
def test_what_was_fused_is_not_left_out(copied, part, stage):
    folder, params = copied
    (folder / "data" / part).rename(folder / "elsewhere")
    with pytest.raises(
        StoreError,
        match=rf"data/{part}: lost, for there are fused features; run `dvc repro {stage}@mask`, or remove",
    ):
        evaluation.run(params, Artefacts(folder))


def test_a_network_that_was_trained_is_not_left_out(copied):
    folder, params = copied
    checkpoint.record(folder / "models/ensembled", folder / "data/networks/ensembled.json")
    assert "ensembled" in evaluation.run(params, Artefacts(folder)).metrics["semantic"]
    (folder / "models/ensembled/network.json").unlink()
    with pytest.raises(CheckpointError, match=r"models/ensembled/network\.json: lost, .* `dvc checkout m"):
        evaluation.run(params, Artefacts(folder))


def test_scenes_on_which_a_stage_failed_are_named_and_not_scored(copied):
    folder, params = copied
    for stage in ("fusion", "projection/mask"):
        shutil.rmtree(folder / "data" / stage / "room1.zarr")
        store.note_failed(folder / "data" / stage, {"room1": "projection of mask: no view sees any point"})
    found = evaluation.run(params, Artefacts(folder)).metrics
    assert found["scenes"] == ["room0"] and found["unannotated"] == []
    assert found["failed"] == {"room1": "projection of mask: no view sees any point"}
    out = io.StringIO()
    Console(file=out, width=200).print(tables(found))
    assert "left out, failed in projection of mask: no view sees any point: room1" in out.getvalue()


def test_unannotated_scenes_are_named(copied):
    folder, params = copied
    shutil.rmtree(folder / "data/labels/room1.zarr")
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    assert (metrics["scenes"], metrics["unannotated"]) == (["room0"], ["room1"])


def test_no_annotation_at_all_gives_no_scores_and_says_what_still_works(copied):
    folder, params = copied
    shutil.rmtree(folder / "data/labels")
    shutil.rmtree(folder / "data/world")
    found = evaluation.run(params, Artefacts(folder))
    assert found.metrics["semantic"] == {} and found.metrics["unannotated"] == ["room0", "room1"]
    assert found.metrics["capability"]["model"]["dense"]["capability"]["bed"] > 0
    plots.write(found, SCANNET.names, folder / "plots")
    assert (folder / "plots/rows.csv").read_text() == "row,mIoU,low,high\n"
    out = io.StringIO()
    Console(file=out, width=200).print(tables(found.metrics))
    assert "anyscene query" in out.getvalue()


def test_nothing_that_predicts_is_an_error(copied):
    folder, params = copied
    for path in ("data/projection", "data/fusion", *(f"models/{name}" for name in miniature.NETWORKS)):
        shutil.rmtree(folder / path)
    with pytest.raises(EvaluationError, match="nothing predicts"):
        evaluation.run(params, Artefacts(folder))


def test_capability_of_another_vocabulary_is_refused(copied):
    folder, _ = copied
    with pytest.raises(StoreError, match=r"mask\.json"):
        measured.read(folder / "data/capability", "mask", ("wall", "piano"))


def test_shuffled_capability_keeps_each_models_values(finished):
    folder, params = finished
    ablation = of_project(folder, params, shuffles=3, seed=1)
    (shuffled,) = (row for row in ablation.rows if row.name == "shuffled")
    assert shuffled.control and len(shuffled.predict(ablation.features("room0"))) == 3
    assert "shuffled" in of_project(folder, params, shuffles=0).missing


def test_shuffled_capability_takes_another_order_for_every_model(copied, monkeypatch):
    folder, params = copied
    for model in ("dense", "mask"):
        record = {"model": model, "vocabulary": params.vocabulary, "capability": [k / 6 for k in range(1, 7)]}
        (folder / f"data/capability/{model}.json").write_text(json.dumps(record))
    found = []
    monkeypatch.setattr(
        ablation,
        "fuse",
        lambda *given, fuse=ablation.fuse, **how: found.append(given[2]) or fuse(*given, **how),
    )
    rows = of_project(folder, params, shuffles=5, seed=0)
    next(row for row in rows.rows if row.name == "shuffled").predict(rows.features("room0"))
    assert len(found) == 5 and any((first != second).any() for first, second in found)


def test_rows_of_fusion_know_the_other_class(finished, monkeypatch):
    folder, params = finished
    params = replace(params, capability=replace(params.capability, other="other"))
    found = []
    monkeypatch.setattr(
        ablation,
        "fuse",
        lambda *given, fuse=ablation.fuse, **how: found.append((given, how)) or fuse(*given, **how),
    )
    rows = of_project(folder, params)
    next(row for row in rows.rows if row.name == "capability").predict(rows.features("room0"))
    (((_, _, capability, text), how),) = found
    assert len(text) == capability.shape[1] == len(params.vocabulary)
    inputs = Inputs.of(params, Artefacts(folder))
    assert np.array_equal(how["other"], inputs.space.vocabulary[-1])
    bare = inputs.encoder.encode(["other"])[0]
    assert np.allclose(np.linalg.norm(how["other"]), np.linalg.norm(bare), atol=1e-5)


def test_labels_of_frames_are_resized_without_making_others(copied, monkeypatch):
    folder, params = copied
    smaller = replace(
        params.projection, width=params.projection.width - 5, height=params.projection.height - 7
    )
    seen = []

    def measure(segmenter, frames, *rest):
        seen.extend(truth for _, truth in frames)
        return np.zeros((len(params.vocabulary) + 1, len(params.vocabulary) + 2), np.int64)

    monkeypatch.setattr(evaluation, "compared", measure)
    evaluation.run(replace(params, projection=smaller), Artefacts(folder))
    assert len(seen) == 8 and all(truth.shape == (smaller.height, smaller.width) for truth in seen)
    known = {SCANNET.names.index(name) for name in miniature.VOCABULARY} | {255}
    assert set(np.unique(seen).tolist()) <= known


def test_a_row_reads_what_it_predicts_from_alone(copied):
    """A damaged artefact costs only the rows that read it."""
    folder, params = copied
    shutil.rmtree(folder / "data/projection/dense/room0.zarr")
    shutil.rmtree(folder / "data/fusion/room0.zarr")
    ablation = Ablation(Inputs.of(params, Artefacts(folder)))
    features, silent = ablation.features("room0"), set()
    for row in ablation.rows:
        try:
            row.predict(features)
        except StoreError:
            silent.add(row.name)
    assert silent == {"dense", "add", "linear", "capability", "superpoint", "2d-3d"}


def test_without_controls_there_are_none(finished):
    folder, params = finished
    found = Ablation(Inputs.of(params, Artefacts(folder)))
    assert tuple(row.name for row in found.candidates) == EVERY[: -len(CONTROLS)] and not found.missing
    capability = next(row for row in found.rows if row.name == "capability")
    assert capability.against == ("best single", "add", "linear")


def test_any_network_is_a_row_and_what_came_of_labels_is_said(copied):
    """A network of a kind that nothing here knows, one that went on from it, and one named as a fusion."""
    folder, params = copied
    miniature.write_network(folder, "probe", "a probe", 7, supervised=True)
    miniature.write_network(folder, "linear", "one more", 8)
    miniature.write_network(folder, "after", "+ after the probe", 9)
    checkpoint.describe(folder / "models/after", {"start": "probe"})
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    networks = [row for row in rows.measured(metrics) if row.role == "network"]
    first, last = ["pixelwise", "distilled", "probe", "network linear"], ["ensembled", "after"]
    assert [row.name for row in networks] == first + last
    titles = {row.name: row.title for row in networks}
    assert (titles["probe"], titles["network linear"], titles["after"]) == (
        "a probe",
        "one more",
        "+ after the probe",
    )
    assert metrics["supervised"] == ["probe", "after", "2d-3d"]  # which takes the features of the last
    assert metrics["semantic"]["linear"] != metrics["semantic"]["network linear"]
    differences = metrics["bootstrap"]["difference"]
    assert {"after - probe", "probe - capability", "probe - distilled"} <= set(differences)
    assert {"distilled - capability", "ensembled - distilled"} <= set(differences)
    assert "after - distilled" not in differences and rows.last_step(networks).name == "after"


def test_a_loss_that_cannot_be_read_is_named_and_costs_nothing_else(copied):
    folder, params = copied
    file = folder / "models/ensembled/curves/plots/metrics/loss.tsv"
    for content, said in (
        ("step\tloss\n", "not a step in it; train again"),
        ("step\tloss\n0\tnan\n1\tinf\n", "no loss in it is finite; train again"),
        ("{\n{", "not readable as a curve"),
    ):
        file.write_text(content)
        found = evaluation.run(params, Artefacts(folder))
        (problem,) = found.metrics["problems"]
        assert "ensembled" in problem and said in problem
    assert [loss.network.name for loss in found.losses] == ["pixelwise", "distilled"]
    out = io.StringIO()
    Console(file=out, width=400).print(tables(found.metrics))
    assert problem in out.getvalue()


@pytest.mark.parametrize(
    ("key", "value", "section"),
    [
        ("turns", 2, "semantic"),
        ("unpredicted", "ignore", "semantic"),
        ("bootstrap", 31, "bootstrap"),
        ("seed", 1, "bootstrap"),
        ("seed", 1, "semantic"),
        ("shuffles", 3, "semantic"),
    ],
)
def test_every_setting_changes_what_is_measured(finished, result, key, value, section):
    folder, params = finished
    changed = replace(params, evaluation=replace(params.evaluation, **{key: value}))
    found = evaluation.run(changed, Artefacts(folder)).metrics
    rows = "mIoU" if section == "bootstrap" else slice(None)
    before, after = result.metrics[section], found[section]
    if section == "bootstrap":
        before, after = before[rows], after[rows]
    differs = {row for row in before if before[row] != after[row]}
    wanted = {"turns": {*miniature.NETWORKS, "2d-3d"}, "shuffles": {"shuffled"}}.get(key)
    if (key, section) == ("seed", "semantic"):
        wanted = {"shuffled"}
    assert differs == wanted if wanted else differs


def test_without_controls_the_other_rows_are_the_same_and_no_2d_model_is_asked(finished, result, monkeypatch):
    folder, params = finished
    monkeypatch.setattr(evaluation, "load_segmenter", None)  # it fails where it is called
    changed = replace(params, evaluation=replace(params.evaluation, controls=False))
    found = evaluation.run(changed, Artefacts(folder)).metrics
    controls = {name for name, row in result.metrics["rows"].items() if row["control"]}
    assert {"shuffled", "swapped", "oracle", "vocabulary"} <= controls
    assert found["rows"].keys() == result.metrics["rows"].keys() - controls
    for row in found["semantic"]:
        assert found["semantic"][row] == result.metrics["semantic"][row]
    for model, entry in found["capability"]["model"].items():
        assert entry["capability"] == result.metrics["capability"]["model"][model]["capability"]
        assert "true_iou" not in entry
    assert not controls & found["missing"].keys()
    Console(file=io.StringIO(), width=400).print(tables(found))


def test_only_scenes_of_the_split_are_measured(copied):
    folder, params = copied
    path = folder / "data/scenes/room1.zarr"
    attributes = store.open_scene(path).attrs
    store.note(path, **{name: attributes[name] for name in ("key",)}, split="test")
    for split, scenes in (("val", ["room0"]), ("test", ["room1"])):
        changed = replace(params, evaluation=replace(params.evaluation, split=split))
        assert evaluation.run(changed, Artefacts(folder)).metrics["scenes"] == scenes


def build_on(folder, method, *networks):
    """Say in the files of a project that features were fused by `method`, and that `networks` learnt them."""
    fusion = {"method": method, "tau": 0.05, "normalise": True}
    for scene in ("room0", "room1"):
        zarr.open_group(store.scene_path(folder / "data/fusion", scene), mode="r+").attrs["fusion"] = fusion
    for name in networks:
        trained = {"dataset": "demo", "scenes": 2, "fusion": fusion}
        checkpoint.describe(folder / "models" / name, {"trained_on": trained})


@pytest.mark.parametrize(
    ("method", "order"),
    [
        ("add", ("linear", "capability", "add", "superpoint")),
        ("linear", ("add", "capability", "linear", "superpoint")),
        ("max", ("add", "linear", "capability", "max", "superpoint")),
        ("capability", ("add", "linear", "capability", "superpoint")),
    ],
)
def test_what_follows_an_ablated_fusion_is_named_by_it(copied, method, order):
    folder, params = copied
    build_on(folder, method, *miniature.NETWORKS)
    params = replace(params, fusion=replace(params.fusion, method=method))
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    every = {row.name: row for row in rows.of(metrics)}
    assert tuple(every)[2 : 2 + len(order)] == order
    title = {"max": "more confident model", "capability": ""}.get(method, method)
    for name, plain in {"superpoint": "+ superpoint means", "distilled": "superpoint distillation"}.items():
        assert every[name].title == (f"{plain} on {title}" if title else plain)
        assert every[name].fused == method and every[name].against[0] == method
        assert f"{name} - {method}" in metrics["bootstrap"]["difference"]
        assert method == "capability" or f"{name} - capability" not in metrics["bootstrap"]["difference"]
    assert every[method].control is False
    assert [row.name for row in rows.steps(rows.measured(metrics))] == [method, "distilled", "ensembled"]
    pictured = [row.name for row in rows.pictured(tuple(every.values())) if row.role == "fusion"]
    assert set(pictured) == {method, "capability"}
    assert metrics["parameters"]["fusion"]["method"] == method


def test_a_network_of_another_fusion_than_the_stored_one_is_named_by_its_own(copied):
    """As where a training did not run again yet."""
    folder, params = copied
    build_on(folder, "capability")
    build_on(folder, "add", "distilled")
    build_on(folder, "capability")
    found = {row.name: row for row in of_project(folder, params).candidates}
    assert found["superpoint"].fused == "capability" and found["superpoint"].title == "+ superpoint means"
    assert found["distilled"].fused == "add" and found["distilled"].title.endswith(" on add")
    assert found["ensembled"].fused is None  # nothing is noted
    assert found["ensembled"].title == "+ temporal ensembling"


def test_metrics_say_what_each_network_was_trained_on(copied):
    folder, params = copied
    build_on(folder, "capability", "distilled")
    checkpoint.note_scenes(folder / "models/distilled", ["room1", "elsewhere"])
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    titles = {row.name: row.title for row in rows.of(metrics)}
    said = metrics["trained_on"]
    assert set(said) == set(miniature.NETWORKS)
    assert said["distilled"]["dataset"] == "demo" and said["distilled"]["from"] == "demo/student"
    assert said["distilled"]["splits"] == {"unknown": 1, "val": 1}
    assert said["distilled"]["scored"] == ["room1"] and said["distilled"]["fusion"]["method"] == "capability"
    assert titles["distilled"] == "superpoint distillation (trained on 1 of these scenes)"
    # what began from it has the scene in its weights, too
    assert said["ensembled"]["scored"] == ["room1"] and said["ensembled"]["splits"] == {}
    assert titles["ensembled"] == "+ temporal ensembling (trained on 1 of these scenes)"
    assert said["pixelwise"]["scored"] == [] and titles["pixelwise"] == "pixel distillation"
    out = io.StringIO()
    Console(file=out, width=200).print(tables(metrics))
    table, _, notes = out.getvalue().partition("capability / true IoU")
    assert table.count("(trained on 1 of these scenes)") == 3
    assert "trained on 2 scenes of demo" in " ".join(notes.split())
    page = {line["title"] for line in scores.table(metrics)["lines"]}
    assert titles["distilled"] in page

    checkpoint.note_scenes(folder / "models/distilled", ["room0", "room1"])
    metrics = evaluation.run(params, Artefacts(folder)).metrics
    assert metrics["rows"]["distilled"]["title"] == "superpoint distillation (trained on these scenes)"


def test_metrics_record_the_parameters(finished, result):
    said, params = result.metrics["parameters"], finished[1]
    assert said["fusion"]["tau"] == params.fusion.tau
    assert said["training"]["distilled"]["learning_rate"] == 3e-4
    assert said["training"]["ensembled"]["objective"]["momentum"] == 0.9999
    assert said["dataset"] == {"name": "demo", "reader": "rgbd", "label_set": "scannet20"}
    assert said["segmenters"] == {
        "names": ["dense", "mask"], "nouns": "own", "captioner": "colour", "precision": "float32",
    }  # fmt: skip
    assert said["scenes"] == {"frame_stride": 1}
    assert said["projection"] == {"width": 32, "height": 24, "resize": "antialiased", "tolerance": 0.1}
    assert json.loads(json.dumps(said)) == json.loads(json.dumps(said, sort_keys=True))


@pytest.fixture(scope="module")
def by_loops(tmp_path_factory):
    """(metrics.json, what it has to be) of four scenes: two that are scored by two label sets, one without
    annotation, and one that failed. Only what the rows predict is taken from the evaluation."""
    folder = tmp_path_factory.mktemp("by_loops")
    params = miniature.write(folder, scenes=4, spacing=0.3)
    params = replace(params, evaluation=replace(params.evaluation, label_sets=("nyu40",), seed=5))
    shutil.rmtree(folder / "data/labels/room2.zarr")
    shutil.rmtree(folder / "data/fusion/room3.zarr")
    store.note_failed(folder / "data/fusion", {"room3": "fusion: its disk is full"})
    checkpoint.note_scenes(folder / "models/distilled", ["room1", "elsewhere"])
    target = {"scannet20": [], "nyu40": []}
    for scene in ("room0", "room1"):
        group = zarr.open_group(store.scene_path(folder / "data/labels", scene), mode="r+")
        label = group["label"][:]
        label[::7] = -1
        group["label"][:] = label
        nyu40 = np.append(SCANNET.ids["nyu40"], 0)[label] - 1  # nyu40 lists them all, from 1 on
        store.write(group, "label_nyu40", nyu40.astype(np.int16))
        target["scannet20"].append(label)
        target["nyu40"].append(nyu40)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "load_text_encoder", lambda section: miniature.Spelling())
        patch.setattr(evaluation, "load_segmenter", lambda name, params, captions: miniature.Painter(name))
        found = evaluation.run(params, Artefacts(folder)).metrics
        return found, restated(folder, params, target)


def restated(folder, params, target):
    """metrics.json, but for its sections `rows` and `parameters`."""
    truth = {model: iou_of_frames(folder, model) for model in ("dense", "mask")}
    taught = {
        model: np.array([float(name not in confused) for name in miniature.VOCABULARY])
        for model, confused in miniature.CONFUSED.items()
    }
    inputs = Inputs.of(params, Artefacts(folder))
    every = Ablation(inputs, Controls(taught, truth, shuffles=2, seed=5), ["room0", "room1"])
    said = {"scannet20": {}, "nyu40": {}}  # row -> scene -> variant
    for row in every.rows:
        scenes = [row.predict(every.features(scene)) for scene in ("room0", "room1")]
        said["scannet20"][row.name] = scenes
        said["nyu40"][row.name] = [[one.others[0] for one in variants] for variants in scenes]
    pairs = {row.name: row.against for row in every.rows}
    sets = {name: of_label_set(datasets.label_set(name), target[name], said[name], pairs) for name in target}
    measured = {
        model: json.loads((folder / f"data/capability/{model}.json").read_text())["capability"]
        for model in ("dense", "mask")
    }

    def percent(values):
        return {name: 100 * float(v) for name, v in zip(miniature.VOCABULARY, values, strict=True)}

    def rank(a, b):
        return float(np.corrcoef(rankdata(a), rankdata(b))[0, 1])

    between = [np.subtract(of["dense"], of["mask"]) for of in (measured, truth)]
    trained = {"splits": {}, "official": None, "variant": "14A", "input": "geometry", "voxel": 0.2}
    return {
        **sets["scannet20"],
        "capability": {
            "model": {
                model: {
                    "capability": percent(measured[model]),
                    "true_iou": percent(truth[model]),
                    "spearman": rank(measured[model], truth[model]),
                }
                for model in measured
            },
            "difference": {"dense - mask": {"spearman": rank(*between)}},
        },
        "tasks": score_tasks(
            Artefacts(folder), params, inputs.encoder, WorkerPool(1), ["room0", "room1"], ["instances"]
        ),
        "label_set": "scannet20",
        "missing": {},
        "problems": [],
        "trained_on": {
            "pixelwise": {**trained, "from": None, "scored": []},
            "distilled": {
                **trained,
                "from": "demo/student",
                "scored": ["room1"],
                "splits": {"unknown": 1, "val": 1},
            },
            "ensembled": {**trained, "from": "distilled", "scored": ["room1"]},
        },
        "supervised": [],
        "split": "val",
        "scenes": ["room0", "room1"],
        "unannotated": ["room2"],
        "failed": {"room3": "fusion: its disk is full"},
        "unpredicted": "error",
        "turns": 1,
        "backend": dict.fromkeys(miniature.NETWORKS, "torch"),
        "seed": 5,
        "label_sets": {"nyu40": sets["nyu40"]},
    }


def iou_of_frames(folder, model):
    """f8[V] in 0..1, pixel by pixel."""
    right, annotated, called = (dict.fromkeys(miniature.VOCABULARY, 0) for _ in range(3))
    for truth in sorted((folder / "data/world").glob("room[01]/truth/frame/*.png")):
        image = np.asarray(Image.open(truth.parents[2] / "color" / truth.name))
        for true, red in zip(np.asarray(Image.open(truth)).flat, image[..., 0].flat, strict=True):
            if true < 255:
                word = miniature.VOCABULARY[red]
                word = miniature.CONFUSED[model].get(word, word)
                called[word] += 1
                annotated[SCANNET.names[true]] += 1
                right[word] += word == SCANNET.names[true]
    return np.array([right[k] / (annotated[k] + called[k] - right[k]) for k in miniature.VOCABULARY])


def of_label_set(label_set, target, said, pairs):
    """What metrics.json has of a label set. target: of each scene; said: row -> scene -> variant."""
    present = [k for k in range(len(label_set)) if any((one == k).any() for one in target)]
    drawn = np.random.default_rng(5).multinomial(2, [0.5, 0.5], 30)

    def mean(values):
        return float(np.mean([*values]))

    def variants(row):
        return range(len(said[row][0]))

    def miou(row, times):
        """Over scenes that count so often."""
        chosen = np.repeat([0, 1], times)
        truth = np.concatenate([target[s] for s in chosen])
        return mean(mean(iou(truth, one).values()) for one in labels(row, chosen))

    def labels(row, chosen=(0, 1), of="label"):
        return [np.concatenate([getattr(said[row][s][v], of) for s in chosen]) for v in variants(row)]

    def iou(truth, label, among=None):
        among = [k for k in range(len(label_set)) if (truth == k).any()] if among is None else among
        known = truth >= 0
        return {
            label_set.names[k]: 100 * (known & (truth == k) & (label == k)).sum()
            / (known & ((truth == k) | (label == k))).sum()
            for k in among
        }  # fmt: skip

    def recall(truth, label, among):
        return {label_set.names[k]: 100 * (label[truth == k] == k).mean() for k in among}

    def precision(truth, label):
        called = {k: truth[(truth >= 0) & (label == k)] for k in present}
        return {label_set.names[k]: 100 * (of == k).mean() if len(of) else 0.0 for k, of in called.items()}

    def scores(row):
        truth = np.concatenate(target)
        front = np.where((truth >= 0) & label_set.foreground[truth], truth, -1)
        inside = [k for k in present if label_set.foreground[k]]
        found = []
        for label, foreground in zip(labels(row), labels(row, of="foreground"), strict=True):
            own, right = iou(truth, label, present), recall(truth, label, present)
            of_front = iou(front, foreground, inside)
            right_front = recall(front, foreground, inside)
            found.append(
                {
                    **{"mIoU": mean(own.values()), "mAcc": mean(right.values())},
                    **{"f_mIoU": mean(of_front.values()), "f_mAcc": mean(right_front.values())},
                    **{"per_class": own, "precision": precision(truth, label), "recall": right},
                }
            )
        return {
            name: {k: mean(one[name][k] for one in found) for k in value}
            if isinstance(value, dict)
            else mean(one[name] for one in found)
            for name, value in found[0].items()
        }

    kinds = {row: {(a, 2 - a): miou(row, (a, 2 - a)) for a in (0, 1, 2)} for row in said}
    samples = {row: np.array([kinds[row][tuple(times)] for times in drawn.tolist()]) for row in said}

    def interval(values):
        low, high = np.quantile(values, 0.025), np.quantile(values, 0.975)
        return {"mean": mean(values), "low": float(low), "high": float(high)}

    semantic = {row: scores(row) for row in said}
    best = "dense" if semantic["dense"]["mIoU"] > semantic["mask"]["mIoU"] else "mask"
    differences = {}
    for row, against in pairs.items():
        for other in against:
            to = best if other == "best single" else other
            differences[f"{row} - {other}"] = {
                "value": semantic[row]["mIoU"] - semantic[to]["mIoU"],
                **interval(samples[row] - samples[to]),
            }
    return {
        "semantic": semantic,
        "bootstrap": {
            "scenes": 2,
            "drawn": {"what": "scenes", "count": 2},
            "resamples": 30,
            "mIoU": {row: interval(values) for row, values in samples.items()},
            "best_single": best,
            "difference": differences,
        },
        "absent": [name for k, name in enumerate(label_set.names) if k not in present],
        "points": sum(int((one >= 0).sum()) for one in target),
    }


def test_every_key_of_a_run_is_known_and_every_figure_restated(by_loops):
    """A new key needs a line in `restated`: nobody would notice if it held another figure."""
    found, expected = by_loops
    found = {**found}
    said, parameters = found.pop("rows"), found.pop("parameters")
    assert tuple(said) == EVERY
    of_row = {"title", "role", "kind", "control", "summary", "start", "fused", "supervised", "against"}
    assert all(set(row) == of_row for row in said.values())
    assert set(parameters) == {
        *("dataset", "text", "segmenters", "scenes", "projection", "fusion", "training", "vocabulary")
    }
    assert set(found) == set(expected)
    for section, value in expected.items():
        assert found[section] == close(value), section


@pytest.mark.parametrize("which", ["scannet20", "nyu40"])
def test_a_figure_lies_in_its_interval(by_loops, which):
    """low <= mean <= high of each interval, and low < high where scenes differ."""
    found = by_loops[0] if which == "scannet20" else by_loops[0]["label_sets"][which]
    doubt = found["bootstrap"]
    for interval in (*doubt["mIoU"].values(), *doubt["difference"].values()):
        assert interval["low"] <= interval["mean"] <= interval["high"]
    for row, interval in doubt["mIoU"].items():
        assert interval["low"] <= found["semantic"][row]["mIoU"] <= interval["high"]
