"""The page of a finished project and of partial ones."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from pipeline import datasets
from pipeline.evaluation import plots, study
from pipeline.evaluation.artefacts import Artefacts
from pipeline.report import images, page, rooms
from tests import miniature

SMALL = (80, 60)
VOID = {"meta", "link", "img", "br", "line", "circle", "path"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with metrics, and its page."""
    folder = tmp_path_factory.mktemp("finished")
    params = miniature.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rooms, "PICTURE", SMALL)
        for module in (study, rooms):
            patch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
        patch.setattr(study, "load_segmenter", lambda name, params, captions: miniature.Painter(name))
        result = study.run(params, Artefacts(folder))
        (folder / "reports").mkdir()
        (folder / "reports/metrics.json").write_text(json.dumps(result.metrics))
        plots.write(result, datasets.label_set("scannet20").names, folder / "reports/plots")
        return folder, params, page.build(params, Artefacts(folder))


@pytest.fixture(autouse=True)
def light_models(monkeypatch):
    monkeypatch.setattr(rooms, "PICTURE", SMALL)
    monkeypatch.setattr(rooms, "load_text_encoder", lambda section: miniature.Spelling())


class Checked(HTMLParser):
    """Notes tags that are not closed in order, and what an address refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.addresses, self.sections = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        self.sections += [dict(attributes)["id"]] if tag == "section" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def test_page_is_whole_and_needs_no_network(finished):
    text = finished[2]
    found = Checked(text)
    assert found.open == [] and found.wrong == []
    assert found.sections == ["ablation", "classes", "capability", "rooms", "synthesis", "training", "run"]
    assert all(address.startswith("data:") for address in found.addresses)
    assert "http" not in text and "<script" not in text and "@import" not in text


def test_page_shows_the_measured_figures(finished):
    folder, _, text = finished
    metrics = json.loads((folder / "reports/metrics.json").read_text())
    for scores in metrics["semantic"].values():
        assert f"<b>{scores['mIoU']:.1f}</b>" in text
    assert f"Spearman {metrics['capability']['model']['mask']['spearman']:.2f}" in text
    assert "What this run leaves out" not in text


def test_every_room_has_all_its_pictures(finished):
    names = re.findall(r'alt="room0: ([^"]+)"', finished[2])
    assert names == [
        "colour", "ground truth", "2D model dense", "2D model mask", "capability fusion", "superpoints",
        "superpoint means", "pixel distillation", "superpoint distillation", "temporal ensembling",
        "errors of temporal ensembling",
    ]  # fmt: skip


def test_pictures_decode(finished):
    uris = re.findall(r'src="data:image/webp;base64,([^"]+)"', finished[2])
    sizes = {Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris}
    assert sizes == {SMALL, (page.TILE * page.TILES, 4 * page.TILE)}


def test_pictures_are_there_in_print_without_being_scrolled_to(finished):
    assert re.findall(r"<img [^>]*>", finished[2]) and "lazy" not in finished[2]


def test_the_same_project_gives_the_same_bytes(finished):
    folder, params, text = finished
    assert page.build(params, Artefacts(folder)) == text


def test_only_some_rooms_are_shown_and_it_says_so(finished):
    folder, params, _ = finished
    text = page.build(replace(params, report=replace(params.report, scenes=1)), Artefacts(folder))
    assert "1 of 2 rooms, evenly chosen" in text and "room1: colour" not in text


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["reports"], "nothing was evaluated"),
        (["data/synthesis/bed.zarr"], "5 of 6 classes"),
        (["data/synthesis", "data/labels", "models/ensembling"], "0 of 6 classes"),
        (["data/superpoints", "data/fusion", "models", "data/projection"], "colour"),
        (["data", "models", "reports"], "There are no scenes yet"),
    ],
)
def test_a_partial_run_says_what_is_missing(finished, tmp_path, gone, said):
    folder, params, _ = finished
    shutil.copytree(folder, tmp_path / "project")
    for path in gone:
        shutil.rmtree(tmp_path / "project" / path)
    params = replace(params, report=replace(params.report, scenes=1))
    text = page.build(params, Artefacts(tmp_path / "project"))
    found = Checked(text)
    assert said in text and found.open == [] and found.wrong == []


def test_markup_in_names_stays_text(finished, tmp_path):
    folder, params, _ = finished
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    for stage in ("scenes", "labels", "superpoints", "fusion", "projection/dense", "projection/mask"):
        (project / "data" / stage / "room0.zarr").rename(project / "data" / stage / "<script>x.zarr")
    text = page.build(params, Artefacts(project))
    assert "&lt;script&gt;x" in text and "<script" not in text


def test_rooms_are_evenly_chosen():
    assert rooms.choose(list("abcdefghij"), 4) == ["a", "d", "g", "j"]
    assert rooms.choose(["a"], 4) == ["a"] and rooms.choose([], 4) == []


def test_heat_is_even_in_lightness():
    colours = images.heat(np.linspace(0, 1, 50)).astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert images.heat(np.array([-1.0, 2.0])).tolist() == [[0, 34, 78], [254, 232, 56]]


def test_errors_are_told_apart():
    found = images.error_colours(np.array([1, 2, -1]), np.array([1, 1, 1]))
    assert found.tolist() == [list(images.RIGHT), list(images.WRONG), list(images.NEUTRAL)]
