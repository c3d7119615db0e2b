"""Proposals in the benchmark's format: read, named by their features, scored."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from anyscene import datasets
from anyscene.cli import instances as stage
from anyscene.datasets import LabelSet
from anyscene.errors import DataError
from anyscene.project import store
from anyscene.tasks.features import Features
from anyscene.tasks.instances import average_precision
from anyscene.tasks.instances.average_precision import LabelledScene, evaluate_instances
from anyscene.tasks.instances.proposals import Proposals
from anyscene.tasks.point_masks import PointMasks
from anyscene.text import embeddings
from tests.builders import miniature

SET = datasets.label_set("scannet20")


def write(folder, scene, masks, scores, label=1):
    """As Mask3D writes them, with a class that says nothing."""
    (folder / "pred_mask").mkdir(parents=True, exist_ok=True)
    lines = []
    for index, (mask, score) in enumerate(zip(masks, scores, strict=True)):
        np.savetxt(folder / f"pred_mask/{scene}_{index}.txt", mask.astype(int), fmt="%d")
        lines.append(f"pred_mask/{scene}_{index}.txt {label} {score}\n")
    (folder / f"{scene}.txt").write_text("".join(lines))


def test_reads_what_was_written(tmp_path):
    masks = np.random.default_rng(0).random((3, 40)) < 0.4
    write(tmp_path, "a", masks, [0.5, 1e-3, 1.0])
    found = Proposals.from_scannet(tmp_path, "a", 40)
    assert np.array_equal([*found.masks], masks) and found.score.tolist() == [0.5, 0.001, 1.0]
    assert found.name == (None, None, None) and found.source == "scannet" and len(found) == 3
    write(tmp_path, "none", masks[:0], [])
    assert Proposals.from_scannet(tmp_path, "none", 40).masks.bits.shape == (0, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pred_mask/a_0.txt 1\n", r"a\.txt: line 1: expected a mask's file, a class and a score"),
        ("\npred_mask/a_0.txt 1 high\n", r"a\.txt: line 2: expected"),
        ("pred_mask/a_0.txt 1 nan\n", "line 1: the score nan is not finite"),
        ("pred_mask/a_9.txt 1 0.5\n", r"a_9\.txt: missing, .*a\.txt: line 1 names it; export it again"),
        ("../elsewhere.txt 1 0.5\n", r"line 1: \.\./elsewhere\.txt is not inside"),
        ("pred_mask/bad.txt 1 0.5\n", r"bad\.txt: not a mask of one integer per point"),
        (
            "pred_mask/a\0.txt 1 0.5\n",
            r"a\.txt: line 1: 'pred_mask/a\\x00\.txt' cannot be the name of a file",
        ),
        ("pred_mask/a_0.txt 1 0.5\n", r"a_0\.txt: 39 lines for 40 points; export it of the mesh"),
    ],
)
def test_bad_files(tmp_path, text, message):
    folder = tmp_path / "in"
    write(folder, "a", np.ones((1, 39), bool), [1.0])
    (tmp_path / "elsewhere.txt").write_text("1\n" * 40)
    (folder / "pred_mask/bad.txt").write_text("1\n" * 39 + "yes\n")
    (folder / "a.txt").write_text(text)
    with pytest.raises(DataError, match=message):
        Proposals.from_scannet(folder, "a", 40)
    (folder / "a.txt").write_bytes(b"pred_mask/a_0.txt t\xfcr 0.5\n")
    with pytest.raises(DataError, match=r"a\.txt: line 1 is not UTF-8 \(byte 0xfc\)"):
        Proposals.from_scannet(folder, "a", 40)
    with pytest.raises(DataError, match=r"b\.txt: missing; export the proposals of every annotated scene"):
        Proposals.from_scannet(folder, "b", 40)


def test_a_damaged_file_of_masks_is_named_whatever_it_ends_in(tmp_path):
    """One bit in the pickle of a tensor ends in errors of all kinds."""
    torch.save(torch.ones(40, 2), tmp_path / "a_masks.pt")
    whole = (tmp_path / "a_masks.pt").read_bytes()
    start = whole.index(b"\x80\x02ctorch")
    refused = 0
    for place in range(start, start + 120):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        (tmp_path / "a_masks.pt").write_bytes(damaged)
        try:
            found = Proposals.from_mask3d(tmp_path, "a", 40)
        except DataError as error:
            refused += "a_masks.pt" in str(error)
        else:  # it makes no difference
            assert len(found.masks) == 2 and found.score.tolist() == [1, 1]
    assert refused > 60


@pytest.mark.parametrize("scored", [False, True])
def test_reads_the_masks_that_openmask3d_keeps(tmp_path, scored):
    masks, score = np.random.default_rng(0).random((3, 40)) < 0.4, torch.tensor([0.5, 0.25, 1.0])
    columns = torch.from_numpy(masks.T).float()
    torch.save((columns, score) if scored else columns, tmp_path / "a_vh_clean_2_masks.pt")
    found = Proposals.from_mask3d(tmp_path, "a", 40)
    assert np.array_equal([*found.masks], masks) and found.source == "mask3d"
    assert found.score.tolist() == (score.tolist() if scored else [1, 1, 1])


class Malice:
    def __reduce__(self):
        return print, ("run",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.ones(39, 2), r"a_masks\.pt: masks \[39, 2\] for 40 points; export them of the mesh"),
        (torch.ones(40), r"masks \[40\] for 40 points"),
        ((torch.ones(40, 2), torch.ones(3)), "every one of 2 masks needs a finite score"),
        ((torch.ones(40, 2), torch.tensor([1, torch.inf])), "every one of 2 masks needs a finite score"),
        ({"masks": 1}, "not a tensor of masks, or of masks and scores"),
        (torch.full((40, 1), torch.nan), "masks contain NaN or infinity"),  # NaN is not 0, so all inside
        (torch.ones(40, 1, dtype=torch.bfloat16), "not a tensor of masks, or of masks and scores"),
        (Malice(), "not a tensor of masks, or of masks and scores"),
    ],
)
def test_bad_files_of_masks(tmp_path, content, message, capsys):
    torch.save(content, tmp_path / "a_masks.pt")
    with pytest.raises(DataError, match=message):
        Proposals.from_mask3d(tmp_path, "a", 40)
    assert capsys.readouterr().out == ""
    with pytest.raises(DataError, match=r"b_masks\.pt: missing; keep one file of masks"):
        Proposals.from_mask3d(tmp_path, "b", 40)
    torch.save(torch.ones(40, 2), tmp_path / "a_other_masks.pt")
    with pytest.raises(DataError, match=r"a_masks\.pt: one of several; keep one file of masks"):
        Proposals.from_mask3d(tmp_path, "a", 40)


def test_groups_of_superpoints_are_proposals():
    group, superpoint = np.array([1, 0, 1, 2]), np.array([0, 1, 2, 2, 3, 3, 1])
    found = Proposals.from_clusters(group, superpoint, smallest=3)
    (mask,) = found.masks  # the others have 2 points each
    assert mask.tolist() == [True, False, True, True, False, False, False]
    assert found.score.tolist() == [1] and found.name == (None,) and found.source == "clusters"
    assert len(Proposals.from_clusters(group, superpoint)) == 3
    assert Proposals.from_clusters(group, superpoint, smallest=9).masks.points == 7


def test_name_is_that_of_the_mean_of_the_valid_features():
    text, names = np.eye(3, dtype=np.float32), ("bed", "door", "sink")
    label_set = LabelSet("made", names, names, np.zeros((3, 3), np.uint8), np.ones(3, bool))
    feature = np.array([[1, 0, 0], [0.9, 0, 0], [0, 1, 0], [0, 0, 9], [0, 0.2, 0]], np.float32)
    valid = np.array([True, True, True, False, True])
    mask = np.array([[1, 1, 1, 1, 0], [0, 0, 1, 0, 1], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0]], bool)
    features = Features("made", "made", feature, None, valid)
    proposals = Proposals(PointMasks.of(mask, 5), np.ones(4), (None,) * 4, "made")
    every = proposals.named(features, text, np.arange(3), label_set)
    assert every.name == ("bed", "door", None, "bed") and every.rows(names).tolist() == [0, 1, -1, 0]
    some = proposals.named(features, text, np.array([1, 2]), label_set)
    assert some.name == ("door", "door", None, "door") and some.rows(names).tolist() == [1, 1, -1, 1]
    assert some.rows(("door",)).tolist() == [0, 0, -1, 0]


@pytest.fixture
def furnished(rooms, tmp_path, monkeypatch):
    """Two annotated rooms, whose furniture is proposed as it is annotated."""
    monkeypatch.setattr("anyscene.text.load_text_encoder", lambda section: miniature.Spelling())
    monkeypatch.setattr(average_precision, "SMALLEST", 5)
    miniature.copy(rooms, tmp_path)
    for scene in ("room0", "room1"):
        label = store.open_scene(tmp_path / f"data/labels/{scene}.zarr")["label"][:]
        kinds = [row for row in np.unique(label[label >= 0]) if SET.names[row] not in ("wall", "floor")]
        write(tmp_path / "proposals", scene, [label == row for row in kinds], np.linspace(1, 0.1, len(kinds)))
    return tmp_path


def run(furnished, *arguments):
    fixed = [
        "--source",
        "fusion",
        "--params",
        str(furnished / "params.yaml"),
        "--out",
        str(furnished / "out.json"),
    ]
    return CliRunner().invoke(stage.app, [str(furnished / "proposals"), *fixed, *arguments])


def by_hand(furnished, scene):
    """Annotation, and each proposal with the name that its features have, point by point."""
    truth = store.open_scene(furnished / f"data/labels/{scene}.zarr")
    feature, valid = store.fused_points(furnished / f"data/fusion/{scene}.zarr")
    text = embeddings(miniature.Spelling(), SET.prompts)
    masks, names, scores = [], [], []
    for line in (furnished / f"proposals/{scene}.txt").read_text().splitlines():
        mask = np.loadtxt(furnished / "proposals" / line.split()[0]) == 1
        points = [i for i in np.flatnonzero(mask) if valid[i]]
        mean = sum(feature[i].astype(np.float64) for i in points) / len(points)
        names.append(max(range(2, 20), key=lambda row: text[row] @ mean))  # 0, 1: wall, floor
        masks.append(mask)
        scores.append(float(line.split()[2]))
    label, instance = truth["label"][:], truth["instance"][:]
    return LabelledScene(label, instance, PointMasks.of(masks, len(label)), np.array(names), np.array(scores))


def test_scores_of_a_split_and_what_is_missing(furnished):
    result = run(furnished)
    assert result.exit_code == 0, result.output
    found = json.loads((furnished / "out.json").read_text())
    assert (found["scenes"], found["source"], found["split"]) == (["room0", "room1"], "fusion", "val")
    expected = asdict(evaluate_instances([by_hand(furnished, scene) for scene in found["scenes"]], SET))
    assert found["per_class"] == {name: list(scores) for name, scores in expected.pop("per_class").items()}
    assert all(found[name] == pytest.approx(value) for name, value in expected.items() if name != "absent")
    assert 0 < found["AP50"] < 100
    assert "mean" in result.output and found["proposals"] > 2

    params = furnished / "params.yaml"
    several = miniature.doubled(furnished / "scannet20.csv")
    params.write_text(params.read_text().replace("label_set: scannet20", f"label_set: {several}"))
    assert run(furnished).exit_code == 0 and json.loads((furnished / "out.json").read_text()) == found

    (furnished / "proposals/room1.txt").unlink()
    result = run(furnished)
    assert result.exit_code == 1 and "room1.txt: missing; export the proposals" in result.output
    for scene in ("room0", "room1"):
        (furnished / f"data/labels/{scene}.zarr").rename(furnished / f"{scene}.zarr")
    result = run(furnished)
    assert result.exit_code == 1 and "no scene of val is annotated; run labels first" in result.output


def test_proposals_that_are_not_there(furnished):
    (furnished / "proposals").rename(furnished / "elsewhere")
    result = run(furnished)
    assert result.exit_code == 1
    assert "proposals: no such folder; give that of the proposals" in result.output


def test_masks_of_either_format_have_the_same_scores(furnished):
    assert run(furnished).exit_code == 0
    expected = json.loads((furnished / "out.json").read_text())
    for scene in ("room0", "room1"):
        points = len(store.open_scene(furnished / f"data/labels/{scene}.zarr")["label"][:])
        found = Proposals.from_scannet(furnished / "proposals", scene, points)
        content = torch.from_numpy(np.transpose([*found.masks]).copy()), torch.from_numpy(found.score)
        torch.save(content, furnished / f"proposals/{scene}_masks.pt")
        (furnished / f"proposals/{scene}.txt").unlink()
    result = run(furnished, "--format", "mask3d")
    assert result.exit_code == 0, result.output
    assert json.loads((furnished / "out.json").read_text()) == expected
