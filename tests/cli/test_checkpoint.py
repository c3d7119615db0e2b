"""Checkpoints of OpenScene and SAS as networks of a project."""

from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData
from typer.testing import CliRunner

import anyscene
from anyscene import datasets
from anyscene.cli import checkpoint, predict, query
from anyscene.datasets import ply
from anyscene.library import feature_cloud
from anyscene.networks import MinkUNet, described
from anyscene.project import parameters
from anyscene.project.layout import Artefacts
from anyscene.segmenters.precomputed.converters import torch_file
from anyscene.study import ablation, evaluation
from anyscene.text import embeddings
from tests.builders import miniature

pytestmark = pytest.mark.integration

MODELS, WRITTEN = Path("models"), "models/theirs"


@pytest.fixture
def file(rooms, tmp_path, monkeypatch):
    """A checkpoint as their scripts save it, of a network as wide as the rooms' text space, in a project."""
    miniature.copy(rooms, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    torch.manual_seed(3)
    network = MinkUNet("14A", 3, miniature.WIDTH, "torch", bias=False)
    state = {f"module.net3d.{name}": tensor for name, tensor in network.state_dict().items()}
    path = tmp_path / "model_best.pth.tar"
    torch.save({"epoch": 3, "state_dict": state, "best_iou": np.float64(0.4)}, path)
    return path


def run(*arguments):
    return CliRunner().invoke(checkpoint.app, [str(argument) for argument in arguments])


def test_it_becomes_a_network_like_any_other(file):
    result = run(file, "--out", WRITTEN, "--title", "of others", "--voxel", "0.2")
    assert result.exit_code == 0, result.output
    assert f"{WRITTEN}: MinkUNet14A, 16 wide, last layer without a bias" in result.output
    (one,) = (found for found in described(MODELS) if found.name == "theirs")
    assert (one.title, one.kind, one.supervised, one.start) == ("of others", "published", False, None)
    cloud = anyscene.open("room0", source="theirs", encoder=miniature.Spelling())
    again = anyscene.open("room0", source=WRITTEN, encoder=miniature.Spelling())
    np.testing.assert_array_equal(cloud.features, again.features)
    assert set(cloud.segment(["wall", "bed"])) <= {-1, 0, 1} and len(cloud.query("a bed"))


def test_a_network_that_is_there_is_not_replaced(file):
    assert run(file, "--out", WRITTEN).exit_code == 0
    result = run(file, "--out", WRITTEN)
    assert result.exit_code == 1
    assert f"{WRITTEN}: there is a network already" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"state_dict": {"a": torch.zeros(2)}}, "has no conv0p1s1.kernel or final.kernel"),
        ({"epoch": 3}, "holds no state dict"),
        ([torch.zeros(2)], "holds no state dict"),
        ({"state_dict": print}, "holds more than tensors, arrays and plain values; nothing of it ran"),
    ],
)
def test_other_files_are_refused_and_nothing_is_written(file, tmp_path, content, said):
    torch.save(content, tmp_path / "other.pth")
    result = run(tmp_path / "other.pth", "--out", WRITTEN)
    assert result.exit_code == 1
    assert said in " ".join(result.stderr.split()) and not (MODELS / "theirs").exists()


def test_evaluation_predict_and_query_take_it(file, monkeypatch):
    assert run(file, "--out", WRITTEN, "--title", "of others").exit_code == 0
    monkeypatch.setattr(ablation, "load_text_encoder", lambda section: miniature.Spelling())
    monkeypatch.setattr(evaluation, "load_segmenter", lambda name, params, captions: miniature.Painter(name))
    metrics = evaluation.run(parameters.load(), Artefacts()).metrics
    assert metrics["rows"]["theirs"]["title"] == "of others"
    assert set(metrics["semantic"]["theirs"]) >= {"mIoU", "mAcc", "f_mIoU"}

    monkeypatch.setattr(predict, "load_text_encoder", lambda section: miniature.Spelling())
    scene = anyscene.open("room0", source="theirs", encoder=miniature.Spelling())
    ply.write_mesh(Path("room.ply"), scene.points, scene.colours, np.zeros((0, 3), np.int32))
    asked = ["room.ply", "--source", WRITTEN, "--out", "labels.ply"]
    result = CliRunner().invoke(predict.app, asked)
    assert result.exit_code == 0, result.output
    label_set = datasets.label_set("scannet20")
    text = embeddings(miniature.Spelling(), label_set.prompts, parameters.load().text.template)
    labels = PlyData.read("labels.ply")["vertex"]["label"]
    pairs = np.unique([labels, label_set.of_prompts((scene.features @ text.T).argmax(1))], axis=1)
    assert len(set(pairs[0])) == len(set(pairs[1])) == pairs.shape[1] > 1  # one number for each class

    monkeypatch.setattr(feature_cloud, "load_text_encoder", lambda section: miniature.Spelling())
    result = CliRunner().invoke(query.app, ["room0", "a bed", "--source", "theirs"])
    assert result.exit_code == 0 and "'a bed' in room0 (theirs)" in result.output, result.output


def flipped(path):
    """One bit of the last convolution's weights."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def infinite(path):
    content = torch_file.load(path)
    content["state_dict"]["module.net3d.final.kernel"][0, 0] = torch.inf
    torch.save(content, path)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flipped, "damaged, not readable (Bad CRC-32 for file"),
        (infinite, "damaged, final.kernel has values that are no numbers; get it again"),
        (lambda path: path.write_bytes(b""), "damaged, not readable"),
        (lambda path: path.write_text("<html>404</html>"), "damaged, or holds more than tensors"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "get it again"),
    ],
)
def test_a_damaged_download_is_refused_and_says_what_to_do(file, damage, said):
    damage(file)
    result = run(file, "--out", WRITTEN)
    words = " ".join(result.stderr.split())
    assert result.exit_code == 1 and said in words and words.endswith("get it again"), words
    assert not (MODELS / "theirs").exists()
