"""What rows predict is counted alike by one process and by several."""

import dataclasses

import numpy as np
import pytest
import torch

from anyscene.project.layout import Artefacts
from anyscene.project.parameters import Text
from anyscene.study.ablation import Controls
from anyscene.study.counting import counted
from tests.builders import miniature

pytestmark = pytest.mark.integration

EVERY = {"dense", "mask", "add", "linear", "capability", "superpoint", *miniature.NETWORKS, "2d-3d"}


@pytest.fixture(scope="module")
def measured(tmp_path_factory, minilm):
    """Two rooms in the text space of the demo, which other processes can load."""
    folder = tmp_path_factory.mktemp("counting")
    params = miniature.write(folder, spacing=0.4, encoder=minilm)
    return dataclasses.replace(params, text=Text("minilm", "a {} in a scene")), Artefacts(folder)


def flat(measured, workers=1, device="cpu", **options):
    params, artefacts = measured
    taught = {model: np.ones(len(params.vocabulary)) for model in params.segmenters.names}
    found = counted(
        params,
        artefacts,
        Controls(taught, {}, shuffles=2),
        ["room0", "room1"],
        workers,
        torch.device(device),
        **options,
    )
    return [
        (
            one.points,
            {row: [(v.every.tolist(), v.foreground.tolist()) for v in of] for row, of in one.of_row.items()},
        )
        for by_set in found
        for one in by_set
    ]


def test_processes_count_what_one_counts(measured):
    alone = flat(measured)
    assert len(alone) == 2 and all(points > 0 for points, _ in alone)
    assert set(alone[0][1]) == EVERY | {"max", "vocabulary", "shuffled", "swapped"}
    assert alone[0] != alone[1]
    assert flat(measured, workers=2) == alone


def test_networks_apart_count_the_same(measured):
    """As on a machine with a GPU: networks in this process, everything else in others."""
    assert flat(measured, workers=2, apart=True) == flat(measured)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_counts_nearly_the_same(measured):
    """Sums have another order there, so a point between two classes may get the other one."""
    for one, other in zip(flat(measured, device="cuda", apart=True), flat(measured), strict=True):
        assert one[0] == other[0] and one[1].keys() == other[1].keys()
        for row, variants in one[1].items():
            pairs = zip(variants, other[1][row], strict=True)
            apart = max(np.abs(np.array(a[0]) - np.array(b[0])).sum() for a, b in pairs)
            assert apart <= (0.02 * one[0] if row in miniature.NETWORKS else 0)
