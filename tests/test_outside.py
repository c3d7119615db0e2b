"""What a package outside this project brings works like what is built in, without an edited file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from plyfile import PlyData
from typer.testing import CliRunner

from anyscene import datasets, segmenters
from anyscene.cli import doctor, query
from anyscene.errors import ConfigError
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.project import layout, store
from anyscene.project.layout import Artefacts
from anyscene.show.report import drawn_scene
from anyscene.show.viewer import panel_html
from anyscene.show.viewer.scene_view import SceneView
from anyscene.tasks import sources
from anyscene.tasks.layer import Scale, label_colours
from anyscene.tasks.task import task
from anyscene.testing import ObjectiveTests, ReaderTests, SegmenterTests, TaskTests
from anyscene.text import embeddings, load_text_encoder
from stages import capability, evaluation, fusion, labels, projection, report, scenes, superpoints
from tests.builders import REPOSITORY, miniature, training_rooms
from tests.builders.outside import install

pytestmark = pytest.mark.integration

VOCABULARY = ["cave", "chair", "lamp"]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder in which the package is installed; this process finds it there."""
    site = install(tmp_path_factory.mktemp("site"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        yield site
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside_models"]:
        del sys.modules[name]


@pytest.fixture
def extended(site, project):
    """A project that takes its scans and its 2D model from the package."""
    from outside_models import boxes

    for seed, name in enumerate(("attic", "cellar")):
        boxes.write_scene(project.folder / "raw" / name, seed)
    project.change(
        dataset={"reader": "boxes", "root": "raw", "name": "boxes", "boxes": {"unit": 0.01}},
        segmenters={"names": ["brightness"], "brightness": {"dark": 0.4}},
        projection={"width": 32, "height": 24, "border": 0},
        vocabulary=VOCABULARY,
    )
    return project


def run(stage, *arguments):
    result = CliRunner().invoke(stage.app, arguments)
    assert result.exit_code == 0, result.output


def test_scenes_come_from_the_reader(extended):
    run(scenes)
    run(labels)
    assert store.scene_ids(layout.SCENES) == ["attic", "cellar"]
    xyz = store.open_scene(store.scene_path(layout.SCENES, "attic"))["xyz"][:]
    assert xyz.shape == (17 * 13, 3) and np.allclose(xyz[:, 1], 2) and np.isclose(xyz[:, 0].max(), 0.8)
    label = store.open_scene(store.scene_path(layout.LABELS, "attic"))["label"][:]
    assert np.array_equal(label, (xyz[:, 0] >= 0).astype(np.int16))


def test_features_and_capability_come_from_the_model(extended):
    run(scenes)
    run(projection, "brightness")
    group = store.open_scene(store.scene_path(layout.PROJECTION / "brightness", "cellar"))
    xyz = store.open_scene(store.scene_path(layout.SCENES, "cellar"))["xyz"][:]
    seen = group["count"][:] > 0
    space = embeddings(load_text_encoder(extended.params.text), VOCABULARY)
    wanted = space[np.where(xyz[:, 0] < 0, 0, 2)]
    apart = seen & (np.abs(xyz[:, 0]) > 0.15)  # from the edge in the image
    assert apart.sum() > 100 and np.allclose(group["feature"][:][apart], wanted[apart], atol=0.01)

    image = np.full((2, 12, 16, 3), 20, np.uint8)
    image[:, :, 8:] = 230
    for name in VOCABULARY:
        path = store.scene_path(layout.SYNTHESIS, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        group = store.create(path, "key")
        store.write(group, "image", image)
        store.write(group, "mask", image[..., 0] < 100)
    run(capability, "brightness")
    measured = json.loads((layout.CAPABILITY / "brightness.json").read_text())
    assert measured["capability"] == [1.0, 0.0, 0.0]  # all masks are of the dark half


@pytest.fixture
def fused(extended):
    """What is dark is the first class and what is bright the third, as it is annotated."""
    words = ["wall", "chair", "floor"]
    extended.change(vocabulary=words)
    for stage, *item in ((scenes,), (labels,), (superpoints,), (projection, "brightness")):
        run(stage, *item)
    layout.CAPABILITY.mkdir()
    record = {"model": "brightness", "vocabulary": words, "capability": [1.0, 0.0, 0.0]}
    (layout.CAPABILITY / "brightness.json").write_text(json.dumps(record))
    run(fusion)
    return extended


def test_the_reader_and_the_model_are_scored_and_in_the_report(fused, monkeypatch):
    monkeypatch.setattr(drawn_scene, "SIZE", (80, 60))
    run(evaluation)
    metrics = json.loads(Path("reports/metrics.json").read_text())
    assert metrics["scenes"] == ["attic", "cellar"] and metrics["rows"]["brightness"]["role"] == "2d_model"
    scores = metrics["semantic"]["brightness"]["per_class"]
    assert scores.keys() == {"wall", "floor"} and min(scores.values()) > 80
    assert metrics["semantic"]["capability"]["per_class"] == scores  # of one model
    run(report)
    page = Path("reports/index.html").read_text()
    assert "2D model brightness" in page and all(f">{scene}<" in page for scene in ("attic", "cellar"))


@pytest.mark.parametrize("source", ["fusion", "projection/brightness"])
def test_a_query_finds_what_the_model_sees_in_scenes_of_the_reader(fused, source):
    written = ("--out", "found.ply", "--json", "found.json")
    run(query, "attic", "a wall in a scene", "--source", source, *written)
    found = json.loads(Path("found.json").read_text())
    assert (found["scene"], found["source"]) == ("attic", source) and found["queries"][0]["matches"]
    vertex = PlyData.read("found.ply")["vertex"]
    apart = np.abs(vertex["x"]) > 0.15  # from the edge in the image
    dark = vertex["x"][apart] < 0
    score = vertex["similarity"][apart]
    assert 60 < dark.sum() < 160 and score[dark].min() > score[~dark].max() + 0.1


def test_the_viewer_shows_the_model_in_scenes_of_the_reader(fused):
    params = fused.params
    view = SceneView(Artefacts(), "attic", params, load_text_encoder(params.text), "fusion")
    assert "2D model brightness" in view.layers, view.layers
    left, right = (int(np.argmax(side * view.xyz[view.drawn, 0])) for side in (-1, 1))
    assert [
        dict(view.describe(int(view.drawn[point])).said)["2D model brightness"] for point in (left, right)
    ] == ["wall", "floor"]
    score = view.ask("a floor in a scene").score
    assert score[right] > score[left] + 0.1


def test_its_code_and_settings_are_its_own(extended):
    section = extended.params.segmenters
    assert segmenters.modules("brightness", section) == ("outside_models.brightness",)
    assert segmenters.weights("brightness", section) == ()
    assert datasets.entry("boxes").module == "outside_models.boxes"
    for change, message in (
        ({"segmenters": {"brightness": {"dark": 1.5}}}, r"brightness\.dark: must lie between 0 and 1"),
        ({"segmenters": {"brightness": {"bright": 0.5}}}, r"segmenters\.brightness: unknown key 'bright'"),
        ({"dataset": {"boxes": {"unit": 0.0}}}, r"dataset\.boxes\.unit: must be more than 0"),
    ):
        extended.change(**change)
        with pytest.raises(ConfigError, match=message):
            _ = extended.params
        extended.change(
            dataset={"boxes": {"unit": 0.01}},
            segmenters={"brightness": {"dark": 0.4}},
        )


def test_the_viewer_shows_a_network_of_its_objective_and_asks_its_task(site, tmp_path):
    params = miniature.write(tmp_path, scenes=1, spacing=0.25, frames=False)
    miniature.write_network(tmp_path, "evenness", "evened network", 3)
    (known,) = [found for found in sources.networks(Artefacts(tmp_path)) if found.name == "evenness"]
    assert known.kind == "evenness" and known.title == "evened network"

    view = SceneView(Artefacts(tmp_path), "room0", params, miniature.Spelling(), "evenness")
    assert view.source == "evenness" and {"evened network", "height", "temporal ensembling"} <= {*view.layers}
    features = sources.of_scene(Artefacts(tmp_path), "room0", "evenness").dense()
    label_set, prompts = view.texts.label_set, view.texts.prompts
    row = label_set.of_prompts((features @ prompts.T).argmax(1))[view.drawn]
    np.testing.assert_array_equal(view.colours("evened network"), label_colours(row, label_set.colours))
    said = dict(view.describe(int(view.drawn[0])).said)
    assert said["evened network"] == label_set.names[row[0]]
    answer = view.ask("a bed in a scene")
    assert answer.matches and "(evenness)" in panel_html.matches(answer, view.source)
    assert isinstance(view.layer("height").legend, Scale)


def test_doctor_and_help_list_them(extended, site):
    found = doctor.check_model("brightness", extended.params)
    assert found.fine and found.found == "needs no weights"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY / "pipeline")])}
    command = [sys.executable, "-m", "anyscene.cli.main", "--help"]
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "brightness" in said and "boxes" in said and "scannet" in said and "lseg" in said
    assert "height" in said and "evenness" in said and "superpoint" in said


