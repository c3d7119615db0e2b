"""Published scores stand beside the project's own only on the official split."""

import io
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from anyscene.datasets import raw_files
from anyscene.project import presets
from anyscene.show.report import scores
from anyscene.study.literature import PUBLISHED, TABLE_3, closest, differences, note, published, unlike
from anyscene.study.table import tables
from tests.builders import figures

SCANNET = raw_files.lines(raw_files.SPLITS / "scannet_val.txt")
HOUSES = raw_files.lines(raw_files.SPLITS / "matterport_test.txt")


def metrics(label_set="scannet20", split="val", scenes=SCANNET, unannotated=()):
    rows = ("lseg", "mine", "capability", "ensembled", "swapped")
    return figures.metrics(dict.fromkeys(rows, 50.0)) | {
        "label_set": label_set,
        "split": split,
        "scenes": list(scenes),
        "unannotated": list(unannotated),
    }


def printed(found):
    out = io.StringIO()
    Console(file=out, width=160).print(tables(found))
    return out.getvalue()


def test_the_ablation_of_the_paper_beside_ours():
    text = printed(metrics())
    lines = {line.split("  ")[0].strip(): line.split() for line in text.splitlines()}
    assert "mIoU in SAS" in text
    assert lines["2D model lseg"][-1] == "51.2" and lines["capability fusion"][-1] == "55.5"
    assert lines["+ temporal ensembling"][-1] == "61.9"
    assert lines["2D model mine"][-1] == "51.0"  # the interval's end: nothing is published of it
    assert (
        "published mIoU on these scenes: OpenScene 54.2, GGSD 56.5, Diff2Scene 48.6, OV3D 57.3, SAS 61.9"
        in text
    )
    assert scores.table(metrics())["literature"] == note(metrics())


@pytest.mark.parametrize(
    "other",
    [
        {"scenes": SCANNET[1:]},
        {"scenes": [*SCANNET, "scene0000_00"]},
        {"scenes": ["val_000", "val_001"]},
        {"unannotated": ["scene0011_00"]},
        {"split": "train"},
        {"label_set": "nyu40"},
    ],
)
def test_nothing_beside_other_scenes(other):
    found = metrics(**other)
    assert published(found) is None and note(found) is None
    assert "mIoU in SAS" not in printed(found) and scores.table(found)["literature"] is None


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"scenes": SCANNET[1:]}, "not scored on all scenes of scannet_val and no others"),
        ({"scenes": [*SCANNET, "scene0000_00"]}, "not scored on all scenes of scannet_val and no others"),
        ({"unannotated": ["scene0011_00"]}, "1 scenes without labels"),
        ({"split": "train"}, "split train, not val"),
        ({"label_set": "scannet200"}, "label_set scannet200, not scannet20"),
        (
            {"label_set": "matterport21", "split": "test", "scenes": HOUSES[:3]},
            "not scored on all scenes of matterport_test and no others",
        ),
    ],
)
def test_where_others_are_scored_this_is_said_of_every_row_and_once_in_the_table(other, why):
    found = metrics(**other)
    known = closest(found)
    said = unlike(found, known)
    assert said.keys() == {"lseg", "capability", "ensembled"} and all(one[0] == why for one in said.values())
    assert differences(found) == f"scored in another way than in SAS: {why}"
    assert " ".join(printed(found).split()).count(why) == 1


def test_nothing_is_said_of_another_data_set():
    found = metrics(scenes=["val_000", "val_001"])
    assert closest(found) is None and differences(found) is None and "SAS" not in printed(found)


def test_fewer_keyframes_are_named():
    drives = raw_files.lines(raw_files.SPLITS / "nuscenes_val.txt")
    found = metrics("nuscenes16", "val", [f"{drive}_00" for drive in drives])
    assert unlike(found, closest(found))["ensembled"] == ["scored on 150 keyframes, not 6019"]


def test_regions_belong_to_the_houses_that_are_listed():
    regions = [f"{house}_region{number}" for house in HOUSES for number in range(2)]
    assert published(metrics("matterport21", "test", regions)).methods["SAS"] == 48.6
    assert published(metrics("matterport21", "test", regions[2:])) is None
    assert published(metrics("matterport21", "val", regions)) is None


