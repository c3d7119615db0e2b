"""Superpoints of one thing are joined and ranked."""

import numpy as np
import pytest

from anyscene.tasks.features import Features
from anyscene.tasks.query import groups, similarity
from anyscene.tasks.query.index import Index
from anyscene.text.glosses import Vocabulary


def test_superpoints_touch_along_edges_of_the_mesh():
    superpoint = np.array([0, 0, 1, 2, 2, 3])
    face = np.array([[0, 1, 2], [3, 4, 2], [0, 3, 5]])
    assert groups.touching(superpoint, np.zeros((6, 3)), face).tolist() == [
        [0, 1],
        [0, 2],
        [0, 3],
        [1, 2],
        [2, 3],
    ]


def test_without_a_mesh_they_touch_where_points_are_near():
    xyz = np.array([[x, y, 0] for x in (0, 1, 2, 20, 21, 22) for y in (0, 1)], np.float32)
    superpoint = np.repeat([0, 1, 2, 3], 3)
    pairs = groups.touching(superpoint, xyz, np.zeros((0, 3), np.int32)).tolist()
    assert [0, 1] in pairs and [2, 3] in pairs
    alone = groups.touching(np.array([0]), xyz[:1], np.zeros((0, 3), np.int32))
    assert alone.shape == (0, 2)


def test_they_touch_where_vertices_share_a_place():
    square = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], np.float32)
    face = np.array([[0, 1, 2], [1, 3, 2]])
    soup, apart = square[face.ravel()], np.arange(6).reshape(2, 3)
    assert groups.touching(np.repeat([0, 1], 3), soup, apart).tolist() == [[0, 1]]
    far = soup + np.repeat([[0, 0, 0], [9, 0, 0]], 3, 0)
    assert groups.touching(np.repeat([0, 1], 3), far, apart).tolist() == []


def test_points_that_are_there_many_times_touch_their_neighbours():
    xyz = np.repeat(np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], np.float32), 20, 0)
    pairs = groups.touching(np.repeat([0, 1, 2], 20), xyz, np.zeros((0, 3), np.int32)).tolist()
    assert [0, 1] in pairs and [1, 2] in pairs


def test_those_that_touch_and_show_the_same_class_are_one():
    superpoint = np.array([0, 0, 1, 2, 3, 4])
    feature = np.array([[0.9, 0.1], [0.2, 0.3], [0.6, 0.5], [0.1, 0.7], [0.8, 0.2], [0, 0]], np.float32)
    valid = np.array([True, True, True, True, True, False])
    classes = Vocabulary(("bed", "door"), (None, None), *np.eye(2, dtype=np.float32)[None].repeat(2, 0))
    features = Features("made", "made", feature, None, valid)
    shown = Index.of(features, superpoint, classes, np.arange(0)).shows
    assert shown.tolist() == [0, 0, 1, 0, -1]
    pair = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4]])
    group = groups.objects(shown, pair)
    assert group[0] == group[1] and len(set(group.tolist())) == 4  # 3 is as 0, but apart; 4 shows nothing


def test_area_of_a_mesh_is_that_of_its_triangles(monkeypatch):
    monkeypatch.setattr(groups, "FACES", 2)
    corner = [[0, 0, 0], [2, 0, 0], [0, 2, 0], [0, 0, 6], [9, 9, 9], [9, 9, 8]]
    xyz, superpoint = np.array(corner, np.float32), np.array([0, 0, 1, 2, 1, 3])
    face = np.array([[0, 1, 2], [0, 1, 3], [0, 1, 2]])  # of 2, 6 and 2 square metres
    assert groups.areas(superpoint, xyz, face) == pytest.approx([20 / 3, 4 / 3, 2, 0])


