import pytest
import torch

from anyscene.learning.engine.schedule import Schedule


def test_schedules():
    linear = Schedule(110, 1.0, 0.1, warmup=10)
    assert [linear(0), linear(9), linear(10)] == pytest.approx([0.1, 1.0, 1.0])
    assert linear(60) == pytest.approx(0.55)
    assert linear(109) == pytest.approx(0.109)
    assert Schedule(100, 1.0, 0.0, shape="poly")(50) == pytest.approx(0.5**0.9)


def rates(scheduler, steps):
    """The learning rate of each step by one of PyTorch's schedulers."""
    found = []
    for _ in range(steps):
        found.append(scheduler.get_last_lr()[0])
        scheduler.optimizer.step()
        scheduler.step()
    return found


def test_schedules_are_pytorchs():
    def sgd(rate):
        return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], rate)

    cosine = Schedule(20, 1.0, 0.1, shape="cosine")
    wanted = rates(torch.optim.lr_scheduler.CosineAnnealingLR(sgd(1.0), 20, eta_min=0.1), 20)
    assert [cosine(step) for step in range(20)] == pytest.approx(wanted)
    late = Schedule(25, 1.0, 0.1, warmup=5, shape="cosine")
    assert [late(step) for step in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert [late(step) for step in range(5, 25)] == pytest.approx(wanted)
    one = Schedule(20, 1.0, 0.01, warmup=6, shape="one_cycle")
    wanted = rates(
        torch.optim.lr_scheduler.OneCycleLR(
            sgd(1.0), 1.0, total_steps=20, pct_start=0.3, cycle_momentum=False, final_div_factor=4
        ),
        20,
    )
    assert [one(step) for step in range(20)] == pytest.approx(wanted)
    assert one(5) == 1.0 and one(0) == pytest.approx(1 / 25)
