import re

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from anyscene.fusion import UNSEEN, FusionError, fuse, fuse_blocks, superpoint_means
from tests.twins import released_code

METHODS = ["capability", "add", "linear", "max"]


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def problem(seed, models=2, points=40, classes=5, width=8):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(models, points, width)),
        rng.random((models, points)) < 0.7,
        rng.random((models, classes)),
        unit(rng.normal(size=(classes, width))),
    )


def twin(features, valid, capability, text, tau=0.05, normalise=True, method="capability"):
    """Method.md §5, one point at a time."""
    models, points, width = features.shape
    feature, weight = np.zeros((points, width)), np.zeros((points, models))
    prediction = np.full((points, models), UNSEEN)
    for i in range(points):
        present = [m for m in range(models) if valid[m, i]]
        if not present:
            continue
        cosine = {m: [unit(features[m, i]) @ t for t in text] for m in present}
        for m in present:
            prediction[i, m] = np.argmax(cosine[m])
        if method == "capability":
            s = {m: np.mean([capability[m, prediction[i, n]] for n in present]) for m in present}
            if normalise:
                s = {m: s[m] / sum(s.values()) for m in present}
            w = {m: np.exp(s[m] / tau) for m in present}
        elif method == "linear":
            w = {m: max(0.0, *cosine[m]) for m in present}
            w = w if any(w.values()) else dict.fromkeys(present, 1.0)
        elif method == "max":
            w = {m: float(m == max(present, key=lambda n: max(cosine[n]))) for m in present}
        else:
            w = dict.fromkeys(present, 1.0)
        for m in present:
            weight[i, m] = w[m] / sum(w.values())
            feature[i] += weight[i, m] * features[m, i]
    return feature, valid.any(0), weight, prediction


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 3]), st.sampled_from(METHODS), st.booleans())
def test_equals_twin(seed, models, method, normalise):
    given = problem(seed, models)
    fused = fuse(*given, method=method, normalise=normalise)
    for found, expected in zip(fused, twin(*given, method=method, normalise=normalise), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("normalise, expected", [(True, (0.7413, 0.2587)), (False, (0.6225, 0.3775))])
def test_worked_check(normalise, expected):
    # Both models' features; the first says class 0, the second class 1: capabilities sum to .50 and .45.
    features = np.array([[[1.0, 0]], [[0, 1.0]]])
    capability = np.array([[0.3, 0.2], [0.15, 0.3]])
    fused = fuse(features, np.ones((2, 1), bool), capability, np.eye(2), tau=0.05, normalise=normalise)
    np.testing.assert_allclose(fused.weight[0], expected, atol=1e-4)
    np.testing.assert_allclose(fused.feature[0], expected, atol=1e-4)
    assert fused.prediction.tolist() == [[0, 1]]


def test_other_is_worked_by_hand():
    """Classes 0 and 1, and the other. The first point is other for the first model, the second for the
    second, the third for neither; of the fourth the first model has no feature, of the fifth the second."""
    text = np.eye(3)
    first, second = text[[2, 0, 0, 2, 2]], text[[1, 2, 1, 0, 0]]
    valid = np.array([[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]], bool)
    capability = np.array([[0.6, 0.2], [0.3, 0.4]])
    fused = fuse([first, second], valid, capability, text[:2], tau=0.5, other=text[2])
    odds = np.exp([0.0, (0.6 - 0.3) / 0.9 / 0.5, (0.8 - 0.7) / 1.5 / 0.5])
    share = odds / (1 + odds)
    weight = [[1, 0], [share[1], 1 - share[1]], [share[2], 1 - share[2]], [0, 1], [1, 0]]
    np.testing.assert_allclose(fused.weight, weight, atol=1e-12)
    np.testing.assert_allclose(fused.feature[0], text[2], atol=1e-12)
    assert fused.prediction.tolist() == [[2, 1], [0, 2], [0, 1], [UNSEEN, 0], [2, UNSEEN]]
    plain = fuse([first, second], valid, capability, text[:2], tau=0.5)
    assert not np.allclose(plain.weight[0], [1, 0])
    for method in METHODS[1:]:
        one = fuse([first, second], valid, capability, text[:2], method=method)
        other = fuse([first, second], valid, capability, text[:2], method=method, other=text[2])
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_other_is_that_of_the_released_code():
    rng = np.random.default_rng(2)
    text, capability = unit(rng.normal(size=(21, 16))), np.insert(rng.random((2, 20)), 19, 0.0, axis=1)
    names, true = np.arange(21) != 19, rng.integers(0, 21, 300)
    lseg, seem = (unit(text[true] + 0.2 * rng.normal(size=(300, 16))) for _ in range(2))
    feature, weight = released_code.fused(lseg, seem, text, capability, 19)
    fused = fuse([lseg, seem], np.ones((2, 300), bool), capability[:, names], text[names], other=text[19])
    np.testing.assert_allclose(fused.feature, feature, atol=1e-5)
    np.testing.assert_allclose(fused.weight, weight, atol=1e-5)
    assert 5 < (weight == [1, 0]).all(1).sum() < 100


def test_other_of_another_width_is_refused():
    features, valid, capability, text = problem(0)
    with pytest.raises(FusionError, match=r"other is \[3\] for features of width 8"):
        fuse(features, valid, capability, text, other=np.ones(3))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_weights_sum_to_one_where_valid_and_a_lone_model_keeps_its_feature(seed, method):
    features, valid, capability, text = problem(seed, 3)
    features[~valid] = np.nan  # never read
    fused = fuse(features, valid, capability, text, method=method)
    np.testing.assert_allclose(fused.weight.sum(1), valid.any(0), atol=1e-12)
    assert (fused.weight.T[~valid] == 0).all() and (fused.feature[~valid.any(0)] == 0).all()
    assert ((fused.prediction.T == UNSEEN) == ~valid).all()
    alone = valid.sum(0) == 1
    assert (fused.feature[alone] == features[valid.argmax(0)[alone], alone.nonzero()[0]]).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_follows_permutations_of_points_and_of_models(seed, method):
    features, valid, capability, text = problem(seed, 3)
    order, models = np.random.default_rng(seed).permutation(40), [2, 0, 1]
    plain = fuse(features, valid, capability, text, method=method)
    points = fuse(features[:, order], valid[:, order], capability, text, method=method)
    for a, b in zip(points, plain, strict=True):
        np.testing.assert_allclose(a, b[order], atol=1e-12)
    swapped = fuse(features[models], valid[models], capability[models], text, method=method)
    np.testing.assert_allclose(swapped.feature, plain.feature, atol=1e-12)
    np.testing.assert_allclose(swapped.weight, plain.weight[:, models], atol=1e-12)


@pytest.mark.parametrize("normalise", [True, False])
def test_tau_towards_zero_picks_the_most_capable_and_towards_infinity_averages(normalise):
    features, valid, capability, text = problem(5, 3)
    sharp = fuse(features, valid, capability, text, tau=1e-12, normalise=normalise).weight
    default = fuse(features, valid, capability, text, normalise=normalise).weight
    some = valid.any(0)
    assert (sharp.max(1)[some] == 1).all() and (sharp.argmax(1) == default.argmax(1)).all()
    flat = fuse(features, valid, capability, text, tau=1e12, normalise=normalise).weight
    np.testing.assert_allclose(flat[some], (valid / np.maximum(valid.sum(0), 1)).T[some])


def test_zero_capability_everywhere_averages():
    features, valid, capability, text = problem(6)
    fused = fuse(features, valid, 0 * capability, text)
    added = fuse(features, valid, capability, text, method="add")
    np.testing.assert_allclose(fused.weight, added.weight)


def test_an_absent_model_has_no_say_in_the_classes_by_which_others_are_judged():
    # Model 2 would say class 1, where model 0 is poor; it is absent, so model 0 wins on class 0.
    features = np.array([[[1.0, 0.1]], [[1.0, 0.2]], [[0, 1.0]]])
    capability = np.array([[0.9, 0.0], [0.1, 0.9], [0.0, 0.9]])
    weight = fuse(features, np.array([[True], [True], [False]]), capability, np.eye(2)).weight[0]
    assert weight[0] > 0.99 and weight[2] == 0


@pytest.mark.parametrize("method", METHODS)
def test_arrays_tensors_halves_and_stored_arrays_agree(method, tmp_path):
    features, valid, capability, text = problem(7)
    features = features.astype(np.float16)
    fused = fuse(features, valid, capability, text, method=method)
    assert [part.dtype for part in fused] == [np.float32, bool, np.float32, np.uint8]
    tensors = fuse(*map(torch.from_numpy, (features, valid, capability, text)), method=method)
    stored = [zarr.create_array(tmp_path / str(m), data=f, chunks=(7, 8)) for m, f in enumerate(features)]
    blocks = list(fuse_blocks(stored, valid, capability, text, method=method, rows=11))
    assert len(blocks) == 4
    joined = [torch.cat(parts) for parts in zip(*blocks, strict=True)]
    for expected, tensor, block in zip(fused, tensors, joined, strict=True):
        assert isinstance(tensor, torch.Tensor)
        np.testing.assert_allclose(tensor.numpy(), expected, rtol=1e-6)
        np.testing.assert_allclose(block.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_no_points_give_empty_results():
    features, valid, capability, text = problem(0, points=0)
    fused = fuse(features, valid, capability, text)
    assert fused.feature.shape == (0, 8) and fused.weight.shape == (0, 2) and fused.valid.shape == (0,)


def test_what_does_not_fit_is_an_error():
    features, valid, capability, text = problem(0)
    with pytest.raises(FusionError, match="as many rows of `valid`"):
        fuse(features, valid[:1], capability, text)
    with pytest.raises(FusionError, match=r"capability is \[2, 4\]"):
        fuse(features, valid, capability[:, :4], text)
    for tau in (0, 1e-46, 1e-30, 1e30, np.nan):
        with pytest.raises(
            FusionError, match=rf"tau = {re.escape(str(tau))}: it must be 1e-12 to .*towards 0 the most cap"
        ):
            fuse(features, valid, capability, text, tau=tau)
    with pytest.raises(FusionError, match=r"fusion\.method 'best': expected capability, add"):
        fuse(features, valid, capability, text, method="best")
    many = np.ones((256, 8))
    with pytest.raises(FusionError, match="256 classes: at most 255 fit into a prediction's byte"):
        fuse(features, valid, np.ones((2, 256)), many)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_superpoint_means_are_over_valid_points_only(seed):
    rng = np.random.default_rng(seed)
    feature, valid = rng.normal(size=(50, 4)).astype(np.float32), rng.random(50) < 0.4
    superpoint = np.concatenate([np.arange(12), rng.integers(0, 12, 38)]).astype(np.int32)
    feature[~valid] = np.nan
    mean, has = superpoint_means(feature, valid, superpoint)
    for i in range(12):
        mine = feature[valid & (superpoint == i)]
        assert has[i] == (len(mine) > 0)
        np.testing.assert_allclose(mean[i], mine.mean(0) if len(mine) else np.zeros(4), atol=1e-6)
