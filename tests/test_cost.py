"""What a run would cost: counted, estimated from a few scenes, or published; never made up."""

import dataclasses
import json
from pathlib import Path

import pytest

from pipeline import config, cost, presets
from pipeline.datasets import ScanNet
from pipeline.datasets.scannet import official_splits
from pipeline.errors import DataError, PipelineError
from tests.scannet import write_root

ROOT = Path(__file__).parents[1]
SCANS = tuple(f"scene{number:04d}_00" for number in (0, 1, 2, 5, 11))


def settings(root, stride=20):
    params = presets.load("scannet", ROOT / "params.yaml", Path(root))
    return dataclasses.replace(params, scenes=dataclasses.replace(params.scenes, frame_stride=stride))


def test_without_data_what_was_published(tmp_path):
    found = cost.extent(settings(tmp_path / "none"))
    assert (found.scenes, found.training, found.views, found.points) == (1513, 1201, 125_000, None)
    assert "Dai et al. 2017" in found.known
    own = presets.load("scannet", ROOT / "params.yaml")
    own = dataclasses.replace(own, dataset=dataclasses.replace(own.dataset, reader="rgbd", root="none"))
    with pytest.raises(DataError, match=r"none: no such folder; set dataset\.root"):
        cost.extent(own)


def test_with_data_it_is_counted(tmp_path):
    root = write_root(tmp_path, *SCANS[:2])
    found = cost.extent(settings(root, 2))
    # six frames, every second of them, of which the fifth has no pose; a grid of 6 x 6
    assert (found.scenes, found.views, found.points) == (2, 2 * 2, 2 * 36) and found.known == "counted"


def test_of_many_scenes_a_few_are_read(tmp_path, monkeypatch):
    root, whole, read = write_root(tmp_path, *SCANS), ScanNet.read, []
    monkeypatch.setattr(ScanNet, "read", lambda self, scene: read.append(scene) or whole(self, scene))
    found = cost.extent(settings(root, 2))
    assert read == [SCANS[0], SCANS[2], SCANS[4]]
    assert found.known == f"estimated from {', '.join(read)}"
    training = [scan for scan in SCANS if official_splits()[scan] == "train"]
    assert (found.scenes, found.views, found.points) == (5, 5 * 2, 5 * 36)
    assert found.training == len(training)


def test_hours_only_of_what_was_measured(tmp_path):
    params = settings(tmp_path / "none")
    (tmp_path / "rates.json").write_text(json.dumps([{"what": "lseg", "device": "a GPU", "per_second": 5}]))
    rates = cost.read_rates(tmp_path / "rates.json")
    found = {work.what: work for work in cost.work(params, cost.extent(params), rates)}
    assert list(found) == ["lseg", "synthesis", "distillation", "ensembling"]  # SEEM runs elsewhere
    assert (found["lseg"].count, found["lseg"].seconds, found["lseg"].device) == (125_000, 25_000, "a GPU")
    assert found["synthesis"].count == 1000 and found["synthesis"].seconds is None
    assert found["distillation"].count == 7006 and found["ensembling"].count == 3002
    assert cost.read_rates(tmp_path / "no.json") == {}
    for broken in ("{", "[1]", '[{"what": "lseg"}]'):
        (tmp_path / "rates.json").write_text(broken)
        with pytest.raises(PipelineError, match=r"rates\.json: no list"):
            cost.read_rates(tmp_path / "rates.json")


def test_answers_on_disk_take_no_hours(tmp_path):
    params = settings(tmp_path / "none")
    params = dataclasses.replace(
        params, segmenters=dataclasses.replace(params.segmenters, weights=str(tmp_path))
    )
    (tmp_path / "lseg").mkdir()
    (tmp_path / "lseg/precomputed.json").touch()
    assert next(work.what for work in cost.work(params, cost.extent(params), {})) == "synthesis"


def test_bytes_of_a_point_are_those_of_the_arrays():
    """xyz, normal f4[3] each, rgb u1[3], label i2, instance and superpoint i4; of two models features f2[C]
    and counts u2; fused features f2[C], valid b1, weights f2[2], predictions u1[2]."""
    params = presets.load("scannet", ROOT / "params.yaml")
    assert cost.bytes_per_point(params) == 37 + 2 * (1024 + 2) + 1024 + 1 + 4 + 2
    lean = dataclasses.replace(params, fusion=dataclasses.replace(params.fusion, point_features=False))
    assert cost.bytes_per_point(params) - cost.bytes_per_point(lean) == 1024


def test_width_of_text_encoders():
    assert cost.text_width(config.load(ROOT / "params.yaml").text.encoder) == 384
    assert cost.text_width("open_clip:ViT-L-14-336-quickgelu:weights/none.safetensors") == 768
    for name in ("open_clip:none", "bert"):
        with pytest.raises(PipelineError, match="not known"):
            cost.text_width(name)
