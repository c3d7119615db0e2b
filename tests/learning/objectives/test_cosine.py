from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

from anyscene.errors import ConfigError, DataError, StoreError
from anyscene.learning.engine.recent import Recent
from anyscene.learning.objectives.cosine import align, point_loss, sample, superpoint_loss, unit
from anyscene.networks import read_cloud
from anyscene.networks.batch import as_it_is, join
from anyscene.networks.minkunet import Convolution
from tests.builders import training_rooms

KINDS = ("superpoint", "pixel")


def identity(width, bias=None):
    """A last layer that passes its input on, so that phi can be written by hand."""
    layer = Convolution(width, width, size=1, bias=bias is not None)
    with torch.no_grad():
        layer.kernel.copy_(torch.eye(width))
        if bias is not None:
            layer.bias.copy_(torch.tensor([bias]))
    return layer


def means(terms):
    return {name: term.total / term.weight for name, term in terms.items()}


def test_superpoint_loss_by_hand():
    # superpoint 0: phi (1,0) and (0,1), target (1,0): cosines 1 and 0, of the mean (.5,.5) 1/sqrt 2
    # superpoint 2: one point, phi (0,2), target (0,1): cosine 1 both times; superpoint 1 does not occur
    hidden = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 2.0]])
    target = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    terms = means(superpoint_loss(hidden, identity(2), target, torch.tensor([0, 0, 2])))
    assert terms["point"].item() == pytest.approx(1 / 3)
    assert terms["superpoint"].item() == pytest.approx((1 - 0.5**0.5) / 2)


def test_point_loss_by_hand():
    # phi = hidden + (0, 1): (3,4) against (0,1): cosine .8; (1,0) against (0,-1): cosine 0
    hidden, target = torch.tensor([[3.0, 3.0], [1.0, -1.0]]), torch.tensor([[0.0, 1.0], [0.0, -1.0]])
    loss = means(point_loss(hidden, identity(2, [0.0, 1.0]), target))["point"]
    assert loss.item() == pytest.approx((0.2 + 1) / 2)


@pytest.mark.parametrize("bias", [True, False])
def test_losses_equal_those_of_features_written_out(bias):
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    final = Convolution(6, 20, size=1, bias=bias)
    hidden = torch.randn(300, 6, generator=generator, requires_grad=True)
    target = torch.nn.functional.normalize(torch.randn(40, 20, generator=generator), dim=1)
    owner = torch.randint(0, 40, (300,), generator=generator)
    with torch.no_grad():
        if bias:
            final.bias.normal_(generator=generator)

    phi = final(hidden)
    mean = torch.stack([phi[owner == s].mean(0) for s in range(40)])
    plain = {
        "point": (1 - cosine_similarity(phi, target[owner])).mean(),
        "superpoint": (1 - cosine_similarity(mean, target)).mean(),
    }
    terms = means(superpoint_loss(hidden, final, target, owner))
    for name in plain:
        assert terms[name].item() == pytest.approx(plain[name].item(), abs=1e-6)
    wanted = torch.autograd.grad(sum(plain.values()), [hidden, final.kernel])
    found = torch.autograd.grad(sum(terms.values()), [hidden, final.kernel])
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    pixel = means(point_loss(hidden, final, target[owner]))["point"]
    assert pixel.item() == pytest.approx(plain["point"].item(), abs=1e-6)


def test_a_batch_without_targets_costs_nothing():
    hidden = torch.ones(0, 3, requires_grad=True)
    final = identity(3)
    terms = superpoint_loss(hidden, final, torch.eye(3), torch.zeros(0, dtype=torch.long))
    terms |= {"pixel": point_loss(hidden, final, torch.zeros(0, 3))["point"]}
    assert [term.weight for term in terms.values()] == [0, 0, 0]
    loss = sum(term.total for term in terms.values())
    loss.backward()
    assert float(loss.detach()) == 0
    assert not final.kernel.grad.any()  # there is one: processes that train together wait for it


