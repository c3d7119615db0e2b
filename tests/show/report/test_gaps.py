"""What a page says is missing or doubtful."""

from anyscene.project import parameters, store
from anyscene.project.layout import Artefacts
from anyscene.show.report import gaps
from anyscene.show.report.run import Run
from tests.builders import miniature


def write(root, **warnings):
    (root / "data/scenes").mkdir(parents=True)
    for scene, warning in warnings.items():
        group = store.create(root / "data/scenes" / f"{scene}.zarr", "key")
        group.attrs["agreement"] = {"frames": {"agree": 0.5}} | ({"warning": warning} if warning else {})
    return Run(parameters.defaults(), Artefacts(root))


def test_doubtful_scenes_are_named(tmp_path):
    run = write(tmp_path, a="a: its depth maps contradict each other", b="", c="c: its frames do not overlap")
    assert gaps.doubtful(run) == [
        "a: its depth maps contradict each other.",
        "c: its frames do not overlap.",
    ]


def test_of_many_doubtful_scenes_three_are_named(tmp_path):
    run = write(tmp_path, **{f"s{number}": f"s{number}: doubtful" for number in range(5)})
    assert gaps.doubtful(run) == [
        "s0: doubtful.",
        "s1: doubtful.",
        "s2: doubtful.",
        "So 5 scenes in all hardly agree with themselves.",
    ]


def test_a_damaged_scene_stops_no_page(tmp_path):
    run = write(tmp_path, a="", b="b: doubtful")
    (tmp_path / "data/scenes/a.zarr/zarr.json").write_text("{")
    assert gaps.doubtful(run) == ["b: doubtful."] and "a.zarr" in run.missing[0]
    assert gaps.doubtful(Run(run.params, Artefacts(tmp_path / "none"))) == []


def test_what_is_lost_is_said(rooms, tmp_path):
    params = miniature.copy(rooms, tmp_path)
    assert gaps.uncomputed(Run(params, Artefacts(tmp_path))) == []
    (tmp_path / "models/ensembled/network.json").unlink()
    (tmp_path / "data/capability/mask.json").unlink()
    said = "Not computed: capability of mask, training of ensembled. Run dvc repro."
    assert gaps.uncomputed(Run(params, Artefacts(tmp_path))) == [said]
