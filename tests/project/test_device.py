import types

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from anyscene.errors import ConfigError, DeviceMemoryError
from anyscene.project.device import Batches, autocast, choose_device, passes


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
    with pytest.raises(ConfigError, match=r"runtime\.device: 'gpu' is not a device; use auto"):
        choose_device("gpu")


@pytest.mark.parametrize(("gib", "fraction"), [(0.0, None), (10.0, 0.25), (40.0, 1.0), (100.0, 1.0)])
def test_a_process_takes_no_more_of_a_gpu_than_it_may(monkeypatch, gib, fraction):
    asked = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    whole = types.SimpleNamespace(total_memory=40 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: whole)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *what: asked.append(what))
    choose_device("cuda:1", gib)
    choose_device("cpu", gib)
    assert asked == ([] if fraction is None else [(fraction, torch.device("cuda:1"))])


def test_single_precision_changes_nothing_and_half_does():
    one, other = torch.rand(8, 8), torch.rand(8, 8)
    with autocast(torch.device("cpu"), "float32"):
        same = one @ other
    with autocast(torch.device("cpu"), "bfloat16"):
        half = one @ other
    assert torch.equal(same, one @ other) and half.dtype == torch.bfloat16


def room_for(most, asked):
    """Work that needs memory for every item it is given, and has some for `most`."""

    def work(some):
        asked.append(len(some))
        if len(some) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has ...")
        return 2 * np.asarray(some)

    return work


@given(st.integers(0, 40), st.integers(1, 20), st.integers(1, 20))
def test_batches_become_as_small_as_they_must_and_lose_nothing(items, size, most):
    asked = []
    batches = Batches(size, "synthesis.batch")
    found = [one for some in batches(room_for(most, asked), range(items)) for one in some]
    assert found == [2 * item for item in range(items)]
    done = [count for count in asked if count <= most]
    assert sum(done) == items and len(asked) - len(done) <= max(0, np.log2(size))  # each failure halves
    assert size >= batches.size and (batches.size == size or 2 * batches.size + 1 > most)


def test_what_was_too_much_is_not_tried_again():
    asked = []
    batches = Batches(8, "segmenters.batch")
    for _ in range(2):
        list(batches(room_for(3, asked), range(8)))
    assert asked == [8, 4, 2, 2, 2, 2, 2, 2, 2, 2]


def test_too_little_memory_for_one_says_what_to_change():
    batches = Batches(4, "segmenters.batch")
    message = (
        r"^segmenters\.batch: the GPU's memory does not suffice for one at a time \(CUDA out of memory\); "
        r"raise runtime\.device_memory_gib .* runtime\.device: cpu$"
    )
    with pytest.raises(DeviceMemoryError, match=message):
        list(batches(room_for(0, []), range(4)))


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    def broken(some):
        raise RuntimeError("CUDA error: device-side assert triggered")

    with pytest.raises(RuntimeError, match="assert"):
        list(Batches(4, "segmenters.batch")(broken, range(4)))


def test_a_gpu_is_given_all_images_at_once_a_cpu_one_by_one():
    images = np.arange(3)[:, None]
    assert [len(some) for some in passes(images, torch.device("cuda"))] == [3]
    assert [some.tolist() for some in passes(images, torch.device("cpu"))] == [[[0]], [[1]], [[2]]]
    assert [*passes(images[:0], torch.device("cuda"))] == [*passes(images[:0], torch.device("cpu"))] == []
