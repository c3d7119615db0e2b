"""What a reader of raw scans must satisfy: `anyscene.datasets.Dataset`."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from anyscene.datasets import Dataset
from anyscene.errors import PipelineError
from anyscene.scene import Frame, Scene


class ReaderTests:
    """Tests of a reader. The fixture `dataset` returns the reader, open on a few small scans.

        class TestMine(ReaderTests):
            @pytest.fixture
            def dataset(self, tmp_path):
                write_scans(tmp_path)
                return MyScans(tmp_path)

    At least one scene must be whole, and one annotated. Scans may be made up, but cameras must look at
    points.
    """

    @pytest.fixture
    def dataset(self) -> Dataset:
        """The data set to test."""
        raise pytest.UsageError("give the fixture `dataset` in the class that derives from ReaderTests")

    @pytest.fixture
    def scenes(self, dataset: Dataset) -> list[Scene]:
        """All scenes whose files are whole."""
        whole = [scene for scene, key in dataset.keys().items() if isinstance(key, str)]
        return [dataset.read(scene) for scene in whole]

    def test_is_a_dataset(self, dataset: Dataset) -> None:
        assert isinstance(dataset, Dataset)
        assert dataset.root.is_dir()

    def test_every_scene_has_a_split_and_a_key(self, dataset: Dataset) -> None:
        splits, keys = dataset.splits(), dataset.keys()
        assert splits and list(splits) == sorted(splits)
        assert all(isinstance(split, str) and split for split in splits.values())
        assert keys.keys() == splits.keys()
        assert all(isinstance(key, str | PipelineError) for key in keys.values())

    def test_keys_stay_while_nothing_changes(self, dataset: Dataset) -> None:
        again = pickle.loads(pickle.dumps(dataset))  # as it reaches other processes
        for first, second in ((dataset.keys(), again.keys()), (dataset.truth_keys(), again.truth_keys())):
            assert {s: k for s, k in first.items() if isinstance(k, str)} == {
                s: k for s, k in second.items() if isinstance(k, str)
            }

    def test_keys_differ_between_scenes(self, dataset: Dataset) -> None:
        keys = [key for key in dataset.keys().values() if isinstance(key, str)]
        assert len(set(keys)) == len(keys)

    def test_scenes_are_clouds_in_metres(self, dataset: Dataset, scenes: list[Scene]) -> None:
        assert scenes
        for scene in scenes:
            count = len(scene.xyz)
            assert count and scene.xyz.shape == scene.rgb.shape == scene.normal.shape == (count, 3)
            assert scene.xyz.dtype == np.float32 and scene.normal.dtype == np.float32
            assert scene.rgb.dtype == np.uint8 and scene.face.dtype == np.int32
            assert np.isfinite(scene.xyz).all() and np.isfinite(scene.normal).all()
            length = np.linalg.norm(scene.normal, axis=1)  # 0 where a mesh has no face
            assert (np.isclose(length, 1, atol=1e-3) | (length == 0)).all()
            assert scene.face.ndim == 2 and scene.face.shape[1] == 3
            assert not scene.face.size or (scene.face.min() >= 0 and scene.face.max() < count)
            assert scene.id in dataset.splits() and scene.split == dataset.splits()[scene.id]

    def test_scenes_know_the_way_back(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            assert scene.world.shape == (4, 4) and scene.world.dtype == np.float64
            assert np.isfinite(scene.world).all() and np.linalg.det(scene.world) > 0
            assert scene.world[3].tolist() == [0, 0, 0, 1]

    def test_frames_are_found_again_from_the_root(self, dataset: Dataset, scenes: list[Scene]) -> None:
        for scene in scenes:
            ids = [frame.id for frame in scene.frames]
            assert ids and len(set(ids)) == len(ids) and not set(ids) & {frame.id for frame in scene.lost}
            frame = scene.frames[0]
            again = Frame.from_attributes(frame.to_attributes(dataset.root), dataset.root)
            assert (again.id, again.color, again.depth) == (frame.id, frame.color, frame.depth)
            assert np.allclose(again.camera.pose, frame.camera.pose)

    def test_frames_are_images_with_depth_in_metres(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            for frame in scene.frames:
                image = frame.read_color()
                assert image.ndim == 3 and image.shape[2] == 3 and image.dtype == np.uint8
                depth = frame.read_depth()
                if depth is not None:
                    assert depth.ndim == 2 and depth.dtype == np.float32 and depth.min() >= 0
                    assert depth.shape == (frame.camera.height, frame.camera.width)

    def test_cameras_look_at_points(self, scenes: list[Scene]) -> None:
        for scene in scenes:
            assert any(frame.camera.looks_at(scene.xyz).any() for frame in scene.frames), scene.id

    def test_reading_again_gives_the_same(self, dataset: Dataset, scenes: list[Scene]) -> None:
        again = dataset.read(scenes[0].id)
        for name in ("xyz", "rgb", "normal", "face"):
            assert np.array_equal(getattr(again, name), getattr(scenes[0], name))
        assert [frame.id for frame in again.frames] == [frame.id for frame in scenes[0].frames]

    def test_annotation_is_of_the_points(self, dataset: Dataset) -> None:
        keys = dataset.truth_keys()
        annotated = [scene for scene, key in keys.items() if isinstance(key, str)]
        assert annotated and keys.keys() <= dataset.splits().keys()
        for scene in annotated:
            truth, count = dataset.read_truth(scene), len(dataset.read(scene).xyz)
            assert truth.label.shape == truth.instance.shape == (count,)
            assert truth.label.dtype == np.int16 and truth.instance.dtype == np.int32
            assert truth.label.min() >= -1 and truth.instance.min() >= -1
            assert truth.file.exists()

    def test_annotated_frames_are_bytes(self, dataset: Dataset, scenes: list[Scene]) -> None:
        for scene in scenes:
            truth = dataset.read_frame_truth(scene.id, scene.frames[0].id)
            assert truth is None or (truth.ndim == 2 and truth.dtype == np.uint8)

    def test_an_unknown_scene_is_said(self, dataset: Dataset) -> None:
        with pytest.raises(PipelineError):
            dataset.read("no-such-scene")
