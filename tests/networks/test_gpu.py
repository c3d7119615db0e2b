"""What only a GPU can show: `pytest -m gpu` where there is one."""

import numpy as np
import pytest
import torch

from anyscene.learning.engine.checkpoint import Checkpoints
from anyscene.learning.engine.loop import train
from anyscene.learning.views.clouds import read_training_clouds
from anyscene.networks import CoordinateMaps, MinkUNet
from anyscene.testing.clouds import CLOUDS
from tests.builders import training_rooms
from tests.builders.clouds import demo_room

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def run(cloud, device, precision="float32"):
    """(output, gradients) of the torch backend, in double precision but for bfloat16."""
    torch.manual_seed(0)
    network = MinkUNet("14A", 3, 8, "torch", width=0.25, precision=precision).to(device)
    generator = torch.Generator().manual_seed(1)
    features = torch.rand(len(cloud), 3, generator=generator).to(device)
    weight = torch.randn(len(cloud), 8, generator=generator).to(device)
    if precision == "float32":
        network, features, weight = network.double(), features.double(), weight.double()
    output = network(CoordinateMaps(cloud, device), features)
    (output * weight).sum().backward()
    return output.detach().cpu(), [p.grad.cpu() for p in network.parameters()]


@pytest.mark.parametrize("name", [*CLOUDS, "bathroom"])
def test_gpu_equals_cpu(name):
    cloud = CLOUDS[name] if name in CLOUDS else demo_room(name, 0.05)
    (one, first), (other, second) = (run(cloud, device) for device in ("cuda", "cpu"))
    assert torch.allclose(one, other, rtol=1e-6, atol=1e-9)
    scale = max(float(g.abs().max()) for g in second)
    for a, b in zip(first, second, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-9 * scale)


def test_bfloat16_is_close():
    exact, _ = run(CLOUDS["room at 5 cm"], "cuda")
    rough, gradients = run(CLOUDS["room at 5 cm"], "cuda", "bfloat16")
    assert float((rough - exact).square().mean().sqrt() / exact.std()) < 0.05
    assert all(torch.isfinite(g).all() for g in gradients)


def test_training_resumes(tmp_path):
    """With bfloat16 products, several preparing threads and a history beside them."""
    scenes, superpoints, fusion = training_rooms.write(tmp_path, range(4))
    clouds = read_training_clouds(scenes, superpoints)

    def trained(steps, folder):
        network = training_rooms.network(precision="bfloat16").cuda()
        context = training_rooms.context(network, fusion, folder / "memory")
        objective = training_rooms.objective(
            "ensembling", context, loss="code", temperature=1.0, balance=0.0
        ).cuda()
        recipe = training_rooms.recipe(12, learning_rate=1e-3, final_learning_rate=1e-4, warmup=0)
        checkpoints = Checkpoints(folder, 0)
        save = checkpoints.save

        def stop(identity, rows, *rest):
            save(identity, rows, *rest)
            if len(rows) == steps:
                raise KeyboardInterrupt

        checkpoints.save = stop
        return train(network, clouds, objective, recipe, label="gpu", checkpoints=checkpoints)

    with pytest.raises(KeyboardInterrupt):
        trained(5, tmp_path / "checkpoints")
    resumed, whole = trained(0, tmp_path / "checkpoints"), trained(0, tmp_path / "other")
    losses = [[row["loss"] for row in rows] for rows in (resumed, whole)]
    assert np.allclose(*losses, rtol=1e-3)  # sums on a GPU have no fixed order
