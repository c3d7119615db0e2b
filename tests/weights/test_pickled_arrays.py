import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch

from anyscene.errors import WeightsError
from anyscene.weights import catalogue, pickled_arrays, reading, verifying
from tests.builders import malice

ARRAYS = {
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "turned": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "count": np.array(7),
    "none": np.zeros((0, 4), np.float32),
    "swapped": np.arange(3, dtype=">f4"),
}


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [dict, OrderedDict])
def test_arrays_come_back(tmp_path, kind, protocol):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(kind(ARRAYS), protocol))
    found = reading.read(file, "there")
    assert list(found) == list(ARRAYS)
    for name, value in ARRAYS.items():
        assert np.array_equal(found[name].numpy(), value) and found[
            name
        ].numpy().dtype == value.dtype.newbyteorder("=")
        found[name].add_(1)  # they can be written


def test_numpy_before_2_wrote_other_names(tmp_path):
    file = tmp_path / "a.pkl"
    written = pickle.dumps(ARRAYS, 3)
    assert b"numpy._core.multiarray" in written
    file.write_bytes(written.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert torch.equal(reading.read(file, "there")["half"], torch.from_numpy(ARRAYS["half"]))


def test_nothing_but_arrays_is_made(tmp_path):
    """What the pickle would run is refused by its name."""
    file, touched = tmp_path / "a.pkl", tmp_path / "touched"
    file.write_bytes(pickle.dumps(ARRAYS | {"a": malice.Code(touched)}))
    with pytest.raises(
        WeightsError, match=r"a\.pkl: damaged, or holds more than tensors; nothing of it ran.* there"
    ):
        reading.read(file, "there")
    assert not touched.exists()
    with pytest.raises(pickle.UnpicklingError, match=r"pathlib\.Path\.touch is no array"):
        pickled_arrays.read(file)


@pytest.mark.parametrize(
    "content",
    [
        [ARRAYS["half"]],
        {"a": 1},
        {"a": {"b": ARRAYS["half"]}},
        {"a": np.array(["text"])},
        {"a": np.array([None])},
        {3: ARRAYS["half"]},
        {"a": np.array([1j])},
    ],
)
def test_what_is_no_dict_of_arrays_is_refused(tmp_path, content):
    file = tmp_path / "a.pkl"
    file.write_bytes(pickle.dumps(content))
    with pytest.raises(WeightsError, match=r"a\.pkl: .*; get the file again from there"):
        reading.read(file, "there")
    if not isinstance(content, dict) or not isinstance(next(iter(content.values())), np.ndarray):
        with pytest.raises(TypeError, match="no dict of arrays"):
            pickled_arrays.read(file)


def test_what_is_cut_or_altered_is_refused(tmp_path):
    file, written = tmp_path / "a.pkl", pickle.dumps(ARRAYS)
    for size in range(0, len(written), 7):
        file.write_bytes(written[:size])
        with pytest.raises(WeightsError, match=r"a\.pkl: damaged"):
            reading.read(file, "there")


def test_its_parts_are_counted(tmp_path):
    entry = catalogue.get("tap")
    file = tmp_path / entry.folder / entry.files[0].name
    file.parent.mkdir(parents=True)
    file.write_bytes(pickle.dumps(ARRAYS))
    found, tokenizer = verifying.verify(entry, tmp_path)
    assert found.state == "unverified" and found.said.startswith("5 tensors; no sha256 is known")
    assert tokenizer.state == "missing"
