"""No setting can be ignored: each has a test in which another value gives another result.

A setting without an entry here fails, and so does an entry whose test is gone or does not speak of it."""

import ast
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from anyscene.capability import synthesise_classes
from anyscene.learning import train
from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.project import device, layout, parameters
from anyscene.project.freshness import Freshness
from anyscene.project.parameters import OBJECTIVES
from anyscene.segmenters.entry import device_of
from tests.builders import REPOSITORY, miniature
from tests.builders.nested import leaves

READER = "datasets/test_datasets.py::test_parameters_reach_the_reader"
READERS = "datasets/test_datasets.py::test_keys_of_a_reader_reach_it"
CLOUD = "datasets/test_datasets.py::test_how_clouds_are_made_from_depth_reaches_the_reader"
WORLD = "anyscene_demo/test_world.py::test_every_setting_reaches_the_rooms"
SUPERPOINTS = "stages/test_fusion.py::test_superpoints"
DRAWN = "capability/test_synthesis.py::test_every_setting_changes_what_is_drawn"
SYNTHESIS = "capability/test_synthesise_classes.py::test_every_setting_of_the_stage_reaches_what_it_writes"
FUSION = "stages/test_fusion.py::test_every_setting_of_fusion_changes_what_is_written"
PROJECTION = "stages/test_fusion.py::test_every_setting_of_projection_changes_what_is_written"
MEASURED = "study/test_evaluation.py::test_every_setting_changes_what_is_measured"
NETWORK = "project/test_keys.py::test_a_training_begins_again_with_another_network"
RECIPE = "learning/test_objective.py::test_every_key_of_a_recipe_changes_what_is_learnt"
OBJECTIVE = "learning/test_objective.py::test_every_setting_of_an_objective_changes_what_is_learnt"
SEES = {  # a setting -> the test that would fail if it were ignored
    **dict.fromkeys(("dataset.name", "dataset.reader", "dataset.root"), READER),
    **dict.fromkeys(("dataset.label_set", "dataset.scannet.axis_alignment"), READERS),
    "dataset.scannet.intrinsics": READERS,
    **dict.fromkeys(("dataset.matterport.region_frames", "dataset.nuscenes.sweep_seconds"), READERS),
    **{f"world.{key}": WORLD for key in ("seed", "train_rooms", "val_rooms", "views", "width", "height")},
    "text.encoder": "text/test_text.py::test_unusable_encoder_says_what_to_do",
    "text.template": "stages/test_fusion.py::test_classes_are_encoded_in_the_template",
    "vocabulary": "stages/test_fusion.py::test_texts_are_part_of_the_keys",
    "segmenters.names": "stages/test_three_models.py::test_three_models",
    "segmenters.weights": "segmenters/test_segmenters.py::test_missing_weights_are_said_with_the_remedy",
    "segmenters.batch": "stages/test_fusion.py::test_frames_are_shown_so_many_at_a_time",
    "segmenters.precision": (
        "segmenters/test_protocol.py::test_half_precision_computes_with_halves_and_answers_in_single"
    ),
    "evaluation.label_sets": "study/test_evaluation.py::test_rows_are_scored_by_other_label_sets",
    "segmenters.nouns": "segmenters/test_templates.py::test_captions_say_what_the_setting_says",
    "segmenters.captioner": "segmenters/test_segmenters.py::test_modules_and_weights_follow_the_captioner",
    **dict.fromkeys(
        ("segmenters.lseg.base", "segmenters.lseg.crop"),
        "segmenters/lseg/test_segmenter.py::test_features_equal_a_slow_reading_of_the_protocol",
    ),
    "segmenters.maskclip.base": (
        "segmenters/maskclip/test_segmenter.py::test_grid_keeps_the_shape_of_the_image"
    ),
    **{
        f"segmenters.seem.{key}": f"segmenters/seem/test_segmenter.py::{test}"
        for key, test in (
            ("side", "test_the_shorter_side_is_that_of_the_settings"),
            ("nouns", "test_nouns_are_those_of_pixels_or_of_masks"),
        )
    },
    "scenes.frame_stride": READER,
    **dict.fromkeys(("scenes.voxel", "scenes.farthest"), CLOUD),
    "scenes.contradictions": (
        "stages/test_scenes.py::test_a_scene_that_contradicts_itself_is_refused_and_stops_no_other"
    ),
    **{f"superpoints.{key}": SUPERPOINTS for key in ("method", "min_vertices", "neighbours", "k")},
    "projection.store": "stages/test_fusion.py::test_features_by_axes_are_read_as_others_are",
    **{f"projection.{key}": PROJECTION for key in ("width", "height", "tolerance", "border")},
    "projection.resize": "stages/test_fusion.py::test_frames_are_resized_as_the_setting_says",
    **dict.fromkeys(
        (f"synthesis.{key}" for key in ("prompt", "steps", "guidance", "guidance_rescale")), DRAWN
    ),
    **dict.fromkeys((f"synthesis.{key}" for key in ("attention_recipe", "attention_layers")), DRAWN),
    **{
        f"synthesis.{key}": SYNTHESIS for key in ("images", "seed", "attention_threshold", "diffusion", "sam")
    },
    **dict.fromkeys(
        ("synthesis.point_recipe", "synthesis.sam_channels"),
        "capability/test_synthesise_classes.py::test_what_sam_is_shown_follows_the_settings",
    ),
    "synthesis.batch": ("capability/test_synthesis.py::test_the_number_at_a_time_is_that_of_a_gpu_alone"),
    "capability.pooled": "capability/test_measure.py::test_stage_takes_the_recipe_that_is_asked_for",
    "capability.other": "stages/test_fusion.py::test_the_other_class_keeps_the_feature_of_the_first_model",
    **{f"fusion.{key}": FUSION for key in ("method", "tau", "normalise")},
    "fusion.point_features": "stages/test_fusion.py::test_without_point_features_the_rest_is_the_same",
    **{f"network.{key}": NETWORK for key in ("variant", "width", "voxel", "input", "precision", "bias")},
    "network.backend": "networks/test_minkunet.py::test_auto_takes_the_torch_backend",
    "augmentation.turn": "learning/views/test_augmentation.py::test_quarter_turns_keep_walls_along_the_axes",
    "augmentation.elastic": (
        "learning/views/test_augmentation.py::test_elastic_distortion_moves_neighbours_together"
    ),
    "augmentation.mirror": "learning/views/test_augmentation.py::test_mirrors_are_those_of_the_released_code",
    "augmentation.shift": "learning/views/test_augmentation.py::test_a_shift_moves_all_voxels_alike",
    "augmentation.enabled": "learning/views/test_augmentation.py::test_without_augmentation_nothing_moves",
    "training.*.kind": "stages/test_training.py::test_networks_are_written_with_their_curves",
    "training.*.title": "stages/test_training.py::test_networks_are_written_with_their_curves",
    "training.*.from": "stages/test_training.py::test_training_goes_on_from_given_weights",
    **dict.fromkeys(
        ("training.*.target", "training.*.beside"),
        "stages/test_training.py::test_a_supervised_objective_may_learn_from_fused_features_too",
    ),
    **{f"training.*.{field.name}": RECIPE for field in dataclasses.fields(parameters.Recipe)},
    **{
        f"training.*.{key}": OBJECTIVE
        for key in (
            *("points_per_scene", "points_per_process", "superpoint_mean", "align"),
            *("start", "loss", "momentum", "temperature", "balance"),
        )
    },
    **{f"evaluation.{key}": MEASURED for key in ("turns", "unpredicted", "bootstrap", "seed", "shuffles")},
    "evaluation.controls": (
        "study/test_evaluation.py::test_without_controls_the_other_rows_are_the_same_and_no_2d_model_is_asked"
    ),
    "evaluation.split": "study/test_evaluation.py::test_only_scenes_of_the_split_are_measured",
    "report.scenes": (
        "show/report/test_page.py::test_a_hundred_scenes_stay_below_twenty_megabytes_and_it_says_so"
    ),
    "runtime.workers": "project/test_per_scene.py::test_workers_share_the_cores",
    "runtime.device": "project/test_device.py::test_a_gpu_must_be_there",
    "runtime.device_memory_gib": (
        "project/test_settings.py::test_the_memory_of_a_gpu_reaches_whoever_takes_one"
    ),
    "runtime.memory_gib": "stages/test_fusion.py::test_memory_decides_on_blocks_but_not_on_bytes",
    "runtime.checkpoint_seconds": "project/test_settings.py::test_the_time_between_checkpoints_reaches_them",
    "runtime.failures": "stages/test_fusion.py::test_a_scan_that_may_fail_is_left_out_of_what_follows",
}


