"""What a run would cost: counted, estimated from a few scenes, or published; never made up."""

import dataclasses
import json
from pathlib import Path

import pytest

from anyscene.datasets.scannet.reader import ScanNet, official_splits
from anyscene.errors import DataError, PipelineError
from anyscene.project import parameters, presets
from anyscene.segmenters import REGISTRY
from anyscene.study import cost, disk
from anyscene.text import width_of
from benchmarks.speed.throughput import SUBJECTS
from tests.builders import REPOSITORY
from tests.builders.scannet import write_root

UNMEASURED = ("grounded", "oneformer", "openseg", "sam3")  # the benchmark has no subject for them
SCANS = tuple(f"scene{number:04d}_00" for number in (0, 1, 2, 5, 11))


def settings(root, stride=20):
    params = presets.load("scannet", REPOSITORY / "params.yaml", Path(root))
    return dataclasses.replace(params, scenes=dataclasses.replace(params.scenes, frame_stride=stride))


def test_without_data_what_was_published(tmp_path):
    found = cost.extent(settings(tmp_path / "none"))
    assert (found.scenes, found.training, found.views, found.points) == (1513, 1201, 125_000, None)
    assert "Dai et al. 2017" in found.known
    drives = presets.load("nuscenes", REPOSITORY / "params.yaml", tmp_path / "none")
    for stride, scenes in ((1, 34_149), (2, 17_074)):
        thinned = dataclasses.replace(drives, scenes=dataclasses.replace(drives.scenes, frame_stride=stride))
        whole = cost.extent(thinned)
        assert (whole.scenes, whole.views) == (scenes, 204_894 // stride)
    own = presets.load("scannet", REPOSITORY / "params.yaml")
    own = dataclasses.replace(own, dataset=dataclasses.replace(own.dataset, reader="rgbd", root="none"))
    with pytest.raises(DataError, match=r"none: no such folder; set dataset\.root"):
        cost.extent(own)


def test_an_empty_folder_has_no_data(tmp_path):
    assert cost.extent(settings(tmp_path)) == cost.extent(settings(tmp_path / "none"))
    own = settings(tmp_path)
    own = dataclasses.replace(own, dataset=dataclasses.replace(own.dataset, reader="rgbd"))
    with pytest.raises(DataError, match=r"is empty; set dataset\.root to the scans"):
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
    rows = [
        {"what": "lseg", "device": device, "setting": "base 640", "per_second": rate}
        for device, rate in (("CPU", 0.01), ("a GPU", 5), ("CPU, 2 threads", 0.02))
    ]
    (tmp_path / "rates.json").write_text(json.dumps(rows))
    rates = cost.read_rates(tmp_path / "rates.json")
    found = cost.work(params, cost.extent(params), rates)
    assert [(work.what, work.count, work.unit) for work in found] == [
        ("lseg", 125_000, "views"),
        ("seem", 125_000, "views"),
        ("sd15", 1000, "images"),
        ("sam vit_h", 1000, "masks"),
        ("lseg", 1000, "synthesised images"),
        ("seem", 1000, "synthesised images"),
        ("tap", 125_000, "views, each mask of them"),
        ("superpoint 18A, 2 cm", 7006 * 12, "passes over scenes"),
        ("ensembling 18A, 2 cm", 3002 * 12, "passes over scenes"),
    ]
    assert (found[0].hours, found[0].rate) == (125_000 / 5 / 3600, cost.Rate(5, "a GPU", "base 640"))
    assert all(work.rate is None and work.hours is None for work in found if work.what != "lseg")
    assert cost.read_rates(tmp_path / "no.json") == {}
    for broken in ("{", "[1]", '[{"what": "lseg"}]', '{"CPU": {"lseg": {"per_second": 1}}}'):
        (tmp_path / "rates.json").write_text(broken)
        with pytest.raises(PipelineError, match=r"rates\.json: no list of what, device, .*; measure again"):
            cost.read_rates(tmp_path / "rates.json")


def test_training_is_reckoned_by_the_scenes_that_it_visits(tmp_path):
    params = settings(tmp_path / "none")
    more = dataclasses.replace(params.training["distilled"], accumulate=2)
    both = {"distilled": more, "baseline": dataclasses.replace(more, kind="pixel")}
    params = dataclasses.replace(params, training=both | {"ensembled": params.training["ensembled"]})
    rates = {"superpoint 18A, 2 cm": cost.Rate(2.0, "a GPU", "scenes of 150,000 points")}
    whole, few = cost.Extent(1513, 1201, 1000, None, ""), cost.Extent(8, 5, 1000, None, "")
    distilled, baseline, ensembled = cost.work(params, whole, rates)[-3:]
    assert distilled.count == baseline.count == 7006 * 2 * 3
    assert baseline.rate is None and ensembled.rate is None
    assert distilled.hours == 7006 * 2 * 3 / 2.0 / 3600
    assert cost.visits(params.training["ensembled"], few) == 3002 * 3 * 4  # no scene is in a batch twice
    coarse = dataclasses.replace(params, network=dataclasses.replace(params.network, voxel=0.05))
    assert cost.work(coarse, whole, rates)[-2].rate is None  # another voxel size costs something else


def test_answers_on_disk_take_no_hours(tmp_path):
    params = settings(tmp_path / "none")
    section = dataclasses.replace(params.segmenters, weights=str(tmp_path), names=("lseg", "odise"))
    params = dataclasses.replace(params, segmenters=section)
    size = cost.extent(params)
    assert cost.awaited(params) == ["odise"] and cost.frame_bytes(params, size) == 125_000 * 320 * 240 * 3
    for name in ("lseg", "odise"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precomputed.json").touch()
    assert [work.what for work in cost.work(params, size, {})][:3] == [
        "sd15",
        "sam vit_h",
        "superpoint 18A, 2 cm",
    ]
    assert cost.awaited(params) == [] and cost.frame_bytes(params, size) == 0


@pytest.mark.parametrize("name", presets.names())
def test_no_preset_names_a_model_that_runs_elsewhere(tmp_path, name):
    params = presets.load(name, Path("params.yaml"))
    section = dataclasses.replace(params.segmenters, weights=str(tmp_path))
    assert cost.awaited(dataclasses.replace(params, segmenters=section)) == []


def test_a_captioner_costs_where_masks_are_made_here(tmp_path):
    params = settings(tmp_path / "none")

    def asked(model, captioner):
        section = dataclasses.replace(params.segmenters, names=(model,), captioner=captioner)
        changed = dataclasses.replace(params, segmenters=section)
        return "blip" in [work.what for work in cost.work(changed, cost.extent(changed), {})]

    assert asked("mask2former", "blip") and not asked("lseg", "blip")
    assert not asked("mask2former", "colour")  # it has no weights and takes no time to speak of


def test_disk_supposes_points_where_none_were_counted(tmp_path):
    params = settings(tmp_path / "none")
    each = cost.bytes_per_point(params)
    assert each == sum(disk.bytes_of_point(params).values()) > 0
    assert cost.disk_bytes(params, cost.Extent(3, 2, 10, 1000, "counted")) == 1000 * each
    assert cost.disk_bytes(params, cost.Extent(3, 2, 10, None, "published")) == 3 * disk.SUPPOSED * each
    assert cost.disk_bytes(params, cost.Extent(None, None, 10, None, "published")) is None


def test_rates_are_those_that_the_benchmark_writes():
    """One name for one thing: the demo's, and what the presets take where it was measured."""
    rates = cost.read_rates(REPOSITORY / "reports/throughput.json")
    params = parameters.load(REPOSITORY / "params.yaml")
    params = dataclasses.replace(
        params,
        synthesis=dataclasses.replace(
            params.synthesis,
            diffusion=str(REPOSITORY / params.synthesis.diffusion),
            sam=str(REPOSITORY / params.synthesis.sam),
        ),
    )
    size = cost.Extent(1, 1, 1000, None, "made up")
    found = {work.what: work for work in cost.work(params, size, rates)}
    measured = {name for name, work in found.items() if work.rate is not None}
    assert measured == set(found)
    for name in ("scannet", "matterport3d"):
        trained = cost.work(presets.load(name, REPOSITORY / "params.yaml"), size, rates)[-2:]
        assert all(work.rate and work.what in SUBJECTS for work in trained)
        assert {work.unit for work in trained} == {"passes over scenes"}
    for what in ("sd15", "sdxl", "sam vit_b", "sam vit_h", *REGISTRY.names()):
        assert what in SUBJECTS or what in ("dense", "mask", *UNMEASURED), what


def test_width_of_text_encoders():
    assert width_of(parameters.load(REPOSITORY / "params.yaml").text.encoder) == 384
    assert width_of("open_clip:ViT-L-14-336-quickgelu:weights/none.safetensors") == 768
    for name in ("open_clip:none", "bert"):
        with pytest.raises(PipelineError, match="is not known; use minilm or open_clip:MODEL:PRETRAINED"):
            width_of(name)
