"""All readers keep one protocol, on miniatures of their data sets."""

import pytest

from anyscene.datasets.matterport.reader import Matterport
from anyscene.datasets.nuscenes.reader import NuScenes
from anyscene.datasets.rgbd import Rgbd
from anyscene.datasets.scannet.reader import ScanNet
from anyscene.testing import ReaderTests
from tests.builders import capture, matterport, nuscenes, scannet


class TestRgbd(ReaderTests):
    @pytest.fixture
    def dataset(self, tmp_path):
        for seed, name in enumerate(("hall", "kitchen")):
            capture.write_scan(tmp_path, name, seed=seed)
        capture.write_splits(tmp_path, ["hall"], ["kitchen"])
        return Rgbd(tmp_path, "mine")


class TestRgbdWithoutMeshes(ReaderTests):
    @pytest.fixture
    def dataset(self, tmp_path):
        capture.write_scan(tmp_path, "bare", mesh=False, annotated=False)
        capture.write_scan(tmp_path, "kitchen", seed=1)
        return Rgbd(tmp_path, "mine", memory=tmp_path / "digests")


class TestScanNet(ReaderTests):
    @pytest.fixture
    def dataset(self, tmp_path):
        root = scannet.write_root(tmp_path, "scene0000_00", "scene0011_00", lost=(1,))
        return ScanNet(root, "scannet")


class TestMatterport(ReaderTests):
    @pytest.fixture
    def dataset(self, tmp_path):
        root = matterport.write_root(tmp_path / "matterport", "17DRP5sb8fy", "2t7WUuJeko7")
        return Matterport(root, "matterport")


class TestNuScenes(ReaderTests):
    @pytest.fixture
    def dataset(self, tmp_path):
        root = nuscenes.write_root(tmp_path / "nuscenes", "scene-0061", "scene-0103", keyframes=1)
        return NuScenes(root, "nuscenes")
