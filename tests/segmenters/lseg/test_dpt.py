from pathlib import Path

import pytest
import torch
from torch.nn import functional

from anyscene.segmenters.lseg.dpt import DensePredictor, positions
from tests.builders import small_lseg

PUBLISHED = Path(__file__).with_name("lseg_demo_e200.txt")  # names and shapes of LSeg's demo checkpoint


def test_names_and_shapes_are_those_of_the_published_checkpoint():
    lines = [line.split() for line in PUBLISHED.read_text().splitlines()]
    published = {
        name.removeprefix("net."): () if shape == "scalar" else tuple(map(int, shape.split("x")))
        for name, shape in lines
        if not name.startswith("net.clip_pretrained.")
    }
    with torch.device("meta"):
        own = DensePredictor().state_dict()
    assert {name: tuple(value.shape) for name, value in own.items()} == published
    assert len(published) == 428


def test_positions_are_interpolated_bilinearly_cell_by_cell():
    embedding = torch.randn(1, 1 + 16, 3, generator=torch.Generator().manual_seed(0))
    found = positions(embedding, 2, 6)
    grid = embedding[0, 1:].view(4, 4, 3)
    assert torch.equal(found[0, 0], embedding[0, 0])

    def between(place, length):
        place = min(max(place, 0), 3)
        return int(place), min(int(place) + 1, 3), place - int(place)

    for row in range(2):
        for column in range(6):
            top, bottom, v = between((row + 0.5) * 4 / 2 - 0.5, 2)
            left, right, u = between((column + 0.5) * 4 / 6 - 0.5, 6)
            wanted = (1 - v) * ((1 - u) * grid[top, left] + u * grid[top, right]) + v * (
                (1 - u) * grid[bottom, left] + u * grid[bottom, right]
            )
            assert torch.allclose(found[0, 1 + 6 * row + column], wanted, atol=1e-6)


@pytest.fixture(scope="module")
def network():
    network = DensePredictor(small_lseg.ARCHITECTURE).eval().requires_grad_(False)
    network.load_state_dict(small_lseg.state())
    return network


@pytest.mark.parametrize("size", [(64, 64), (32, 96)])
def test_equals_a_literal_reading_of_the_papers(network, size):
    image = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    wanted = literal(small_lseg.state(), image, small_lseg.ARCHITECTURE)
    found = network(image)
    assert found.shape == (1, 512, size[0] // 2, size[1] // 2)
    assert (found - wanted).abs().max() < 1e-4 * wanted.std()


def literal(state, image, architecture):
    """ViT (Dosovitskiy et al. 2021) and DPT (Ranftl et al. 2021) equation by equation, of one image."""

    def linear(x, name):
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x, name):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return (x - mean) / (variance + 1e-6).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    def gelu(x):
        return x * (1 + torch.erf(x / 2**0.5)) / 2

    def convolution(x, name, **options):
        return functional.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    rows, columns = image.shape[2] // 16, image.shape[3] // 16
    vit = "pretrained.model"
    cells = image[0].unfold(1, 16, 16).unfold(2, 16, 16).permute(1, 2, 0, 3, 4).reshape(rows * columns, -1)
    x = cells @ state[f"{vit}.patch_embed.proj.weight"].flatten(1).T + state[f"{vit}.patch_embed.proj.bias"]
    x = torch.cat([state[f"{vit}.cls_token"][0], x]) + positions(state[f"{vit}.pos_embed"], rows, columns)[0]
    layers, head = [], architecture.width // architecture.heads
    for block in range(architecture.depth):
        name = f"{vit}.blocks.{block}"
        q, k, v = linear(norm(x, f"{name}.norm1"), f"{name}.attn.qkv").split(architecture.width, 1)
        mixed = []
        for first in range(0, architecture.width, head):
            own = slice(first, first + head)
            mixed.append((q[:, own] @ k[:, own].T / head**0.5).softmax(1) @ v[:, own])
        x = x + linear(torch.cat(mixed, 1), f"{name}.attn.proj")
        hidden = gelu(linear(norm(x, f"{name}.norm2"), f"{name}.mlp.fc1"))
        x = x + linear(hidden, f"{name}.mlp.fc2")
        if block in architecture.taken:
            layers.append(x)

    maps = []
    for level, layer in enumerate(layers, 1):
        name = f"pretrained.act_postprocess{level}"
        read = [gelu(linear(torch.cat([token, layer[0]]), f"{name}.0.project.0")) for token in layer[1:]]
        y = convolution(torch.stack(read).T.reshape(1, -1, rows, columns), f"{name}.3")
        if level < 3:
            y = functional.conv_transpose2d(
                y, state[f"{name}.4.weight"], state[f"{name}.4.bias"], stride=2 ** (3 - level)
            )
        if level == 4:
            y = convolution(y, f"{name}.4", stride=2, padding=1)
        maps.append(convolution(y, f"scratch.layer{level}_rn", padding=1))

    def residual(x, name):
        y = x
        for number in (1, 2):
            y = convolution(y.clamp_min(0), f"{name}.conv{number}", padding=1)
            mean, variance, weight, bias = (
                state[f"{name}.bn{number}.{part}"][:, None, None]
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            y = (y - mean) / (variance + 1e-5).sqrt() * weight + bias
        return x + y

    y = None
    for level in (4, 3, 2, 1):
        name = f"scratch.refinenet{level}"
        y = maps[3] if y is None else y + residual(maps[level - 1], f"{name}.resConfUnit1")
        y = residual(y, f"{name}.resConfUnit2")
        y = functional.interpolate(y, scale_factor=2, mode="bilinear", align_corners=True)
        y = convolution(y, f"{name}.out_conv")
    return convolution(y, "scratch.head1")