@pytest.mark.parametrize("apart", [0.25, 0.0625])
def test_area_without_a_mesh_is_that_of_cells_whatever_the_density(apart, monkeypatch):
    monkeypatch.setattr(groups, "VOXEL", 0.25)
    side = np.arange(0, 1, apart)
    wall = np.stack(np.meshgrid([5000.0], side, side, indexing="ij"), -1).reshape(-1, 3)
    floor = np.stack(np.meshgrid(5002 + side, side, [-8.0], indexing="ij"), -1).reshape(-1, 3)
    floor = np.repeat(floor[floor[:, 0] < 5002.5], 2, axis=0)  # every point twice
    superpoint = np.repeat([0, 1, 2], [len(wall) // 2, len(wall) // 2, len(floor)])
    none = np.zeros((0, 3), np.int32)
    assert groups.areas(superpoint, np.concatenate([wall, floor]), none).tolist() == [0.5, 0.5, 0.5]
    superpoint[: len(wall) : 2] = 3  # mixed: the cells are shared
    shared = [0.25, 0.25, 0.5, 0.5]
    assert groups.areas(superpoint, np.concatenate([wall, floor]), none) == pytest.approx(shared)
    assert groups.areas(superpoint[:0], wall[:0], none).shape == (0,)


def test_score_centre_and_extent_are_those_of_a_groups_points():
    score = np.array([0.9, 0.1, 0.6, 0.6, np.nan, np.nan, 0.2], np.float32)
    superpoint, group = np.array([0, 0, 1, 1, 2, 1, 3]), np.array([0, 1, 2, 0])
    xyz, area = np.arange(21, dtype=np.float32).reshape(7, 3), np.array([1.0, 5, 9, 2])
    nothing = np.zeros(7, bool)
    scored = *groups.by_superpoint(score, nothing, superpoint, 4), similarity.deviation(score)
    found = groups.ranked(*scored, superpoint, group, area, xyz, 5)
    assert [match.superpoints for match in found] == [(1,), (0, 3)]  # 2 has no feature at all
    assert found[0].score == pytest.approx(0.6) and (found[0].points, found[0].area) == (3, 5)
    assert found[1].score == pytest.approx(0.4) and (found[1].points, found[1].area) == (3, 3)
    assert found[1].centre == (7, 8, 9) and found[1].extent == (18, 18, 18)
    first = groups.ranked(*scored, superpoint, group, area, xyz, 1)
    assert first == found[:1] and groups.ranked(*scored, superpoint, group, area, xyz, 0) == []


def test_order_is_by_the_mean_less_its_standard_error():
    """Scores 0 and 1, half of each: a deviation of 0.5, so 0.5 less for LOOK of area, 0.25 for four times."""
    score = np.array([1, 1, 1, 0, 1, 0, 0, 0], float)
    superpoint, xyz = np.array([0, 0, 1, 1, 2, 3, 3, 3]), np.zeros((8, 3))
    group, nothing = np.arange(4), np.zeros(8, bool)

    def order(*looks):
        area = groups.LOOK * np.array(looks)
        scored = *groups.by_superpoint(score, nothing, superpoint, 4), similarity.deviation(score)
        found = groups.ranked(*scored, superpoint, group, area, xyz, 9)
        assert [match.score for match in found] == [[1, 0.5, 1, 0][match.superpoints[0]] for match in found]
        return [match.superpoints[0] for match in found]

    assert order(1, 1e6, 4, 1) == [2, 0, 1, 3]  # 0.75, 0.5, 0.4995, -0.5
    assert order(0.99, 1e6, 4, 1) == [2, 1, 0, 3]  # the first has 0.4975
    assert order(0.7, 16, 4, 1) == [2, 0, 1, 3]  # 0.75, 0.402, 0.375: by the root of the area
    assert order(0, 1, 0, 1) == [1, 3, 0, 2]  # what has no area is last
    score[0] = np.nan  # half of the first has none, and the area of that does not count; the deviation: 0.495
    assert order(2, 1e6, 4, 1) == [2, 0, 1, 3]
    assert order(1.9, 1e6, 4, 1) == [2, 1, 0, 3]


def test_groups_half_left_out_are_not_ranked():
    score, superpoint = np.array([0.9, 0.8, 0.7, 0.6, 0.5, np.nan], np.float32), np.array([0, 0, 1, 1, 1, 1])
    xyz, group = np.zeros((6, 3)), np.array([0, 1])
    left_out = np.array([True, False, True, False, False, True])  # of 1 a third, and one without a score
    mean, count, out = groups.by_superpoint(score, left_out, superpoint, 3)
    assert mean[:2] == pytest.approx([0.85, 0.6]) and np.isnan(mean[2])
    assert count.tolist() == [2, 3, 0] and out == pytest.approx([0.5, 1 / 3, 0])
    found = groups.ranked(mean[:2], count[:2], out[:2], 0.1, superpoint, group, np.ones(2), xyz, 5)
    assert [match.superpoints for match in found] == [(1,)] and found[0].score == pytest.approx(0.6)


def test_what_rounds_to_nothing_has_no_sign():
    assert groups.decimals((-0.004, 1.256, -0.3), 2) == "0.00 1.26 -0.30"
    assert groups.decimals((-0.04,), 1) == "0.0"
