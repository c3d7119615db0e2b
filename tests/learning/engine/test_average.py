import torch

from anyscene.learning.engine.average import Average


def test_averages_by_hand():
    module = torch.nn.BatchNorm1d(2)
    average = Average(module, 0.75)
    with torch.no_grad():
        module.weight.fill_(5.0)
        module.num_batches_tracked.fill_(3)
        module.running_mean.fill_(8.0)
    average.update(module)
    assert average.state["weight"].tolist() == [2.0, 2.0]
    assert average.state["running_mean"].tolist() == [2.0, 2.0]
    assert average.state["num_batches_tracked"] == 3
    again = Average(torch.nn.BatchNorm1d(2), 0.75)
    again.load(average.state)
    assert all(torch.equal(again.state[name], value) for name, value in average.state.items())