def settings() -> set[str]:
    """Every key of params.yaml, and those of the sections that entries declare. All entries of `training`
    have keys of the same meaning."""
    values = parameters.read(REPOSITORY / "params.yaml")
    found = {".".join(keys) for keys, _ in leaves(values)}
    found = {f"training.*.{key.split('.')[2]}" if key.startswith("training.") else key for key in found}
    for section, entries in (
        ("dataset", parameters.Dataset.ENTRIES),
        ("segmenters", parameters.Segmenters.ENTRIES),
        ("evaluation", parameters.Evaluation.ENTRIES),
    ):
        for name in entries.names():
            kind = getattr(entries.get(name), "settings", None)
            if kind is not None:
                found |= {f"{section}.{name}.{field.name}" for field in dataclasses.fields(kind)}
    for kind in OBJECTIVES.names():
        found |= {f"training.*.{field.name}" for field in dataclasses.fields(OBJECTIVES.get(kind).settings)}
    return found


@functools.cache
def what_tests_say(file: Path) -> dict[str, str]:
    """What each test of a file says, with its decorators and the fixtures that it takes from this file."""
    source = file.read_text()
    tree, lines = ast.parse(source), source.encode().splitlines(keepends=True)
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    def text(node: ast.stmt | ast.expr) -> str:
        """As ast.get_source_segment has it, which takes the whole file apart each time."""
        assert node.end_lineno is not None and node.end_col_offset is not None
        *before, last = lines[node.lineno - 1 : node.end_lineno]
        return b"".join([*before, last[: node.end_col_offset]])[node.col_offset :].decode()

    def said(name: str, seen: tuple[str, ...] = ()) -> Iterator[str]:
        if name in functions and name not in seen:
            node = functions[name]
            for part in (node, *node.decorator_list):
                yield text(part)
            used = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            for other in (*(each.arg for each in node.args.args), *used):
                yield from said(other, (*seen, name))

    constants = "\n".join(text(node) for node in tree.body if isinstance(node, ast.Assign))
    return {name: "\n".join((*said(name), constants)) for name in functions if name.startswith("test_")}


