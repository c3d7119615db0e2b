"""Tasks: those that are built in, and one that another package brings."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from anyscene.errors import ConfigError
from anyscene.project import parameters, stages, store
from anyscene.project.layout import Artefacts
from anyscene.project.per_scene import WorkerPool
from anyscene.show.report import drawn_scene
from anyscene.show.report import run as run_of_report
from anyscene.show.viewer.scene_view import SceneView
from anyscene.study import ablation
from anyscene.tasks import TASKS, sources
from anyscene.tasks.drawing import task_layers
from anyscene.tasks.instances import average_precision
from anyscene.tasks.instances.average_precision import LabelledScene, evaluate_instances
from anyscene.tasks.layer import Classes, Layer, Scale, label_layer
from anyscene.tasks.scoring import score_tasks
from anyscene.tasks.segmentation.metrics import evaluate
from anyscene.tasks.surface import Surface
from anyscene.tasks.task import Texts, task
from anyscene.tasks.truth import Annotation
from tests.builders import REPOSITORY, miniature

pytestmark = pytest.mark.integration

DECLARED = stages.declared(REPOSITORY / "stages")
FLOORS = '''
    """A task of another package: which points lie on the floor."""

    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np

    from anyscene.errors import ConfigError
    from anyscene.tasks.layer import Layer, Scale


    @dataclass(frozen=True)
    class Settings:
        height: float = 0.01  # metres; lower points lie on the floor
        table: str = "floors.csv"

        def __post_init__(self):
            if not self.height > 0:
                raise ConfigError(f"height: {self.height}")


    class Floors:
        name, title, settings = "floors", "floors", Settings

        def __init__(self, settings):
            self.height = settings.height

        @staticmethod
        def files(settings):
            return [Path(settings.table)]

        def answer(self, scene, features, texts):
            return (scene.xyz[:, 2] < self.height) & features.valid

        def score(self, answers, truth):
            pairs = [(said, one.label == 1) for said, one in zip(answers, truth, strict=True)]
            right = sum(int((said & true).sum()) for said, true in pairs)
            return {"recall": right / sum(int(true.sum()) for _, true in pairs)}

        def layers(self, answer):
            return [Layer("floors", "floor", values=answer.astype(np.float32), legend=Scale("no", "yes"))]
'''

MEETING = '''
    """A task that waits in each of two scenes until the other is asked for."""

    import time
    from pathlib import Path


    class Floors:
        name, title = "floors", "floors"

        def answer(self, scene, features, texts):
            place = Path("{place}") / "met" / features.name
            place.mkdir(parents=True, exist_ok=True)
            (place / scene.scene).touch()
            until = time.monotonic() + 60
            while len(found := list(place.iterdir())) < 2 and time.monotonic() < until:
                time.sleep(0.01)
            return len(found)

        def score(self, answers, truth):
            return {{"met": min(answers)}}

        def layers(self, answer):
            return []
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of an installed package that brings the task `floors`."""
    folder = tmp_path / "installed"
    about = folder / "rooms-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rooms\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[anyscene.tasks]\nfloors = rooms_of_mine:Floors\n")
    (folder / "rooms_of_mine.py").write_text(textwrap.dedent(FLOORS))
    monkeypatch.syspath_prepend(folder)
    yield folder
    sys.modules.pop("rooms_of_mine", None)


def asked(rooms, scene="room0", source="fusion"):
    params = parameters.load(rooms / "params.yaml")
    artefacts = Artefacts(rooms)
    texts = Texts.of(params, miniature.Spelling(), ["a bed in a scene"])
    return Surface.read(artefacts, scene), sources.of_scene(artefacts, scene, source), texts


def test_built_in_tasks_are_offered_like_any_other():
    assert {"instances", "query", "segmentation"} <= set(TASKS.names())
    assert all(task(name).name == name and task(name).title for name in TASKS.names())
    with pytest.raises(ConfigError, match=r"anyscene\.tasks: nothing is called 'nonsense'; known: .*query"):
        task("nonsense")


