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

from anyscene import datasets
from anyscene.errors import StoreError
from anyscene.project import layout, store, timing
from anyscene.project.layout import Artefacts
from anyscene.show import palette
from anyscene.show.report import drawn_scene, page, run, template, timings
from anyscene.study import ablation, evaluation, reports
from tests.builders import miniature

pytestmark = pytest.mark.integration

SMALL = (80, 60)
STAGES = ("scenes", "projection@dense", "fusion")  # that are timed
VOID = {"meta", "link", "img", "br", "line", "circle", "path"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project with metrics, and its page."""
    folder = tmp_path_factory.mktemp("finished")
    params = miniature.write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawn_scene, "SIZE", SMALL)
        for module in (ablation, run):
            patch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())
        patch.setattr(evaluation, "load_segmenter", lambda name, params, captions: miniature.Painter(name))
        result = evaluation.run(params, Artefacts(folder))
        reports.write(result, datasets.label_set("scannet20").names, folder / "reports")
        return folder, params, page.build(params, Artefacts(folder), STAGES)


@pytest.fixture(autouse=True)
def light_models(monkeypatch):
    monkeypatch.setattr(drawn_scene, "SIZE", SMALL)
    for module in (ablation, run):
        monkeypatch.setattr(module, "load_text_encoder", lambda section: miniature.Spelling())


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
    assert found.sections == [
        "ablation",
        "tasks",
        "classes",
        "capability",
        "scenes",
        "synthesis",
        "training",
        "run",
    ]
    assert all(address.startswith("data:") for address in found.addresses)
    assert "http" not in text and "<script" not in text and "@import" not in text


def test_page_shows_the_measured_figures(finished):
    folder, _, text = finished
    metrics = json.loads((folder / "reports/metrics.json").read_text())
    for scores in metrics["semantic"].values():
        assert f"<b>{scores['mIoU']:.1f}</b>" in text
    assert f"Spearman {metrics['capability']['model']['mask']['spearman']:.2f}" in text
    assert "What is missing from this run" not in text


def test_every_scene_has_all_its_pictures(finished):
    names = re.findall(r'alt="room0: ([^"]+)"', finished[2])
    assert names == [
        "colour", "ground truth", "2D model dense", "2D model mask", "capability fusion", "superpoints",
        "superpoint means", "pixel distillation", "superpoint distillation", "temporal ensembling",
        "errors of temporal ensembling", "objects", "names of objects",
    ]  # fmt: skip


def test_pictures_decode(finished):
    uris = re.findall(r'src="data:image/webp;base64,([^"]+)"', finished[2])
    sizes = {Image.open(io.BytesIO(base64.b64decode(uri))).size for uri in uris}
    assert sizes == {SMALL, (page.TILE * page.TILES, 4 * page.TILE)}


def test_pictures_are_there_in_print_without_being_scrolled_to(finished):
    assert re.findall(r"<img [^>]*>", finished[2]) and "lazy" not in finished[2]


def test_the_same_project_gives_the_same_bytes(finished):
    folder, params, text = finished
    assert page.build(params, Artefacts(folder), STAGES) == text


def test_minkowski_engine_is_named_where_it_computed(finished, tmp_path):
    folder, params, text = finished
    assert "MinkowskiEngine" not in text
    shutil.copytree(folder, tmp_path / "project")
    path = tmp_path / "project" / layout.METRICS
    metrics = json.loads(path.read_text())
    metrics["backend"]["distilled"] = "minkowski"
    path.write_text(json.dumps(metrics))
    assert "<th>MinkowskiEngine</th>" in page.build(params, Artefacts(tmp_path / "project"), STAGES)


def test_only_some_scenes_are_shown_and_it_says_so(finished):
    folder, params, _ = finished
    text = page.build(replace(params, report=replace(params.report, scenes=1)), Artefacts(folder), STAGES)
    assert "1 of 2 scenes, evenly chosen" in text and "room1: colour" not in text


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (["reports"], "nothing was evaluated"),
        (["data/synthesis/bed.zarr"], "5 of 6 classes"),
        (["data/synthesis", "data/labels", "models/ensembled"], "0 of 6 classes"),
        (["data/superpoints", "data/fusion", "models", "data/projection"], "colour"),
        (["data/superpoints", "data/fusion", "models"], "training of pixelwise, training of distilled"),
        (["data", "models", "reports"], "There are no scenes yet"),
    ],
)
def test_a_partial_run_says_what_is_missing(finished, tmp_path, gone, said):
    folder, params, _ = finished
    shutil.copytree(folder, tmp_path / "project")
    for path in gone:
        shutil.rmtree(tmp_path / "project" / path)
    params = replace(params, report=replace(params.report, scenes=1))
    text = page.build(params, Artefacts(tmp_path / "project"), STAGES)
    found = Checked(text)
    assert said in text and found.open == [] and found.wrong == []


def test_scenes_on_which_a_stage_failed_are_named_and_not_drawn(finished, tmp_path):
    folder, params, _ = finished
    shutil.copytree(folder, tmp_path / "project")
    fusion = tmp_path / "project/data/fusion"
    shutil.rmtree(fusion / "room1.zarr")
    store.note_failed(fusion, {"room1": "fusion: its disk is full"})
    text = page.build(params, Artefacts(tmp_path / "project"), STAGES)
    assert "Scene room1 is left out, because it failed in fusion: its disk is full" in text
    assert "room1: colour" not in text and "room0: colour" in text and "fusion lacks" not in text


def test_markup_in_names_stays_text(finished, tmp_path):
    folder, params, _ = finished
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    for stage in ("scenes", "labels", "superpoints", "fusion", "projection/dense", "projection/mask"):
        (project / "data" / stage / "room0.zarr").rename(project / "data" / stage / "<script>x.zarr")
    text = page.build(params, Artefacts(project), STAGES)
    assert "&lt;script&gt;x" in text and "<script" not in text


def test_many_classes_are_folded_and_their_legend_is_of_those_that_are_shown(finished, tmp_path):
    folder, params, _ = finished
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "reports" / "metrics.json"
    metrics = json.loads(path.read_text())
    metrics["absent"] = [f"absent {number}" for number in range(60)]
    for scores in metrics["semantic"].values():
        scores["per_class"] = {f"class {number}": float(number) for number in range(50)}
        scores["splits"] = {"head": {"mIoU": 12.34, "mAcc": 1.0}}
    path.write_text(json.dumps(metrics))
    params = replace(params, dataset=replace(params.dataset, label_set="scannet200"))
    text = page.build(params, Artefacts(tmp_path / "copy"), STAGES)
    found = Checked(text)
    assert not found.wrong and not found.open
    assert "<summary>60 classes do not occur in these scenes and enter no mean</summary>" in text
    assert "<summary>10 more</summary>" in text and text.count("class 9</span>") == 1
    assert text.count("<td>12.3</td>") == len(metrics["semantic"]) and "<th>head</th>" in text
    shown = (frozenset({3}), frozenset({150, 3}))
    pictures = tuple(drawn_scene.GalleryPicture("picture", "", classes=classes) for classes in shown)
    scene = drawn_scene.DrawnScene("scene", pictures)
    of_many = page.legend(datasets.label_set("scannet200"), [scene])
    assert [number for number, _, _ in of_many] == [4, 151] and of_many[0][1] == "table"
    assert len(page.legend(datasets.label_set("scannet20"), [scene])) == 20


def test_it_says_which_scenes_a_stage_has_not_computed(finished, tmp_path):
    folder, params, _ = finished
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    shutil.rmtree(project / "data/fusion/room1.zarr")
    shutil.rmtree(project / "models/distilled")
    (project / "data/capability/mask.json").unlink()
    text = page.build(params, Artefacts(project), STAGES)
    assert "fusion lacks 1 of 2 scenes: room1. Run dvc repro." in text
    assert "Not computed: capability of mask, training of distilled. Run dvc repro." in text
    assert {"room1: 2D model mask", "room1: temporal ensembling"} <= set(re.findall(r'alt="([^"]+)"', text))
    assert "room0: superpoint means" in text and "room1: superpoint means" not in text
    for name in ("room2", "room3", "room4"):
        shutil.copytree(project / "data/scenes/room1.zarr", project / f"data/scenes/{name}.zarr")
    text = page.build(replace(params, report=replace(params.report, scenes=1)), Artefacts(project), STAGES)
    assert "fusion lacks 4 of 5 scenes: room1, room2, room3 and others." in text


@pytest.mark.parametrize(
    ("damaged", "said", "left"),
    [
        ("data/scenes/room1.zarr/xyz", "scenes/room1.zarr: damaged, xyz", "room0: colour"),
        ("data/labels/room1.zarr/label", "labels/room1.zarr: damaged, label", "room1: 2D model mask"),
        (
            "data/superpoints/room1.zarr/superpoint",
            "superpoints/room1.zarr: damaged",
            "room1: capability fusion",
        ),
        ("data/projection/mask/room1.zarr/feature", "mask/room1.zarr: damaged", "room1: temporal ensembling"),
        ("data/synthesis/bed.zarr/mask", "synthesis/bed.zarr: damaged, mask", "images of chair"),
    ],
)
def test_a_damaged_artefact_costs_what_shows_it_and_is_named(finished, tmp_path, damaged, said, left):
    folder, params, _ = finished
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    for file in (project / damaged).glob("c.*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    text = page.build(params, Artefacts(project), STAGES)
    found = Checked(text)
    assert "What is missing from this run" in text and said in text and left in text
    assert found.open == [] and found.wrong == []


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("reports/metrics.json", "reports/metrics.json is damaged"),
        ("reports/plots/confusion.json", "reports/plots/confusion.json is damaged"),
        ("data/capability/mask.json", "mask.json: not the capability"),
        ("data/scenes/room1.zarr/zarr.json", "room1.zarr: not an artefact"),
        ("models/ensembled/model.safetensors", "models/ensembled/model.safetensors"),
        ("models/ensembled/curves/plots/metrics/loss.tsv", "not readable as a curve"),
    ],
)
def test_files_cut_short_are_named_and_the_page_is_whole(finished, tmp_path, file, said):
    folder, params, _ = finished
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    (project / file).write_text('{"\n{"')
    text = page.build(params, Artefacts(project), STAGES)
    found = Checked(text)
    assert said in text and found.open == [] and found.wrong == []


@pytest.mark.filterwarnings("ignore:loadtxt")
@pytest.mark.parametrize("content", ["step\tloss\n", "step\tloss\n0\tnan\n"])
def test_a_curve_without_a_figure_is_named(finished, tmp_path, content):
    folder, params, _ = finished
    shutil.copytree(folder / "models", tmp_path / "models")
    (tmp_path / "models/ensembled/curves/plots/metrics/loss.tsv").write_text(content)
    text = page.build(params, Artefacts(tmp_path), STAGES)
    assert "ensembled/curves: no" in text and text.count("training loss of") == 2


def test_of_a_run_without_evaluation_the_capability_is_shown(finished, tmp_path):
    folder, params, text = finished
    assert "its true IoU" in text
    project = tmp_path / "project"
    shutil.copytree(folder / "data", project / "data")
    text = page.build(params, Artefacts(project), STAGES)
    stored = json.loads((folder / "data/capability/mask.json").read_text())
    bed = 100 * stored["capability"][stored["vocabulary"].index("bed")]
    assert re.search(rf"<th>bed</th><td>\d+</td><td>{bed:.0f}</td>", text) and "its true IoU" not in text


def test_a_hundred_scenes_stay_below_twenty_megabytes_and_it_says_so(finished, tmp_path, monkeypatch):
    folder, params, _ = finished
    noise = np.random.default_rng(0).integers(0, 256, (360, 480, 3), np.uint8)
    uri = palette.data_uri(noise)  # no picture of this size takes more
    pictures = tuple(drawn_scene.GalleryPicture(f"picture {k}", uri) for k in range(11))
    monkeypatch.setattr(drawn_scene, "draw", lambda scene, run: drawn_scene.DrawnScene(scene, pictures))
    names = [f"room{k:02}" for k in range(100)]
    monkeypatch.setattr(store, "split_ids", lambda folder, split: names)
    few = page.build(params, Artefacts(folder), STAGES)
    assert f"{params.report.scenes} of 100 scenes, evenly chosen. Each scene is seen" in few
    text = page.build(replace(params, report=replace(params.report, scenes=100)), Artefacts(folder), STAGES)
    shown = re.findall(r"<h3>(room\d+)</h3>", text)
    assert 11 * len(uri) * 100 > 20e6 and 4 <= len(shown) < 100 and 10e6 < len(text) < 20e6
    assert f"{len(shown)} of 100 scenes, evenly chosen; more would make this page larger than 20 MB." in text
    gaps = np.diff([0, *(names.index(name) for name in shown), 100])
    assert shown == sorted(shown) and gaps.max() <= 2 * 100 / len(shown)


def test_any_beginning_of_the_scenes_is_spread():
    assert drawn_scene.spread(list("abcdefgh")) == list("aecgbfdh")
    assert drawn_scene.spread(list("abcde")) == list("aecbd")
    assert drawn_scene.spread(["a"]) == ["a"] and drawn_scene.spread([]) == []


def test_seeds_and_versions_are_named(finished):
    text = finished[2]
    for part in ("world", "synthesis", *miniature.NETWORKS, "evaluation"):
        assert f"<tr><th>{part}</th><td>0</td></tr>" in text
    assert "<th>Python</th>" in text and "data/projection/dense" in text


def test_what_rounds_to_nothing_has_no_sign():
    shown = [template.signed(value) for value in (-0.04, 0.04, 0.0, -0.06, 1.25, -10.0)]
    assert shown == ["0.0", "0.0", "0.0", "-0.1", "+1.2", "-10.0"]


def test_times_are_in_a_page_of_their_own(finished, tmp_path):
    folder, params, text = finished
    assert 'data="timings.html#inside"' in text
    project = tmp_path / "project"
    shutil.copytree(folder, project)
    before = page.build(params, Artefacts(project), STAGES)
    for stage, seconds in (("fusion", 12.34), ("projection@dense", 7), ("training@gone", 99)):
        with timing.recorded(stage, folder=project / layout.TIMES) as note:
            note("<b>2 computed</b>")
        file = project / layout.TIMES / f"{stage}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "seconds": seconds}))
    assert page.build(params, Artefacts(project), STAGES) == before
    text = timings.build(STAGES, Artefacts(project))
    found = Checked(text)
    assert found.open == [] and found.wrong == [] and all(a.startswith("data:") for a in found.addresses)
    assert re.search(r"<th>fusion</th><td>12\.3</td>", text) and "&lt;b&gt;2 computed" in text
    assert "<th>total</th><td><b>19.3</b>" in text and "gone" not in text
    assert text.count("<tr>") == len(STAGES) + 2
    assert "failed" not in text
    with pytest.raises(StoreError), timing.recorded("scenes", folder=project / layout.TIMES):
        raise StoreError("room0: no pose")
    text = timings.build(STAGES, Artefacts(project))
    assert "<th>scenes <b>failed</b></th>" in text and "UTC: room0: no pose" in text


def test_scenes_are_evenly_chosen():
    assert drawn_scene.choose(list("abcdefghij"), 4) == ["a", "d", "g", "j"]
    assert drawn_scene.choose(["a"], 4) == ["a"] and drawn_scene.choose([], 4) == []


def test_heat_is_even_in_lightness():
    colours = palette.heat(np.linspace(0, 1, 50)).astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert palette.heat(np.array([-1.0, 2.0])).tolist() == [[0, 34, 78], [254, 232, 56]]


def test_errors_are_told_apart():
    found = palette.error_colours(np.array([1, 2, -1]), np.array([1, 1, 1]))
    assert found.tolist() == [list(palette.RIGHT), list(palette.WRONG), list(palette.NEUTRAL)]
