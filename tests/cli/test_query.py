"""A text finds the points and superpoints that mean it."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene.cli import query
from anyscene.errors import StoreError
from anyscene.library import feature_cloud
from anyscene.project import store
from anyscene.project.layout import Artefacts
from anyscene.tasks import sources
from anyscene.tasks.query.groups import Match
from anyscene.tasks.query.session import Answer, FoundThrough, Session
from anyscene.text.glosses import glosses
from tests.builders import miniature


@pytest.fixture(autouse=True)
def light_text(monkeypatch):
    monkeypatch.setattr(feature_cloud, "load_text_encoder", lambda section: miniature.Spelling())


def run(rooms, *arguments):
    return CliRunner().invoke(query.app, [*arguments, "--params", str(rooms / "params.yaml")])


def test_the_named_furniture_is_found_in_fused_features(rooms, tmp_path):
    ply, png, found = (tmp_path / f"q.{kind}" for kind in ("ply", "png", "json"))
    written = ("--out", str(ply), "--png", str(png), "--json", str(found))
    result = run(rooms, "room0", "a bed in a scene", "--source", "fusion", "--top", "2", *written)
    assert result.exit_code == 0, result.output
    score = PlyData.read(ply)["vertex"]["similarity"]
    label = store.open_scene(rooms / "data/labels/room0.zarr")["label"][:]
    assert score[label == 3].mean() > score[label != 3].mean() + 0.15
    assert Image.open(png).size == (960, 720 + 44 + 52)
    assert "'a bed in a scene' in room0 (fusion)" in result.output
    record = json.loads(found.read_text())
    assert (record["scene"], record["source"], record["group"]) == ("room0", "fusion", "object")
    best, second = record["queries"][0]["matches"]
    assert best["rank"] == 1 and best["score"] > second["score"]
    (x, y, z), (corner, size, _) = best["centre"], miniature.BOXES["bed"]
    assert corner[0] < x < corner[0] + size[0] and corner[1] < y < corner[1] + size[1] and z < size[2]
    superpoint = store.open_scene(rooms / "data/superpoints/room0.zarr")["superpoint"][:]
    assert set(label[np.isin(superpoint, best["superpoints"])]) == {3}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("",), "'': an empty text means nothing; say what to find"),
        (("a chair", " "), "' ': an empty text means nothing"),
        (("a chair", "--not", ""), "'': an empty text means nothing"),
        (("\u200b",), r"'\u200b': an empty text means nothing"),
        (("a chair", "--not", "A  chair"), "'a chair' is looked for, and 'A  chair' is not meant"),
        (("a chair", "a bed", "a_chair"), "'a chair' and 'a_chair' are one text; ask for it once"),
        (("ch\udcffair",), r"'ch\udcffair': has bytes that are no UTF-8; write it in UTF-8"),
        (("a chair", "--not", "\udcfe"), r"'\udcfe': has bytes that are no UTF-8"),
    ],
)
def test_what_is_no_text_is_refused_before_the_scene_is_read(rooms, words, said):
    result = run(rooms, "no_such_scene", *words)
    assert result.exit_code == 1 and result.output.startswith(said) and result.output.count("\n") == 1


def test_several_texts_at_once_have_a_column_a_picture_and_a_list_each(rooms, tmp_path):
    texts = ("a bed in a scene", 'a "chair" [bold]é', "a table in a scene", "a floor in a scene")
    ply, png, found = (tmp_path / f"q.{kind}" for kind in ("ply", "png", "json"))
    written = ("--out", str(ply), "--png", str(png), "--json", str(found))
    result = run(rooms, "room0", *texts, "--source", "fusion", *written)
    assert result.exit_code == 0, result.output
    assert [query["text"] for query in json.loads(found.read_text())["queries"]] == list(texts)
    assert all(repr(text) in result.output for text in texts)
    content = PlyData.read(ply)
    assert [json.loads(c.partition(": ")[2]) for c in content.comments] == list(texts)
    label = store.open_scene(rooms / "data/labels/room0.zarr")["label"][:]
    for column, index in (("similarity_0", 3), ("similarity_3", 1)):
        score = content["vertex"][column]
        assert score[label == index].mean() > score[label != index].mean() + 0.15
    assert Image.open(png).size == (2 * 960, 2 * (720 + 44 + 52))


def test_what_is_not_meant_is_left_out_and_the_order_stays(rooms, tmp_path):
    found = tmp_path / "q.json"
    asked = ("room0", "a bed in a scene", "--source", "fusion", "--top", "99", "--json", str(found))
    label = store.open_scene(rooms / "data/labels/room0.zarr")["label"][:]
    superpoint = store.open_scene(rooms / "data/superpoints/room0.zarr")["superpoint"][:]

    def groups(*negative):
        result = run(rooms, *asked, *negative)
        assert result.exit_code == 0, result.output
        matches = json.loads(found.read_text())["queries"][0]["matches"]
        return [tuple(match["superpoints"]) for match in matches]

    def shown(groups):
        return {int(k) for group in groups for k in label[np.isin(superpoint, group)]}

    every, some = groups(), groups("--not", "a floor in a scene", "--not", "a table in a scene")
    assert {1, 3, 6} <= shown(every) and 3 in shown(some) and not {1, 6} & shown(some)
    assert some == [group for group in every if group in some]


def test_what_is_found_names_the_class_behind_it(rooms, tmp_path):
    found = tmp_path / "q.json"
    options = ("--source", "fusion", "--top", "1", "--json", str(found))

    def first(text, *more):
        result = run(rooms, "room0", text, *options, *more)
        assert result.exit_code == 0, result.output
        return json.loads(found.read_text())["queries"][0]["matches"][0], result.output

    match, output = first(glosses()["bed"], "--by", "vocabulary")
    assert match["shows"] == "bed" and match["found_as"] == {"name": "bed", "gloss": glosses()["bed"]}
    assert "bed*" in output and f"* bed: {glosses()['bed']}" in " ".join(output.split())
    match, output = first("a bed in a scene", "--by", "vocabulary")
    assert match["found_as"] == {"name": "bed", "gloss": None} and "bed*" not in output
    assert first("a bed in a scene", "--by", "cosine")[0]["found_as"] is None


def test_single_superpoints_and_the_vocabulary_can_be_asked_for(rooms, tmp_path):
    found = tmp_path / "q.json"
    options = ("--group", "superpoint", "--by", "vocabulary", "--top", "3", "--json", str(found))
    result = run(rooms, "room0", "a bed in a scene", "--source", "fusion", *options)
    assert result.exit_code == 0, result.output
    record = json.loads(found.read_text())
    assert record["by"] == "vocabulary" and record["group"] == "superpoint"
    matches = record["queries"][0]["matches"]
    assert [len(match["superpoints"]) for match in matches] == [1, 1, 1]
    label = store.open_scene(rooms / "data/labels/room0.zarr")["label"][:]
    superpoint = store.open_scene(rooms / "data/superpoints/room0.zarr")["superpoint"][:]
    assert all(set(label[superpoint == match["superpoints"][0]]) == {3} for match in matches)
    result = run(rooms, "room0", "a bed in a scene", "--source", "fusion", *options, "--by", "cosine")
    assert result.exit_code == 0, result.output
    cosine = json.loads(found.read_text())["queries"][0]["matches"]
    assert matches[0]["score"] > cosine[0]["score"] + 0.05  # noise inside a class does not count


def answered(*scores):
    """An answer whose groups have these scores, in this order."""
    place = (0.0, 0.0, 0.0)
    matches = tuple(
        Match((i,), score, 9, 1.0, place, place, (place, place)) for i, score in enumerate(scores)
    )
    shows, through = ("bed",) * len(scores), (None,) * len(scores)
    return Answer("a bed", (), np.zeros(1, np.float32), matches, shows, through, "")


@pytest.mark.parametrize(
    "scores, said", [((0.5, 0.4), False), ((0.5, 0.5), False), ((0.4, 0.41), True), ((0.4, 0.4001), False)]
)
def test_why_the_order_is_not_that_of_the_scores_is_said_where_it_is_not(rooms, monkeypatch, scores, said):
    monkeypatch.setattr(Session, "ask", lambda *arguments: answered(*scores))
    result = run(rooms, "room0", "a bed", "--source", "fusion")
    assert result.exit_code == 0, result.output
    assert ("Not in the order of the scores" in " ".join(result.output.split())) is said


def test_that_a_text_always_finds_something_is_said_once_and_not_where_nothing_is_listed(rooms):
    texts = ("a bed", "a dinosaur")
    result = run(rooms, "room0", *texts, "--source", "fusion")
    assert result.exit_code == 0 and result.output.count("A text always finds something") == 1
    assert "(`anyscene query --help`)" in result.output and "docs/" not in result.output
    result = run(rooms, "room0", *texts, "--source", "fusion", "--top", "0")
    assert result.exit_code == 0 and "A text always finds something" not in result.output


def test_unknown_scenes_are_named_with_the_known(rooms):
    result = run(rooms, "room7", "a bed")
    assert result.exit_code == 1 and "room7: no such scene; imported are room0" in result.output


def test_sources_that_there_are_not_are_named_with_those_that_there_are(rooms, tmp_path):
    known = ", ".join(sources.names(Artefacts(rooms)))
    result = run(rooms, "room0", "a bed", "--source", "nonsense")
    assert result.exit_code == 1 and f"no features of nonsense; there are {known}" in result.output
    (tmp_path / "data").mkdir()
    for stage in ("scenes", "superpoints"):
        shutil.copytree(rooms / "data" / stage, tmp_path / "data" / stage)
    with pytest.raises(StoreError, match="no features of nonsense; there are none, or give the folder"):
        sources.of_scene(Artefacts(tmp_path), "room0", "nonsense")


def test_every_cell_of_the_table_and_every_value_of_the_file(rooms, tmp_path, monkeypatch):
    box = ((-1.5, 0.25, 0.125), (2.5, 3.75, 4.5))
    matches = (
        Match((3, 8), 0.87654, 12345, 1.239, (1.236, -2.344, 0.004), (4.0, 3.5, 4.375), box),
        Match((5,), 0.65432, 67, 23.456, (-0.001, 10.5, 3.25), (0.126, 0.5, 1.0), box),
    )
    through = (FoundThrough("sofa", "an upholstered seat"), None)
    answer = Answer("a bed", ("a desk",), np.zeros(1, np.float32), matches, ("bed", "chair"), through, "")
    monkeypatch.setattr(Session, "ask", lambda *arguments: answer)
    monkeypatch.setenv("COLUMNS", "200")
    found = tmp_path / "q.json"
    result = run(rooms, "room0", "a bed", "--source", "fusion", "--json", str(found))
    assert result.exit_code == 0, result.output
    title, head, first, second, *_ = result.output.splitlines()
    assert title.strip() == "'a bed' in room0 (fusion)"
    columns = ["shows", "found as", "score", "area / m²", "points", "centre / m", "extent / m"]
    assert re.split(r"\s{2,}", head.strip()) == columns
    assert re.split(r"\s{2,}", first.strip()) == [
        "1", "bed", "sofa*", "0.877", "1.24", "12,345", "1.24 -2.34 0.00", "4.00 3.50 4.38"
    ]  # fmt: skip
    assert re.split(r"\s{2,}", second.strip()) == [
        "2", "chair", "0.654", "23.46", "67", "0.00 10.50 3.25", "0.13 0.50 1.00"
    ]  # fmt: skip
    common = {"box": [list(corner) for corner in box]}
    assert json.loads(found.read_text()) == {
        "scene": "room0",
        "source": "fusion",
        "group": "object",
        "by": "both",
        "world": "scene",
        "queries": [
            {
                "text": "a bed",
                "not": ["a desk"],
                "matches": [
                    {
                        "rank": 1,
                        "shows": "bed",
                        "found_as": {"name": "sofa", "gloss": "an upholstered seat"},
                        "superpoints": [3, 8],
                        "score": 0.87654,
                        "points": 12345,
                        "area": 1.239,
                        "centre": [1.236, -2.344, 0.004],
                        "extent": [4.0, 3.5, 4.375],
                        **common,
                    },
                    {
                        "rank": 2,
                        "shows": "chair",
                        "found_as": None,
                        "superpoints": [5],
                        "score": 0.65432,
                        "points": 67,
                        "area": 23.456,
                        "centre": [-0.001, 10.5, 3.25],
                        "extent": [0.126, 0.5, 1.0],
                        **common,
                    },
                ],
            }
        ],
    }
