"""A text finds the points and superpoints that mean it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene.cli import query
from anyscene.datasets import label_set
from anyscene.errors import StoreError
from anyscene.library import feature_cloud
from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show import heat_map
from anyscene.tasks import sources
from anyscene.tasks.query import similarity
from anyscene.tasks.query.session import Session
from anyscene.tasks.query.similarity import By
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts
from anyscene.text.glosses import Vocabulary, glosses
from tests.builders import miniature


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("query")
    miniature.write(folder, scenes=1, spacing=0.25)
    return folder


@pytest.fixture(autouse=True)
def light_text(monkeypatch):
    monkeypatch.setattr(feature_cloud, "load_text_encoder", lambda section: miniature.Spelling())


def run(project, *arguments):
    return CliRunner().invoke(query.app, [*arguments, "--params", str(project / "params.yaml")])


def test_cosine_is_that_of_the_vectors_and_nan_without_a_feature():
    feature = np.array([[3, 4], [0, 0], [-1, 0], [5, 5]], np.float32)
    found = similarity.cosine(feature, np.array([True, True, True, False]), np.array([2.0, 0]))
    np.testing.assert_allclose(found, [0.6, 0, -1, np.nan], rtol=1e-6)


def test_cosine_of_several_texts_is_a_column_each():
    feature, valid = np.array([[3, 4], [1, 0]], np.float32), np.array([True, False])
    found = similarity.cosine(feature, valid, np.array([[1.0, 0], [0, 2]]))
    np.testing.assert_allclose(found, [[0.6, 0.8], [np.nan, np.nan]], rtol=1e-6)


def test_any_negative_text_that_stands_out_more_wins_whatever_its_level():
    positive = np.array([0.1, 0.1, 0.1, 0.3, 0.5, np.nan], np.float32)
    far, near = np.array([0.1, 0, 0, 0, 0.05, 0.5]), np.array([0.6, 0.6, 0.6, 0.75, 0.9, 0.9])
    assert similarity.closer_to([near], positive).tolist() == [False] * 5 + [
        True
    ]  # always higher, but evenly
    assert similarity.closer_to([far], positive).tolist() == [True] + [False] * 4 + [True]
    assert similarity.closer_to([], positive).tolist() == [False] * 6


def vocabulary(name, gloss) -> Vocabulary:
    return Vocabulary(("bed", "door"), ("to sleep", None), np.array(name), np.array(gloss))


def known(share, general) -> np.ndarray:
    """[N, V + 1]: shares of the classes, and the cosine with what these have in common."""
    return np.column_stack([share, general])


def test_through_the_vocabulary_a_point_is_what_its_class_is():
    cosine = np.array([[0.9, 0.2], [0.5, 0.5], [np.nan, np.nan]], np.float32)
    share = similarity.shares(cosine)
    np.testing.assert_allclose(share, [[1, 0], [0.5, 0.5], [np.nan, np.nan]], atol=1e-6)
    classes = vocabulary([[1.0, 0, 0], [0, 1, 0]], [[1.0, 0, 0], [0, 1, 0]])
    weight = similarity.through_vocabulary(classes, np.array([[0.6, 0.2, 0.7]]))
    found = known(share, [0.3, 0.1, 0.2]) @ weight
    np.testing.assert_allclose(found[:, 0], [0.6, 0.4, np.nan], atol=1e-6)  # the first; half of either; none


def test_a_text_is_as_like_a_class_as_its_name_or_its_gloss():
    classes = vocabulary([[1.0, 0, 0], [0, 1, 0]], [[0, 0, 1.0], [0, 1, 0]])
    use, name = np.array([0.6, 0.2, 0.7]), np.array([0.8, 0.1, 0.2])
    np.testing.assert_allclose(classes.likeness(use), [0.7, 0.2])
    np.testing.assert_allclose(classes.likeness(name), [0.8, 0.1])
    assert classes.by_gloss(use).tolist() == [True, False] and not classes.by_gloss(name).any()


def test_what_all_classes_share_finds_nothing():
    classes = vocabulary([[0.8, 0, 0.6], [0, 0.8, 0.6]], np.zeros((2, 3)))  # all have the third in common
    np.testing.assert_allclose(classes.common, np.array([4, 4, 6]) / np.sqrt(68))
    unsure, sure = classes.common, classes.name[0]
    feature, valid = np.array([unsure, sure, sure]), np.array([True, True, False])
    general = similarity.cosine(feature, valid, classes.common)

    def own(text):
        beside = known(np.full((3, 2), 0.5), general) @ similarity.own(classes, text[None])
        return similarity.cosine(feature, valid, text) + beside[:, 0]

    np.testing.assert_allclose(own(classes.common), [0, 0, np.nan], atol=1e-6)
    np.testing.assert_allclose(own(sure), [0, 1 - (6.8**2) / 68, np.nan], atol=1e-6)


def test_both_is_the_mean_of_classes_and_features():
    classes = vocabulary([[0.8, 0, 0.6], [0, 0.8, 0.6]], np.eye(3)[:2])
    texts = np.array([[0.6, 0.2, 0.7], [0, 0, 1]])
    through, own = similarity.through_vocabulary(classes, texts), similarity.own(classes, texts)
    cosine, row = np.array([[0.3, 0.9], [np.nan, np.nan]]), known([[0.7, 0.3], [np.nan, 0]], [0.8, 0.1])

    def score(by):
        share, weight = similarity.weights(classes, texts, by)
        return share * cosine + row @ weight

    features, vocabulary_ = cosine + row @ own, row @ through
    np.testing.assert_allclose(score(By.both), (features + vocabulary_) / 2, atol=1e-6)
    np.testing.assert_array_equal(score(By.vocabulary)[0], vocabulary_[0])
    np.testing.assert_array_equal(score(By.cosine)[0], cosine[0])
    assert np.isnan(score(By.both)[1]).all()


def test_glosses_are_wordnets_and_a_class_without_one_has_its_name():
    assert glosses()["bed"] == "a piece of furniture that provides a place to sleep"
    assert set(label_set("scannet20").names) - {"otherfurniture"} <= set(glosses())
    encoder = miniature.Spelling()
    classes = Vocabulary.of(encoder, ("bed", "spaceship"), "a {} in a scene")
    assert classes.glosses == (glosses()["bed"], None)
    expected = encoder.encode([glosses()["bed"], "a spaceship in a scene"])
    np.testing.assert_allclose(classes.gloss, expected)
    np.testing.assert_allclose(classes.name, encoder.encode(["a bed in a scene", "a spaceship in a scene"]))


def test_relative_runs_from_the_median_to_the_top():
    values = np.append(np.linspace(0, 1, 1001), np.nan).astype(np.float32)
    found = similarity.relative(values)
    assert found[500] == 0 and found[0] == 0 and found[-1] == 0 and found[1000] == 1
    assert (np.diff(found[:-1]) >= 0).all()
    assert (similarity.relative(np.full(3, np.nan, np.float32)) == 0).all()


def test_the_named_furniture_is_found_in_fused_features(project, tmp_path):
    ply, png, found = (tmp_path / f"q.{kind}" for kind in ("ply", "png", "json"))
    written = ("--out", str(ply), "--png", str(png), "--json", str(found))
    result = run(project, "room0", "a bed in a scene", "--source", "fusion", "--top", "2", *written)
    assert result.exit_code == 0, result.output
    score = PlyData.read(ply)["vertex"]["similarity"]
    label = store.open_scene(project / "data/labels/room0.zarr")["label"][:]
    assert score[label == 3].mean() > score[label != 3].mean() + 0.15
    assert Image.open(png).size == (query.PICTURE[0], query.PICTURE[1] + heat_map.CAPTION)
    assert "'a bed in a scene' in room0 (fusion)" in result.output
    record = json.loads(found.read_text())
    assert (record["scene"], record["source"], record["group"]) == ("room0", "fusion", "object")
    best, second = record["queries"][0]["matches"]
    assert best["rank"] == 1 and best["score"] > second["score"]
    (x, y, z), (corner, size, _) = best["centre"], miniature.BOXES["bed"]
    assert corner[0] < x < corner[0] + size[0] and corner[1] < y < corner[1] + size[1] and z < size[2]
    superpoint = store.open_scene(project / "data/superpoints/room0.zarr")["superpoint"][:]
    assert set(label[np.isin(superpoint, best["superpoints"])]) == {3}


def test_several_texts_at_once_have_a_column_a_picture_and_a_list_each(project, tmp_path):
    texts = ("a bed in a scene", 'a "chair" [bold]é', "a table in a scene", "a floor in a scene")
    ply, png, found = (tmp_path / f"q.{kind}" for kind in ("ply", "png", "json"))
    written = ("--out", str(ply), "--png", str(png), "--json", str(found))
    result = run(project, "room0", *texts, "--source", "fusion", *written)
    assert result.exit_code == 0, result.output
    assert [query["text"] for query in json.loads(found.read_text())["queries"]] == list(texts)
    assert all(repr(text) in result.output for text in texts)
    content = PlyData.read(ply)
    assert [json.loads(c.partition(": ")[2]) for c in content.comments] == list(texts)
    label = store.open_scene(project / "data/labels/room0.zarr")["label"][:]
    for column, index in (("similarity_0", 3), ("similarity_3", 1)):
        score = content["vertex"][column]
        assert score[label == index].mean() > score[label != index].mean() + 0.15
    width, height = query.PICTURE[0], query.PICTURE[1] + heat_map.CAPTION
    assert Image.open(png).size == (2 * width, 2 * height)


def test_what_is_not_meant_is_left_out_and_the_order_stays(project, tmp_path):
    found = tmp_path / "q.json"
    asked = ("room0", "a bed in a scene", "--source", "fusion", "--top", "99", "--json", str(found))
    label = store.open_scene(project / "data/labels/room0.zarr")["label"][:]
    superpoint = store.open_scene(project / "data/superpoints/room0.zarr")["superpoint"][:]

    def groups(*negative):
        result = run(project, *asked, *negative)
        assert result.exit_code == 0, result.output
        matches = json.loads(found.read_text())["queries"][0]["matches"]
        return [tuple(match["superpoints"]) for match in matches]

    def shown(groups):
        return {int(k) for group in groups for k in label[np.isin(superpoint, group)]}

    every, some = groups(), groups("--not", "a floor in a scene", "--not", "a table in a scene")
    assert {1, 3, 6} <= shown(every) and 3 in shown(some) and not {1, 6} & shown(some)
    assert some == [group for group in every if group in some]


def test_what_is_found_names_the_class_behind_it(project, tmp_path):
    found = tmp_path / "q.json"
    options = ("--source", "fusion", "--top", "1", "--json", str(found))

    def first(text, *more):
        result = run(project, "room0", text, *options, *more)
        assert result.exit_code == 0, result.output
        return json.loads(found.read_text())["queries"][0]["matches"][0], result.output

    match, output = first(glosses()["bed"], "--by", "vocabulary")
    assert match["shows"] == "bed" and match["found_as"] == {"name": "bed", "gloss": glosses()["bed"]}
    assert "bed*" in output and f"* bed: {glosses()['bed']}" in " ".join(output.split())
    match, output = first("a bed in a scene", "--by", "vocabulary")
    assert match["found_as"] == {"name": "bed", "gloss": None} and "bed*" not in output
    assert first("a bed in a scene", "--by", "cosine")[0]["found_as"] is None


def test_a_text_like_no_class_is_found_by_the_features_themselves(project):
    """A feature that no class has, at the chair's points; the text is that feature."""
    encoder = miniature.Spelling()
    settings = parameters.load(project / "params.yaml")
    surface, classes = Surface.read(Artefacts(project), "room0"), Texts.of(settings, encoder).classes
    fused = sources.of_scene(Artefacts(project), "room0", "fusion")
    chair = np.flatnonzero(store.open_scene(project / "data/labels/room0.zarr")["label"][:] == 4)
    feature = fused.dense()
    feature[chair] += 2 * encoder.encode(["a guitar"])
    strummed = Session.of(surface, replace(fused, values=feature), classes)
    found = strummed.ask(encoder, "a guitar", (), 1, By.both)
    assert np.isin(np.flatnonzero(np.isin(surface.superpoint, found.matches[0].superpoints)), chair).all()
    assert found.through == (None,)
    named = strummed.ask(encoder, "a bed in a scene", (), 1, By.both)
    assert named.through[0].name == "bed" and named.through[0].gloss is None


