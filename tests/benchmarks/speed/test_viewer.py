from __future__ import annotations

import numpy as np
import pytest

from anyscene.datasets import ply
from benchmarks.speed import viewer
from tests.builders.capture import grid

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("points", [37, 60, 121, 500])
def test_a_mesh_is_made_finer_and_keeps_its_shape_and_annotation(tmp_path, points):
    xyz, face = grid(6)
    label = (xyz[:, 0] > 0.5).astype(np.int16)
    (tmp_path / "truth").mkdir()
    np.save(tmp_path / "truth/vertex_label.npy", label)
    ply.write_mesh(tmp_path / "mesh.ply", xyz, np.repeat((255 * xyz[:, :1]).astype(np.uint8), 3, 1), face)
    viewer.finer(tmp_path, points)
    fine, rgb, normal, faces = ply.read_mesh(tmp_path / "mesh.ply")
    assert points <= len(fine) <= max(1.5 * points, 40)
    np.testing.assert_array_equal(fine[: len(xyz)], xyz)
    assert (fine[:, 1] == 2).all() and (np.abs(normal[:, 1]) > 0.999).all()
    corner = fine[faces].astype(np.float64)
    area = (
        np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1).sum() / 2
    )
    assert area == pytest.approx(1)
    np.testing.assert_allclose(rgb[:, 0], 255 * fine[:, 0], atol=2)
    found = np.load(tmp_path / "truth/vertex_label.npy")
    clear = np.abs(fine[:, 0] - 0.5) > 0.11
    np.testing.assert_array_equal(found[clear], fine[clear, 0] > 0.5)