class TestEvenness(ObjectiveTests):
    @pytest.fixture(scope="class")
    def world(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("world")
        training_rooms.write(folder, range(3))
        return folder

    @pytest.fixture
    def clouds(self, world):
        return read_training_clouds(world / "scenes", world / "superpoints")

    @pytest.fixture
    def make(self, site, world, tmp_path):
        def make():
            network = training_rooms.network()
            where = training_rooms.context(network, world / "fusion", tmp_path / "memory")
            return network, training_rooms.objective("evenness", where, weight=2.0)

        return make


class TestHeight(TaskTests):
    @pytest.fixture
    def task(self, site):
        return task("height")


class TestBrightness(SegmenterTests):
    labels_everywhere = True
    looks_at_vocabulary = True

    @pytest.fixture(scope="class")
    def segmenter(self, site):
        from outside_models.brightness import BrightnessSegmenter, Settings

        from anyscene.project.parameters import Text

        return BrightnessSegmenter(load_text_encoder(Text("minilm", "a {} in a scene")), Settings(0.4))


class TestBoxes(ReaderTests):
    @pytest.fixture
    def dataset(self, site, tmp_path):
        from outside_models.boxes import Boxes, write_scene

        for seed, name in enumerate(("attic", "cellar")):
            write_scene(tmp_path / name, seed)
        return Boxes(tmp_path, "boxes", 0.01)
