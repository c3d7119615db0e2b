import gzip
import socket
from pathlib import Path

import open_clip
import pytest
import torch
import transformers

from anyscene.segmenters.grounded.segmenter import GroundedSegmenter
from anyscene.segmenters.sam3.segmenter import Sam3Segmenter
from anyscene.segmenters.universal.segmenter import UniversalSegmenter
from anyscene_demo.segmenters.dense.segmenter import DenseSegmenter
from anyscene_demo.segmenters.mask.segmenter import MaskSegmenter
from tests.builders import small_grounded, small_sam3, small_universal


@pytest.fixture(scope="session")
def universal_weights(tmp_path_factory):
    """Folder with a small Mask2Former and a small OneFormer of random weights."""
    root = tmp_path_factory.mktemp("universal")
    for name in small_universal.KIND:
        small_universal.write(name, root / name)
    return root


@pytest.fixture(scope="session")
def grounded_weights(tmp_path_factory):
    """Folder with a small Grounding DINO and a small SAM of random weights."""
    return small_grounded.write(tmp_path_factory.mktemp("grounded") / "grounded")


@pytest.fixture(autouse=True)
def small_sam():
    """Replace what vit_b builds, for one test."""
    with small_grounded.small_sam():
        yield


@pytest.fixture(scope="session")
def sam3_weights(tmp_path_factory):
    """Folder with a small SAM 3 of random weights."""
    return small_sam3.write(tmp_path_factory.mktemp("sam3") / "sam3")


@pytest.fixture
def offline(monkeypatch):
    """Without a network: the addresses that are asked for nevertheless."""
    asked = []

    def refuse(self, address):
        asked.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return asked


@pytest.fixture(scope="session")
def clip_tokenizer():
    """CLIP's as transformers has it, of the tables that come with open_clip."""
    table = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    merges = gzip.open(table).read().decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    words = [*letters, *(one + "</w>" for one in letters), *("".join(pair.split()) for pair in merges)]
    return transformers.CLIPTokenizer(
        vocab={word: number for number, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])},
        merges=[tuple(pair.split()) for pair in merges],
    )


@pytest.fixture(scope="session")
def folder_of(request):
    """folder_of(name): with that small model of random weights; named after it."""

    def folder_of(name):
        if name in ("grounded", "sam3"):
            return request.getfixturevalue(f"{name}_weights")
        root = "universal_weights" if name in small_universal.KIND else "random_weights"
        return request.getfixturevalue(root) / name

    return folder_of


@pytest.fixture(scope="session")
def build(folder_of, minilm):
    """build(name, **settings): the small model of random weights."""

    def build(name, **settings):
        cpu, folder = torch.device("cpu"), folder_of(name)
        if name == "grounded":
            with small_grounded.small_sam():
                return GroundedSegmenter.load(name, folder, cpu, **settings)
        if name == "sam3":
            return Sam3Segmenter.load(name, folder, cpu, **{"confidence": small_sam3.CONFIDENCE, **settings})
        if name in small_universal.KIND:
            overlap = small_universal.OVERLAP
            return UniversalSegmenter.load(name, folder, minilm, cpu, overlap=overlap, **settings)
        return {"dense": DenseSegmenter, "mask": MaskSegmenter}[name](name, folder, minilm, **settings)

    return build