def run(*arguments, path=()):
    """What a new process of Python prints, with `path` before the project's own."""
    folders = [str(folder) for folder in (*path, REPOSITORY / "pipeline")]
    environment = {"PYTHONPATH": os.pathsep.join(folders), "COLUMNS": "100"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_listing_tasks_imports_none_of_what_they_need():
    code = """
        import sys
        from anyscene.tasks import TASKS
        from anyscene.tasks.task import task
        print([task(name).title for name in TASKS.names()], "torch" in sys.modules)
    """
    assert run("-c", textwrap.dedent(code)) == "['objects', 'free texts', 'classes'] False\n"


def test_segmentation_labels_by_the_closest_prompt(rooms):
    surface, features, texts = asked(rooms)
    found = task("segmentation").answer(surface, features, texts)
    expected = np.where(features.valid, (features.dense() @ texts.prompts.T).argmax(1), -1)
    np.testing.assert_array_equal(found.label, expected)
    (layer,) = task("segmentation").layers(found)
    assert layer.name == "segmentation/fusion" and layer.title == "fused"
    assert dict(layer.legend.entries).keys() == {
        "none",
        *(texts.label_set.names[row] for row in np.unique(expected) if row >= 0),
    }


def test_segmentation_is_scored_over_all_scenes_together(rooms):
    answers, truth = [], []
    for scene in ("room0", "room1"):
        answers.append(task("segmentation").answer(*asked(rooms, scene)))
        truth.append(Annotation.read(Artefacts(rooms), scene, answers[0].label_set))
    found = task("segmentation").score(iter(answers), iter(truth))
    label, said = (np.concatenate([one.label for one in each]) for each in (truth, answers))
    expected = evaluate(label, said, answers[0].label_set)
    assert found == {"mIoU": expected.mIoU, "mAcc": expected.mAcc} and 0 < found["mIoU"] < 100
    assert task("segmentation").score([], []) is None


def test_instances_are_named_groups_scored_by_average_precision(rooms, monkeypatch):
    monkeypatch.setattr(average_precision, "SMALLEST", 5)
    surface, features, texts = asked(rooms)
    answer = task("instances").answer(surface, features, texts)
    found, names = answer.proposals, texts.label_set.names
    assert found.source == "clusters" and not {"wall", "floor"} & set(found.name)
    truth = Annotation.read(Artefacts(rooms), "room0", texts.label_set)
    best = found.masks[[name == "bed" for name in found.name].index(True)]
    assert set(truth.label[best]) == {names.index("bed")}
    assert ((-1 <= found.score) & (found.score <= 1)).all() and len(set(found.score)) > 2
    score = task("instances").score([answer], [truth])
    scene = LabelledScene(truth.label, truth.instance, found.masks, found.rows(names), found.score)
    expected = evaluate_instances([scene], texts.label_set)
    assert score == {"AP": expected.AP, "AP50": expected.AP50, "AP25": expected.AP25} and score["AP25"] > 0
    objects, named = task("instances").layers(answer)
    assert len(np.unique(objects.colours[best], axis=0)) == 1 and "bed" in dict(named.legend.entries)
    monkeypatch.setattr(average_precision, "SMALLEST", 10**6)
    assert task("instances").score([answer], [truth]) is None and task("instances").score([], []) is None


def test_a_query_is_heat_and_has_no_score(rooms):
    surface, features, texts = asked(rooms)
    (answer,) = task("query").answer(surface, features, texts)
    (layer,) = task("query").layers([answer])
    label = store.open_scene(rooms / "data/labels/room0.zarr")["label"][:]
    assert layer.title == "a bed in a scene" and layer.legend == Scale("median", "highest")
    assert layer.values[label == 3].mean() > layer.values[label != 3].mean() + 0.3
    assert task("query").score([answer], []) is None


def test_every_task_is_scored_on_every_source(rooms, package, monkeypatch):
    monkeypatch.setattr(average_precision, "SMALLEST", 5)
    params = parameters.load(rooms / "params.yaml")
    found = score_tasks(Artefacts(rooms), params, miniature.Spelling(), WorkerPool(1))
    assert found.keys() == {"floors", "instances", "segmentation"}  # a query has no score
    for scores in found.values():
        assert list(scores) == ["fusion", *miniature.NETWORKS]
    assert 0.5 < found["floors"]["fusion"]["recall"] < found["floors"]["ensembled"]["recall"] == 1
    assert found["segmentation"]["fusion"]["mIoU"] > found["segmentation"]["ensembled"]["mIoU"]
    assert score_tasks(Artefacts(rooms), params, miniature.Spelling(), WorkerPool(1), scenes=[]) == {}


def test_scenes_are_answered_at_the_same_time(rooms, package, tmp_path):
    (package / "rooms_of_mine.py").write_text(textwrap.dedent(MEETING).format(place=tmp_path))
    found = score_tasks(
        Artefacts(rooms),
        parameters.load(rooms / "params.yaml"),
        miniature.Spelling(),
        WorkerPool(2),
        names=["floors"],
    )
    assert [one["met"] for one in found["floors"].values()] == [2] * (1 + len(miniature.NETWORKS))


def with_section(params, **settings):
    """The parameters with a section evaluation.floors."""
    values = parameters.read(REPOSITORY / "params.yaml")
    values["evaluation"]["floors"] = {"height": 0.01, "table": "floors.csv"} | settings
    return dataclasses.replace(params, evaluation=parameters.parse(values, "params.yaml").evaluation)


def test_a_task_has_settings_of_its_own(rooms, package):
    params = parameters.load(rooms / "params.yaml")
    texts = asked(rooms)[2]
    low, high = (
        next(task_layers(Artefacts(rooms), "room0", texts, with_section(params, height=height).evaluation))
        for height in (0.01, 9.0)
    )
    assert low.name == high.name == "floors" and low.values.sum() < high.values.sum()
    found = score_tasks(
        Artefacts(rooms),
        with_section(params, height=9.0),
        miniature.Spelling(),
        WorkerPool(1),
        None,
        ["floors"],
    )
    assert found["floors"]["ensembled"]["recall"] == 1
    with pytest.raises(ConfigError, match="height: 0"):
        with_section(params, height=0.0)
    with pytest.raises(ConfigError, match="evaluation: unknown key 'roofs'"):
        values = parameters.read(REPOSITORY / "params.yaml")
        parameters.parse(values | {"evaluation": values["evaluation"] | {"roofs": {}}}, "params.yaml")


def test_the_files_that_a_task_names_are_what_evaluation_and_report_read(rooms, package):
    params = parameters.load(rooms / "params.yaml")
    named = DECLARED["evaluation"].files, DECLARED["report"].files
    for files in named:
        assert Path("floors.csv") in files(params, None)
        assert Path("other.csv") in files(with_section(params, table="other.csv"), None)


def test_a_task_of_another_package_is_shown_in_the_viewer(rooms, package):
    params = parameters.load(rooms / "params.yaml")
    seen = SceneView(Artefacts(rooms), "room0", params, miniature.Spelling(), "fusion")
    assert "floors" in seen.layers
    low = seen.xyz[:, 2] < 0.01
    colours = seen.colours("floors")
    assert seen.layer("floors").legend == Scale("no", "yes")
    assert len(np.unique(colours[~low], axis=0)) == 1 and (colours[low] != colours[~low][0]).any()


def test_a_task_of_another_package_is_shown_in_the_report(rooms, package, monkeypatch):
    params = parameters.load(rooms / "params.yaml")
    monkeypatch.setattr(run_of_report, "load_text_encoder", lambda section: miniature.Spelling())
    monkeypatch.setattr(ablation, "load_text_encoder", lambda section: miniature.Spelling())
    shown = drawn_scene.draw("room0", run_of_report.Run(params, Artefacts(rooms)))
    assert shown.problems == () and "floor" in [picture.title for picture in shown.pictures]


def test_a_task_of_another_package_is_listed_in_the_help(package):
    shown = run("-m", "anyscene.cli.main", "--help", path=[package])
    assert "floors, instances, query, segmentation" in shown


def test_a_layer_has_colours_or_values():
    with pytest.raises(ValueError, match="layer a: give colours or values, and not both"):
        Layer("a", "A")
    with pytest.raises(ValueError, match="not both"):
        Layer("a", "A", np.zeros((1, 3), np.uint8), np.zeros(1, np.float32))


def test_a_legend_names_the_classes_that_are_there(rooms):
    label_set = asked(rooms)[2].label_set
    layer = label_layer("labels", "labels", np.array([3, 3, 0]), label_set)
    assert [name for name, _ in layer.legend.entries] == ["wall", "bed"]
    assert layer.legend.colour("bed") == tuple(label_set.colours[3]) == tuple(layer.colours[0])
    assert layer.legend.colour("door") is None and isinstance(layer.legend, Classes)