def test_a_long_tail_score_stands_beside_no_row():
    """The paper's is of one network for all label sets; here ensembling is towards the one that is scored."""
    regions = [f"{house}_region0" for house in HOUSES]
    found = metrics("matterport160", "test", regions)
    assert "mIoU in SAS" not in printed(found)
    assert note(found) == (
        "published mIoU on these scenes: OpenScene 5.8, SAS 8.1 "
        "(by one network for all label sets, not trained towards this one)"
    )
    assert all(published(found).of(figures.row(name)) is None for name in ("lseg", "ensembled"))
    assert "mIoU in SAS" in printed(metrics("matterport21", "test", regions))


def test_keyframes_belong_to_the_drives_that_are_listed_and_none_may_lack():
    """6019 keyframes of 150 drives: 19 have 41, the others 40."""
    drives = raw_files.lines(raw_files.SPLITS / "nuscenes_val.txt")
    keyframes = [f"{drive}_{k:02d}" for n, drive in enumerate(drives) for k in range(41 if n < 19 else 40)]
    assert published(metrics("nuscenes16", "val", keyframes)).methods["SAS"] == 47.5
    assert published(metrics("nuscenes16", "val", keyframes[:-1])) is None
    assert published(metrics("nuscenes16", "val", keyframes[::2])) is None  # every second one
    assert published(metrics("nuscenes16", "val", [*keyframes[:-1], "scene-9999_00"])) is None


def test_steps_of_the_ablation_lead_to_the_final_score():
    ablations = [entry for entry in PUBLISHED if entry.rows]
    assert [entry.label_set for entry in ablations] == ["scannet20", "matterport21", "nuscenes16"]
    for entry in ablations:
        of_rows = [score for of_role in entry.rows.values() for score in of_role.values()]
        assert entry.of(figures.row("ensembled")) == of_rows[-1] == entry.methods["SAS"]
        assert len(of_rows) == 8 and all(0 < score < 100 for score in (*of_rows, *entry.methods.values()))
        assert np.all(np.diff(of_rows[2:]) >= 0)


def test_a_networks_name_and_title_do_not_matter_only_what_trained_it():
    mine = replace(figures.row("distilled"), name="dense", title="lseg")
    assert TABLE_3.of(mine) == 59.2
    assert TABLE_3.of(replace(mine, kind="masked_scene")) is None
    assert TABLE_3.of(replace(figures.row("superpoint"), kind="superpoint")) is None  # means, not a network
    assert TABLE_3.of(replace(figures.row("capability"), control=True)) is None


LIKE = {  # of a network as SAS's
    "fusion": {"method": "capability", "tau": 0.05, "normalise": True},
    "variant": "18A",
    "input": "geometry",
    "voxel": 0.02,
    "from": None,
    "scored": [],
    "official": "scannet_train",
}


SECTIONS = {"fusion": {"method": "capability", "tau": 0.05, "normalise": True}}


def of_a_run(trained=LIKE, fused="capability", began=None, training=None, **others):
    """metrics.json of a run with one network. began: networks that it began from."""
    found = metrics()
    found["rows"]["ensembled"]["fused"] = fused
    if began:
        trained = {**trained, "from": next(iter(began))}
    entries = {"ensembled": {"steps": 37500}, **{name: {} for name in began or ()}} | (training or {})
    parameters = SECTIONS | {"training": entries}
    on = {"ensembled": trained, **(began or {})}
    return found | {"trained_on": on, "parameters": parameters, **others}


def test_what_was_made_as_in_the_paper_has_its_score_beside_it():
    assert unlike(of_a_run(), TABLE_3) == {} and differences(of_a_run()) is None
    assert "61.9" in printed(of_a_run()).split("published")[0]


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (of_a_run({**LIKE, "voxel": 0.05}), "voxel 0.05, not 0.02"),
        (of_a_run({**LIKE, "input": "colour"}), "input colour, not geometry"),
        (of_a_run({**LIKE, "variant": "34C"}), "variant 34C, not 18A"),
        (of_a_run({**LIKE, "official": None}), "not trained on the scenes of scannet_train"),
        (of_a_run({**LIKE, "scored": ["scene0011_00"]}), "trained on scenes that are scored"),
        (of_a_run({**LIKE, "fusion": {"tau": 0.1, "normalise": True}}), "tau 0.1, not 0.05"),
        (of_a_run(fused="add"), "built on add"),
        (of_a_run(turns=8), "mean over 8 test-time turns"),
        (of_a_run({**LIKE, "from": "theirs"}), "began from theirs"),
        (of_a_run(began={"distilled": {"from": "theirs"}}), "began from theirs"),
        (of_a_run(training={"ensembled": {"steps": 1}}), "1 steps, not 3002 or 37500"),
    ],
)
def test_where_a_network_was_made_in_another_way_this_is_said_in_place_of_the_score(run, why):
    text = " ".join(printed(run).split())
    assert unlike(run, TABLE_3) == {"ensembled": [why]}
    assert f"made in another way than in SAS: temporal ensembling ({why})" in text
    assert "61.9" not in text.split("published")[0] and "55.5" in text  # the fusion's still stands
    assert scores.table(run)["unlike"] == differences(run)


