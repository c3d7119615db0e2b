import numpy as np
import pytest
import torch

from anyscene.errors import ConfigError
from anyscene.learning.engine.processes import Processes
from anyscene.learning.objectives.ensembling.objective import (
    RARE,
    class_logits,
    pseudo_labels,
    superpoint_mean,
)
from anyscene.learning.objectives.superpoint.objective import SuperpointDistillation
from anyscene.networks import Cloud
from anyscene.networks.batch import as_it_is, join
from anyscene.networks.minkunet import Convolution
from tests.builders import training_rooms


def test_pseudo_labels_by_hand():
    history = torch.tensor([[2.0, 1.0], [0.0, 5.0], [1.0, 0.0]])
    point, superpoint = pseudo_labels(history, torch.tensor([0, 0, 2]))
    assert point.tolist() == [0, 1, 0]
    assert superpoint[[0, 2]].tolist() == [1, 0]  # (2,6) and, of its only point, (1,0)


def test_superpoint_mean_by_hand():
    mean, seen = superpoint_mean(torch.tensor([[1.0], [3.0], [7.0]]), torch.tensor([4, 4, 1]))
    assert seen.tolist() == [1, 4]
    assert mean.flatten().tolist() == [7.0, 2.0]


def tiny():
    """A scene of three points in two voxels (0 and 1; 2) and two superpoints (0; 1 and 2), its batch, and a
    last layer with phi = hidden."""
    cloud = Cloud(
        "tiny",
        np.array([[0.0, 0, 0], [0.01, 0, 0], [0.2, 0, 0]], np.float32),
        np.zeros((3, 3), np.uint8),
        np.array([0, 1, 1], np.int32),
    )
    final = Convolution(2, 2, size=1)
    with torch.no_grad():
        final.kernel.copy_(torch.eye(2))
    return cloud, join([as_it_is(cloud, 0.1, "geometry")]), final


def objective(folder, text=None, *, voxel=0.1, **settings):
    """Ensembling without distillation over two classes. Only the widths of its network count."""
    settings = {"momentum": 0.75, "temperature": 1.0, "loss": "code", "balance": 0.0} | settings
    prompts = (lambda: np.eye(2, dtype=np.float32)) if text is None else text.numpy
    context = training_rooms.context(
        training_rooms.network(), folder, folder, voxel=voxel, inputs="geometry", prompts=prompts
    )
    return training_rooms.objective("ensembling", context, **settings)


def cost(right, wrong):
    return float(np.log1p(np.exp(wrong - right)))


@pytest.mark.parametrize("labels", ["paper", "code"])
def test_loss_and_history_by_hand(tmp_path, labels):
    _, scene, final = tiny()
    ensembling = objective(tmp_path, loss=labels)
    ensembling.history["tiny"] = np.array([[1.0, 0.0], [0.0, 8.0], [4.0, 0.0]])
    hidden = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
    terms = ensembling.terms(hidden, final, scene)
    # each voxel goes by its first point, 0 and 2; these are the first of superpoints 0 and 1, whose histories
    # (1,0) and (2,4) say 0 and 1; point 2's own says 0. In the code superpoint 1 is its only voxel, whose
    # point 2 says (3,1) after this visit
    of_superpoint = {"paper": cost(4, 0), "code": cost(0, 4)}[labels]
    assert terms["point"].total.item() == pytest.approx(cost(2, 0) + cost(0, 4))
    assert terms["superpoint"].total.item() == pytest.approx(cost(2, 0) + of_superpoint)
    assert [term.weight for term in terms.values()] == [2, 2]
    assert np.allclose(ensembling.history["tiny"], [[1.25, 0.0], [0.5, 6.0], [3.0, 1.0]])


@pytest.mark.parametrize(("labels", "right"), [("paper", 1), ("code", 0)])
def test_labels_are_of_the_history_before_this_visit_or_after_it(tmp_path, labels, right):
    """Where this visit turns the history from class 1 to class 0."""
    _, scene, final = tiny()
    ensembling = objective(tmp_path, loss=labels, momentum=0.5)
    ensembling.history["tiny"] = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    terms = ensembling.terms(torch.tensor([[4.0, 0.0], [4.0, 0.0]]), final, scene)
    logits = (4, 0)
    expected = pytest.approx(2 * cost(logits[right], logits[1 - right]), rel=1e-5)
    assert terms["point"].total.item() == expected
    assert terms["superpoint"].total.item() == expected


class Answers:
    """A network that returns these hidden features, a row for each voxel."""

    training, backend, settings = False, "torch", {"variant": "14A"}
    hidden_channels = 2

    def __init__(self, final, hidden):
        self.final, self._hidden = final, hidden

    def hidden(self, maps, features):
        return self._hidden

    def eval(self):
        return self

    train = lambda self, mode: self  # noqa: E731