def test_points_and_superpoints_without_target_do_not_count(tmp_path):
    scenes, superpoints, fusion = training_rooms.write(tmp_path, [0])
    cloud = read_cloud(scenes, superpoints, "room0")
    scene = join([replace(as_it_is(cloud, 0.1, "geometry"), random=np.random.default_rng(0))])
    hidden = torch.randn(scene.maps.size(0), 4, generator=torch.Generator().manual_seed(0))
    first = scene.views[0].voxels.point
    torch.manual_seed(0)
    final = Convolution(4, training_rooms.WIDTH, size=1, bias=True)

    context = training_rooms.context(training_rooms.network(), fusion)
    objective = training_rooms.objective("superpoint", context, points_per_scene=10**6)
    target, valid = objective.features("room0")
    owner = cloud.superpoint[first]
    kept = np.flatnonzero(valid[owner])
    assert 0 < len(kept) < len(owner)
    phi = final(hidden[kept])
    plain = (1 - cosine_similarity(phi, unit(target[owner[kept]]))).mean()
    assert means(objective.terms(hidden, final, scene))["point"].item() == pytest.approx(
        plain.item(), abs=1e-6
    )

    objective = training_rooms.objective("pixel", context, points_per_scene=10**6)
    feature, valid = objective.features("room0")
    kept = np.flatnonzero(valid[first])
    plain = (1 - cosine_similarity(final(hidden[kept]), unit(feature[first[kept]]))).mean()
    assert means(objective.terms(hidden, final, scene))["point"].item() == pytest.approx(
        plain.item(), abs=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_of_no_points_is_refused(tmp_path, kind):
    context = training_rooms.context(training_rooms.network(), tmp_path)
    with pytest.raises(ConfigError, match=r"points_per_scene: must be 1 to .*, not 0"):
        training_rooms.objective(kind, context, points_per_scene=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_damaged_targets_are_named(tmp_path, kind, damage):
    _, _, fusion = training_rooms.write(tmp_path, [0])
    array = {"superpoint": "superpoint_feature", "pixel": "feature"}[kind]
    chunk = next(path for path in (fusion / "room0.zarr" / array).glob("c.*") if path.is_file())
    chunk.unlink() if damage == "missing" else chunk.write_bytes(chunk.read_bytes()[:50])
    with pytest.raises(StoreError, match=r"room0\.zarr: damaged"):
        context = training_rooms.context(training_rooms.network(), fusion)
        training_rooms.objective(kind, context).features("room0")


def test_sampling_is_bounded_and_keeps_the_order():
    rows = np.arange(0, 200, 2)
    few = sample(rows, 20, np.random.default_rng(0))
    assert len(few) == 20
    assert set(few) <= set(rows)
    assert (np.diff(few) > 0).all()
    assert np.array_equal(sample(rows, 100, np.random.default_rng(0)), rows)


def test_alignment_spans_the_targets():
    target = unit(np.repeat(training_rooms.text(), 3, axis=0))
    final = Convolution(6, training_rooms.WIDTH, size=1, bias=True)
    align(final, target.split(4))
    assert torch.allclose(final.bias[0], target.mean(0), atol=1e-6)
    basis = torch.linalg.qr(final.kernel[: training_rooms.CLASSES - 1].T)[0]
    centred = target - target.mean(0)
    assert torch.allclose(basis @ (basis.T @ centred.T), centred.T, atol=1e-5)
    with pytest.raises(DataError, match="no training scene"):
        align(final, [target[:0]])


def test_alignment_of_parts_is_that_of_all_targets_together():
    """The principal axes by a singular value decomposition of one matrix, up to their signs."""
    target = unit(np.random.default_rng(0).normal(0.3, 1, (200, 12)))
    final = Convolution(5, 12, size=1, bias=True)
    align(final, (target[:1], target[1:1], target[1:150], target[150:]))
    _, spread, axes = torch.linalg.svd((target - target.mean(0)).double(), full_matrices=False)
    expected = (spread[:5, None] / 200**0.5 * axes[:5]).float()
    signs = (final.kernel * expected).sum(1, keepdim=True).sign()
    assert torch.allclose(final.kernel * signs, expected, atol=1e-6)
    assert torch.allclose(final.bias[0], target.mean(0), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_view_that_waits_holds_the_targets_of_its_sample_alone(tmp_path, kind):
    scenes, superpoints, fusion = training_rooms.write(tmp_path, [0])
    cloud = read_cloud(scenes, superpoints, "room0")
    context = training_rooms.context(training_rooms.network(), fusion, recent=Recent(0))
    objective = training_rooms.objective(kind, context, points_per_scene=7)
    (view,) = objective.views(cloud, np.random.default_rng(0))
    assert len(view.row) == len(view.owner) == 7 and len(view.target) <= 7 and view.target.dtype == np.float16
    plain = replace(as_it_is(cloud, 0.1, "geometry"), random=np.random.default_rng(3))
    taught = objective.taught(replace(plain, random=np.random.default_rng(3)))
    hidden = torch.randn(len(plain.features), 4, generator=torch.Generator().manual_seed(0))
    final = Convolution(4, training_rooms.WIDTH, size=1, bias=True)
    found = [objective.terms(hidden, final, join([one])) for one in (plain, taught)]
    assert all(found[0][name].total.equal(found[1][name].total) for name in found[0])