def test_single_superpoints_and_the_vocabulary_can_be_asked_for(project, tmp_path):
    found = tmp_path / "q.json"
    options = ("--group", "superpoint", "--by", "vocabulary", "--top", "3", "--json", str(found))
    result = run(project, "room0", "a bed in a scene", "--source", "fusion", *options)
    assert result.exit_code == 0, result.output
    record = json.loads(found.read_text())
    assert record["by"] == "vocabulary" and record["group"] == "superpoint"
    matches = record["queries"][0]["matches"]
    assert [len(match["superpoints"]) for match in matches] == [1, 1, 1]
    label = store.open_scene(project / "data/labels/room0.zarr")["label"][:]
    superpoint = store.open_scene(project / "data/superpoints/room0.zarr")["superpoint"][:]
    assert all(set(label[superpoint == match["superpoints"][0]]) == {3} for match in matches)
    result = run(project, "room0", "a bed in a scene", "--source", "fusion", *options, "--by", "cosine")
    assert result.exit_code == 0, result.output
    cosine = json.loads(found.read_text())["queries"][0]["matches"]
    assert matches[0]["score"] > cosine[0]["score"] + 0.05  # noise inside a class does not count


def test_the_most_refined_network_is_the_default(project, tmp_path):
    names = sources.names(Artefacts(project), "room0")
    assert names[0] == "fusion" and sources.of_scene(Artefacts(project), "room0").name == names[-1]
    copy = tmp_path / "copy"
    shutil.copytree(project, copy)
    for gone, left in zip(names[:0:-1], names[-2::-1], strict=True):
        shutil.rmtree(copy / "models" / gone)
        assert sources.of_scene(Artefacts(copy), "room0").name == left