@pytest.mark.parametrize(
    ("start", "expected"), [("paper", [[2, 0], [2, 0], [0, 4]]), ("code", [[2, 0], [1, 2], [1, 2]])]
)
def test_beginnings_of_the_history_by_hand(tmp_path, start, expected):
    cloud, _, final = tiny()
    ensembling = objective(tmp_path, start=start, balance=1.0)
    network = Answers(final, torch.tensor([[2.0, 0.0], [0.0, 4.0]]))
    ensembling.begin(network, [cloud], Processes(torch.device("cpu")))
    assert ensembling.history["tiny"].tolist() == expected
    share = torch.tensor([2, 1] if start == "paper" else [1, 2]) / 3
    assert torch.allclose(ensembling.weight, 1 / (share + RARE))


def test_balance_weighs_the_classes(tmp_path):
    _, scene, final = tiny()
    ensembling = objective(tmp_path, loss="paper")
    ensembling.history["tiny"] = np.array([[1.0, 0.0], [0.0, 8.0], [4.0, 0.0]])
    ensembling.weight = torch.tensor([3.0, 0.5])
    terms = ensembling.terms(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), final, scene)
    assert terms["point"].total.item() == pytest.approx(3 * cost(2, 0) + 3 * cost(0, 4))
    assert terms["point"].weight == 6
    assert terms["superpoint"].total.item() == pytest.approx(3 * cost(2, 0) + 0.5 * cost(4, 0))
    assert terms["superpoint"].weight == 3.5


def test_paper_keeps_the_distillation_beside_it(tmp_path):
    """Both on one pass through the network, and by the labels that each of them has."""
    fusion = training_rooms.write(tmp_path, [0])[2]
    cloud, _ = training_rooms.room(0)
    network = training_rooms.network()
    context = training_rooms.context(network, fusion)
    terms = {}
    for loss in ("paper", "code"):
        ensembling = training_rooms.objective("ensembling", context, loss=loss, points_per_scene=10)
        ensembling.begin(network, [cloud], Processes(torch.device("cpu")))
        scene = join(ensembling.views(cloud, np.random.default_rng(0)))
        terms[loss] = ensembling(network, scene)
    assert list(terms["code"]) == ["point", "superpoint"]
    assert list(terms["paper"]) == [
        f"{part}_{name}" for part in ("distillation", "ensembling") for name in ("point", "superpoint")
    ]
    distillation = SuperpointDistillation(ensembling.settings, context)
    scene = join(distillation.views(cloud, np.random.default_rng(0)))
    alone = distillation(network, scene)
    for name, mean in alone.items():
        assert mean.weight <= 10 and torch.equal(mean.total, terms["paper"][f"distillation_{name}"].total)


def test_history_of_logits_gives_the_labels_of_a_history_of_features(tmp_path):
    """Fifty visits to a room, beside a history of whole features in float32."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    text = torch.from_numpy(training_rooms.text())
    cloud, _ = training_rooms.room(2)
    owner = torch.from_numpy(cloud.superpoint.astype(np.int64))
    final = Convolution(8, training_rooms.WIDTH, size=1, bias=True)
    scene = join([as_it_is(cloud, 0.15, "geometry")])
    voxel = torch.from_numpy(scene.views[0].voxels.voxel)
    ensembling = objective(tmp_path, text, momentum=0.9, voxel=0.15, loss="paper")
    features = torch.randn(len(owner), training_rooms.WIDTH, generator=generator)
    ensembling.history[cloud.id] = (features @ text.T).numpy()
    seen = set()
    for _ in range(50):
        hidden = torch.randn(scene.maps.size(0), 8, generator=generator)
        with torch.no_grad():
            ensembling.terms(hidden, final, scene)
            features = 0.9 * features + 0.1 * final(hidden)[voxel]
        point, superpoint = pseudo_labels(torch.from_numpy(ensembling.history[cloud.id]), owner)
        mean, _ = superpoint_mean(features, owner)
        assert torch.equal(point, (features @ text.T).argmax(1))
        assert torch.equal(superpoint, (mean @ text.T).argmax(1))
        seen.add(tuple(point.tolist()))
    assert len(seen) > 40  # the labels did change
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 128 + features.numel() * 4 * training_rooms.CLASSES / training_rooms.WIDTH


def test_history_begins_with_the_answers_of_the_network(tmp_path):
    torch.manual_seed(0)
    network = training_rooms.network().eval()
    cloud, _ = training_rooms.room(1)
    text = torch.from_numpy(training_rooms.text())
    ensembling = objective(tmp_path, text)
    ensembling.begin(network, [cloud], Processes(torch.device("cpu")))
    scene = join([as_it_is(cloud, 0.1, "geometry")])
    with torch.no_grad():
        phi = network(scene.maps, scene.features)[torch.from_numpy(scene.views[0].voxels.voxel)]
    history = torch.from_numpy(np.array(ensembling.history["room1"]))
    assert torch.allclose(history, phi @ text.T, atol=1e-5)
    assert history.dtype == torch.float32
    hidden = network.hidden(scene.maps, scene.features)
    assert torch.allclose(
        class_logits(hidden, network.final, text), network.final(hidden) @ text.T, atol=1e-5
    )


@pytest.mark.parametrize("wrong", [{"momentum": 1.5}, {"temperature": 0.0}, {"balance": -1.0}])
def test_settings_out_of_bounds_are_refused(tmp_path, wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        objective(tmp_path, **wrong)
