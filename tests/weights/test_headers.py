import os
import pickle
import tracemalloc

import pytest
import torch
from safetensors.torch import save_file

from anyscene.errors import WeightsError
from anyscene.weights import headers

PAGE = b"<!DOCTYPE html><html>404"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"


def written(folder):
    """One file of weights of each form."""
    tensors = {"a": torch.ones(3), "b": torch.zeros(2, 2)}
    save_file(tensors, folder / "one.safetensors", metadata={"format": "pt"})
    save_file({}, folder / "none.safetensors")
    torch.save(tensors, folder / "zip.pth")
    torch.save(tensors, folder / "old.ckpt", _use_new_zipfile_serialization=False)
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        (folder / f"{protocol}.pkl").write_bytes(pickle.dumps({"a": 1}, protocol))
    return sorted(folder.iterdir())


def test_weights_of_every_form_are_let_through(tmp_path):
    files = written(tmp_path)
    (tmp_path / "config.json").write_text("no JSON")
    (tmp_path / "folder.bin").mkdir()
    assert len(files) == 6
    for path in (*files, tmp_path):
        headers.require(path, "get it again")


@pytest.mark.parametrize(
    "content", [PAGE, POINTER, b"", b"PK", b"\x80\xff", bytes(40), b"\x02" + bytes(7) + b"[]"]
)
@pytest.mark.parametrize("ending", ["safetensors", "pt", "pth", "ckpt", "bin", "pkl"])
def test_what_is_none_is_refused_by_name(tmp_path, content, ending):
    """Also inside a folder, beside files that are."""
    written(tmp_path)
    bad = tmp_path / "unet" / f"bad.{ending}"
    bad.parent.mkdir()
    bad.write_bytes(content)
    for path in (bad, tmp_path):
        with pytest.raises(WeightsError, match=rf"bad\.{ending}: .*; get it again"):
            headers.require(path, "get it again")


@pytest.mark.parametrize("name", ["one.safetensors", "zip.pth"])
def test_a_download_that_was_broken_off_is_refused(tmp_path, name):
    written(tmp_path)
    file = tmp_path / name
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(WeightsError, match=r"bytes, where its header says|an archive without its end"):
        headers.require(file, "get it again")


def test_gigabytes_are_not_read(tmp_path):
    file = tmp_path / "large.safetensors"
    header = b'{"a":{"dtype":"U8","shape":[8000000000],"data_offsets":[0,8000000000]}}'
    file.write_bytes(len(header).to_bytes(8, "little") + header)
    os.truncate(file, 8 + len(header) + 8_000_000_000)  # a hole: it takes no room
    tracemalloc.start()
    try:
        headers.require(file, "get it again")
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()
