"""Superpoints of one thing are joined and ranked."""

import numpy as np
import pytest

from pipeline.evaluation import groups


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


def test_those_that_touch_and_show_the_same_class_are_one():
    superpoint = np.array([0, 0, 1, 2, 3, 4])
    known = np.array([[0.9, 0.1], [0.2, 0.3], [0.6, 0.5], [0.1, 0.7], [0.8, 0.2], [np.nan, np.nan]])
    pair = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [0, 4]])
    shown = groups.classes(known, superpoint)
    assert shown.tolist() == [0, 0, 1, 0, -1]
    group = groups.objects(shown, pair)
    assert group[0] == group[1] and len(set(group.tolist())) == 4  # 3 is as 0, but apart; 4 shows nothing


def test_groups_are_ranked_by_the_mean_over_their_points():
    score = np.array([0.9, 0.1, 0.6, 0.6, np.nan, np.nan, 0.2], np.float32)
    superpoint, group = np.array([0, 0, 1, 1, 2, 1, 3]), np.array([0, 1, 2, 0])
    xyz = np.arange(21, dtype=np.float32).reshape(7, 3)
    nothing = np.zeros(7, bool)
    scored = groups.by_superpoint(score, nothing, superpoint, 4)
    found = groups.ranked(*scored, superpoint, group, xyz, 5)
    assert [match.superpoints for match in found] == [(1,), (0, 3)]  # 2 has no feature at all
    assert found[0].score == pytest.approx(0.6) and found[0].points == 3
    assert found[1].score == pytest.approx(0.4) and found[1].points == 3
    assert found[1].centre == (7, 8, 9) and found[1].extent == (18, 18, 18)
    first = groups.ranked(*scored, superpoint, group, xyz, 1)
    assert [match.superpoints for match in first] == [(1,)]


def test_groups_half_left_out_are_not_ranked():
    score, superpoint = np.array([0.9, 0.8, 0.7, 0.6, 0.5, np.nan], np.float32), np.array([0, 0, 1, 1, 1, 1])
    xyz, group = np.zeros((6, 3)), np.array([0, 1])
    left_out = np.array([True, False, True, False, False, True])  # of 1 a third, and one without a score
    mean, count, out = groups.by_superpoint(score, left_out, superpoint, 3)
    assert mean[:2] == pytest.approx([0.85, 0.6]) and np.isnan(mean[2])
    assert count.tolist() == [2, 3, 0] and out == pytest.approx([0.5, 1 / 3, 0])
    found = groups.ranked(mean[:2], count[:2], out[:2], superpoint, group, xyz, 5)
    assert [match.superpoints for match in found] == [(1,)] and found[0].score == pytest.approx(0.6)


def test_what_rounds_to_nothing_has_no_sign():
    assert groups.decimals((-0.004, 1.256, -0.3), 2) == "0.00 1.26 -0.30"
    assert groups.decimals((-0.04,), 1) == "0.0"
