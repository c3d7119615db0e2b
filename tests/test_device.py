import pytest
import torch

from pipeline.device import choose_device
from pipeline.errors import ConfigError


@pytest.mark.parametrize(("available", "wanted"), [(True, "cuda"), (False, "cpu")])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch, available, wanted):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device("auto") == torch.device(wanted)
    assert choose_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(("name", "wanted"), [("cuda", "cuda"), ("cuda:1", "cuda:1"), ("cuda:2", None)])
def test_a_gpu_must_be_there(monkeypatch, name, wanted):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    if wanted:
        assert choose_device(name) == torch.device(wanted)
        return
    with pytest.raises(ConfigError, match=r"runtime\.device: 'cuda:2', but torch finds 2 GPUs"):
        choose_device(name)


def test_an_unknown_device_is_an_error():
    with pytest.raises(ConfigError, match=r"runtime\.device: 'gpu' is no device; use auto"):
        choose_device("gpu")