def test_every_setting_has_a_test_that_sees_it():
    assert settings() == SEES.keys()


@pytest.mark.parametrize("key", SEES)
def test_the_test_of_a_setting_is_there_and_speaks_of_it(key):
    path, _, name = SEES[key].partition("::")
    said = what_tests_say(REPOSITORY / "tests" / path)
    assert name in said
    assert key.rpartition(".")[2] in said[name] or "fields(" in said[name]


class Stop(Exception):
    pass


def stop(*given):
    raise Stop(*given)


def test_the_memory_of_a_gpu_reaches_whoever_takes_one(rooms, tmp_path, monkeypatch):
    miniature.copy(rooms, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    values = parameters.read("params.yaml")
    values["runtime"] |= {"device": "cuda:1", "device_memory_gib": 7.5}
    params = parameters.parse(values, "here")
    for module in (synthesise_classes, device):
        monkeypatch.setattr(module, "choose_device", stop)
    monkeypatch.setattr(train, "joined", stop)
    for take in (
        lambda: synthesise_classes.synthesise_classes(params, Freshness("code")),
        lambda: train.train_network("distilled", params, layout.Artefacts(), Freshness("code")),
        lambda: device_of(params),
    ):
        with pytest.raises(Stop) as stopped:
            take()
        assert stopped.value.args == ("cuda:1", 7.5)


def test_the_time_between_checkpoints_reaches_them(rooms, tmp_path, monkeypatch):
    miniature.copy(rooms, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    values = parameters.read("params.yaml")
    values["runtime"] |= {"checkpoint_seconds": 7.5, "device": "cpu"}
    values["network"] |= {"variant": "14A", "width": 0.25}
    values["training"]["distilled"] |= {"from": parameters.RANDOM, "batch_norm": "own"}

    monkeypatch.setattr(Checkpoints, "__init__", lambda self, folder, seconds, **made: stop(seconds))
    with pytest.raises(Stop) as stopped:
        train.train_network(
            "distilled", parameters.parse(values, "here"), layout.Artefacts(), Freshness("code")
        )
    assert stopped.value.args == (7.5,)