def test_another_temperature_is_another_fusion():
    run = of_a_run(parameters={"fusion": {"tau": 0.2, "normalise": False}})
    assert unlike(run, TABLE_3) == {"capability": ["tau 0.2, not 0.05"]}  # paper and code differ in the other


@pytest.mark.parametrize(
    ("section", "key", "same", "other", "why"),
    [
        ("segmenters", "nouns", ["own"], "vocabulary", "nouns vocabulary, not own"),
        ("segmenters", "captioner", ["tap"], "colour", "captioner colour, not tap"),
        ("scenes", "frame_stride", [20], 5, "frame_stride 5, not 20"),
        ("projection", "tolerance", [0.2, 0.25], 0.1, "tolerance 0.1, not 0.2 or 0.25"),
        ("projection", "resize", ["nearest"], "bilinear", "resize bilinear, not nearest"),
        ("projection", "width", [320], 640, "width 640, not 320"),
    ],
)
def test_what_frames_and_captions_are_like_is_that_of_a_preset_or_said_of_every_row(
    section, key, same, other, why
):
    for value in same:
        assert unlike(of_a_run(parameters={section: {key: value}}), TABLE_3) == {}
    said = unlike(of_a_run(parameters={section: {key: other}}), TABLE_3)
    assert said == {row: [why] for row in ("lseg", "capability", "ensembled")}


def test_another_vocabulary_is_said():
    names = presets.read("scannet")["vocabulary"]
    assert unlike(of_a_run(parameters={"vocabulary": names[::-1]}), TABLE_3) == {}
    said = unlike(of_a_run(parameters={"vocabulary": names[1:]}), TABLE_3)
    assert said["lseg"] == ["another vocabulary"]


@pytest.mark.parametrize("row", ["lseg", "capability", "ensembled"])
def test_another_sentence_is_said_of_every_row(row):
    run = of_a_run(parameters={"text": {"encoder": "minilm", "template": "a photo of a {}"}})
    assert unlike(run, TABLE_3)[row] == ["template a photo of a {}, not a {} in a scene"]
    assert "51.2" not in printed(run).split("published")[0]


def test_other_2d_models_are_another_fusion_and_leave_each_alone():
    run = of_a_run(parameters={"segmenters": {"names": ["lseg", "seem", "odise"]}})
    why = ["of lseg, seem, odise, not lseg, seem"]
    assert unlike(run, TABLE_3) == {"capability": why, "ensembled": why}
    assert unlike(of_a_run(parameters={"segmenters": {"names": ["seem", "lseg"]}}), TABLE_3) == {}


def test_all_of_table_4_is_there_and_where_it_contradicts_table_3_this_is_said():
    of = {entry.label_set: entry for entry in PUBLISHED if entry.table_4}
    assert {name: dict(entry.table_4) for name, entry in of.items()} == {
        "scannet20": {"lseg": 51.2, "seem": 47.3, "odise": 46.9},
        "matterport21": {"lseg": 43.5, "seem": 46.1, "odise": 46.7},
    }
    for name, both in (("scannet20", (61.9, 62.5)), ("matterport21", (48.6, 49.8))):
        assert (of[name].methods["SAS"], of[name].methods["SAS with ODISE"]) == both
    assert of["scannet20"].of(figures.row("odise")) == 46.9 and of["scannet20"].contradiction == ""
    assert of["matterport21"].of(figures.row("odise")) == 46.7
    assert of["matterport21"].of(figures.row("lseg")) == 38.6
    said = "its Table 4 has lseg 43.5, seem 46.1, odise 46.7, and its Table 3 lseg 38.6, seem 40.2"
    regions = [f"{house}_region0" for house in HOUSES]
    assert note(metrics("matterport21", "test", regions)).endswith(said)
    assert "Table 4" not in note(metrics())


def test_how_points_without_a_prediction_count_is_said():
    assert differences(of_a_run(unpredicted="ignore")) is None
    assert "no 2D model sees are errors here" in differences(of_a_run(unpredicted="error"))
