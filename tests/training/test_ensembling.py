import numpy as np
import pytest
import torch

from pipeline.network import MinkUNet
from pipeline.network.minkunet import Convolution
from pipeline.training.data import batch
from pipeline.training.objectives.ensembling import Ensembling, class_logits, pseudo_labels, superpoint_mean
from tests.training import rooms


def test_pseudo_labels_by_hand():
    history = torch.tensor([[2.0, 1.0], [0.0, 5.0], [1.0, 0.0]])
    point, superpoint = pseudo_labels(history, torch.tensor([0, 0, 2]))
    assert point.tolist() == [0, 1, 0]
    assert superpoint[[0, 2]].tolist() == [1, 0]  # (2,6) and, of its only point, (1,0)


def test_superpoint_mean_by_hand():
    mean, seen = superpoint_mean(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([4, 4, 1]))
    assert seen.tolist() == [1, 4]
    assert mean.flatten().tolist() == [7.0, 2.0]


def test_loss_and_history_by_hand():
    """A scene of three points in two voxels, K = 2, phi = logits."""
    cloud, _ = rooms.room(0)
    cloud = type(cloud)(
        "tiny",
        np.array([[0.0, 0, 0], [0.01, 0, 0], [0.2, 0, 0]], np.float32),
        np.zeros((3, 3), np.uint8),
        np.array([0, 1, 1], np.int32),
    )
    scene = batch([cloud], 0.1, colour=False)
    final = Convolution(2, 2, size=1)
    with torch.no_grad():
        final.kernel.copy_(torch.eye(2))
    objective = Ensembling(None, torch.eye(2), momentum=0.75, temperature=1.0, voxel=0.1, colour=False)
    objective.history["tiny"] = torch.tensor([[1.0, 0.0], [0.0, 8.0], [4.0, 0.0]])
    hidden = torch.tensor([[2.0, 0.0], [0.0, 4.0]])  # voxel of points 0 and 1, voxel of point 2
    terms = objective(hidden, final, scene, np.random.default_rng(0))
    # first points 0 and 2 have labels 0 and 0; superpoints 0 and 1 (history (1,0) and (4,8)) labels 0 and 1,
    # and each holds one voxel's first point
    cost = lambda right, wrong: float(np.log1p(np.exp(wrong - right)))  # noqa: E731
    assert terms["point"].item() == pytest.approx((cost(2, 0) + cost(0, 4)) / 2)
    assert terms["superpoint"].item() == pytest.approx((cost(2, 0) + cost(4, 0)) / 2)
    expected = torch.tensor([[1.25, 0.0], [0.5, 6.0], [3.0, 1.0]])
    assert torch.allclose(objective.history["tiny"], expected)


def test_history_of_logits_gives_the_labels_of_a_history_of_features():
    generator = torch.Generator().manual_seed(0)
    text = torch.from_numpy(rooms.text())
    owner = torch.randint(0, 30, (400,), generator=generator)
    features = torch.randn(400, rooms.WIDTH, generator=generator)
    logits = features @ text.T
    for _ in range(50):
        new = torch.randn(400, rooms.WIDTH, generator=generator)
        features.mul_(0.99).add_(new, alpha=0.01)
        logits.mul_(0.99).add_(new @ text.T, alpha=0.01)
        point, superpoint = pseudo_labels(logits, owner)
        mean, seen = superpoint_mean(features, owner)
        assert torch.equal(point, (features @ text.T).argmax(1))
        assert torch.equal(superpoint[seen], (mean @ text.T).argmax(1))
    assert logits.numel() / features.numel() == rooms.CLASSES / rooms.WIDTH


def test_history_begins_with_the_answers_of_the_network():
    torch.manual_seed(0)
    network = MinkUNet("14A", 3, rooms.WIDTH, "torch", width=0.25).eval()
    cloud, _ = rooms.room(1)
    text = torch.from_numpy(rooms.text())
    objective = Ensembling(network, text, 0.9, 1.0, 0.1, colour=False)
    objective.begin([cloud])
    scene = batch([cloud], 0.1, colour=False)
    with torch.no_grad():
        phi = network(scene.maps, scene.features)[torch.from_numpy(scene.voxels[0].voxel)]
    assert torch.allclose(objective.history["room1"], phi @ text.T, atol=1e-5)
    assert objective.history["room1"].dtype == torch.float32
    hidden = network.hidden(scene.maps, scene.features)
    assert torch.allclose(
        class_logits(hidden, network.final, text), network.final(hidden) @ text.T, atol=1e-5
    )
