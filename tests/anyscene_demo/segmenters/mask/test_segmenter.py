import math

import pytest
import torch

from anyscene_demo.segmenters.mask.segmenter import ProposedMasks, cover, mask_logits, shrink


def proposals(seed=0, height=6, width=8):
    g = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=g)

    return ProposedMasks(
        pixel=draw(1, 3, 2 * height, 2 * width),
        kernel=draw(1, 3, height, width),
        bias=draw(1, height, width),
        centre=draw(1, 2, height, width),
        sharpness=draw(1, height, width).abs(),
        score=draw(1, height, width),
        region=draw(1, 5, height, width),
    )


def test_mask_logits_equal_the_formula_pixel_by_pixel():
    p = proposals()
    cells = torch.tensor([0, 13, 47])
    found = mask_logits(p, 0, cells)
    for n, cell in enumerate(cells.tolist()):
        row, column = divmod(cell, 8)
        for v, u in [(0, 0), (5, 11), (11, 15)]:
            x, y = (u + 0.5 - 8) / 6, (v + 0.5 - 6) / 6
            match = sum(float(p.kernel[0, e, row, column] * p.pixel[0, e, v, u]) for e in range(3))
            away = (x - float(p.centre[0, 0, row, column])) ** 2 + (
                y - float(p.centre[0, 1, row, column])
            ) ** 2
            wanted = match + float(p.bias[0, row, column]) - float(p.sharpness[0, row, column]) * away
            assert math.isclose(float(found[n, v, u]), wanted, abs_tol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_cover_equals_a_literal_greedy_search(seed):
    p = proposals(seed)
    logits, scores = cover(p, 0)
    every = mask_logits(p, 0, torch.arange(48))
    taken, wanted = set(), []
    for cell in sorted(range(48), key=lambda c: -float(p.score[0].flatten()[c])):
        row, column = divmod(cell, 8)
        if (row, column) in taken:
            continue
        taken.add((row, column))
        inside = every[cell] > 0
        if inside.any():
            wanted.append(cell)
            taken |= {(int(v) // 2, int(u) // 2) for v, u in inside.nonzero()}
    assert len(logits) == len(wanted)
    assert torch.allclose(logits, every[wanted], atol=1e-5)
    assert torch.equal(scores, scores.sort(descending=True).values)


def test_cover_stops_at_the_most_masks():
    assert len(cover(proposals(), 0, most=2)[0]) == 2


def test_nothing_found():
    p = proposals()
    p.bias.fill_(-1e4)
    logits, scores = cover(p, 0)
    assert logits.shape == (0, 12, 16) and scores.shape == (0,)


def test_shrink_is_the_mean_of_each_cell_also_at_odd_borders():
    mask = torch.arange(15.0).view(1, 3, 5)
    found = shrink(mask, (2, 3))
    assert torch.equal(found[0], torch.tensor([[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]))