def test_unknown_scenes_are_named_with_the_known(project):
    result = run(project, "room7", "a bed")
    assert result.exit_code == 1 and "room7: no such scene; imported are room0" in result.output


def test_no_features_at_all_say_what_to_run(project, tmp_path):
    with pytest.raises(StoreError, match="dvc repro"):
        sources.of_scene(Artefacts(tmp_path), "room0")


def test_sources_that_there_are_not_are_named_with_those_that_there_are(project, tmp_path):
    known = ", ".join(sources.names(Artefacts(project)))
    result = run(project, "room0", "a bed", "--source", "nonsense")
    assert result.exit_code == 1 and f"no features of nonsense; there are {known}" in result.output
    (tmp_path / "data").mkdir()
    for stage in ("scenes", "superpoints"):
        shutil.copytree(project / "data" / stage, tmp_path / "data" / stage)
    with pytest.raises(StoreError, match="no features of nonsense; there are none, or give the folder"):
        sources.of_scene(Artefacts(tmp_path), "room0", "nonsense")


def test_a_network_is_taken_by_the_path_of_its_folder(project, tmp_path):
    name = sources.names(Artefacts(project))[-1]
    shutil.copytree(project / "models" / name, tmp_path / "elsewhere")
    found = sources.of_scene(Artefacts(project), "room0", str(tmp_path / "elsewhere"))
    np.testing.assert_array_equal(found.values, sources.of_scene(Artefacts(project), "room0", name).values)


def test_fused_superpoints_alone_are_their_points_features(project, tmp_path):
    shutil.copytree(project / "data", tmp_path / "data")
    shutil.rmtree(tmp_path / "data/fusion/room0.zarr/feature")
    found = sources.of_scene(Artefacts(tmp_path), "room0", "fusion")
    group = store.open_scene(project / "data/fusion/room0.zarr")
    superpoint = store.open_scene(project / "data/superpoints/room0.zarr")["superpoint"][:]
    expected = group["superpoint_feature"][:][superpoint]
    np.testing.assert_array_equal(found.dense(), expected.astype(np.float32))
    np.testing.assert_array_equal(found.valid, group["superpoint_valid"][:][superpoint])
    np.testing.assert_array_equal(np.concatenate([*found.blocks()]), expected.astype(np.float32))
