"""The recipes of the text-to-image model and of SAM: two steps on tiny data give models that load."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import config, pseudo_masks, synthesis
from pipeline.zoo import diffusion, sam

DEMO = config.load(Path(__file__).parents[2] / "params.yaml")
CPU = torch.device("cpu")
TINY = diffusion.Recipe(autoencoder_steps=2, autoencoder_batch=2, steps=2, batch=4)


@pytest.fixture(scope="module")
def encoder():
    return synthesis.load_text_encoder(DEMO.text)


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


@pytest.fixture(scope="module")
def autoencoder(images):
    return diffusion.train_autoencoder(images, TINY)


def train(images, autoencoder, encoder, **extra):
    captions, empty = diffusion.caption_states(encoder, ["bed", "shower curtain", "sofa"])
    latents = diffusion.encode(autoencoder, images)
    return diffusion.train_denoiser(latents, np.array([0, 1, 2, 0, 1, 1]), captions, empty, TINY, **extra)


def test_latents_are_whitened(images, autoencoder):
    latents = diffusion.encode(autoencoder, images).float()
    assert latents.shape == (6, TINY.latent_channels, 16, 16)
    np.testing.assert_allclose(latents.mean((0, 2, 3)), 0, atol=0.02)
    np.testing.assert_allclose(latents.std((0, 2, 3)), 1, atol=0.02)


def test_whitening_does_not_change_what_is_decoded(images):
    torch.manual_seed(0)
    model = diffusion.build_autoencoder(TINY).eval().requires_grad_(False)
    pixels = diffusion._pixels(images)
    before = model(pixels).sample
    diffusion._whiten(model, images)
    torch.testing.assert_close(model(pixels).sample, before, atol=1e-3, rtol=1e-3)


def test_training_twice_gives_the_same_weights(images, autoencoder, encoder):
    steps = []
    first = train(images, autoencoder, encoder, report=lambda step, loss: steps.append((step, loss)))
    second = train(images, autoencoder, encoder)
    assert [step for step, _ in steps] == [0, 1] and all(np.isfinite(loss) for _, loss in steps)
    for name, value in first.state_dict().items():
        torch.testing.assert_close(value, second.state_dict()[name], atol=0, rtol=0)


def test_what_is_saved_synthesises(images, autoencoder, encoder, tmp_path):
    kept = []
    model = train(images, autoencoder, encoder, checkpoint=lambda step, average: kept.append(step), every=1)
    assert kept == [1, 2]
    diffusion.save(tmp_path, autoencoder, model, encoder)
    assert sum(file.stat().st_size for file in tmp_path.rglob("*")) <= 12e6
    settings = dataclasses.replace(DEMO.synthesis, diffusion=str(tmp_path), steps=2)
    image, attention = synthesis.load(settings, CPU).generate("shower curtain", [0, 1])
    assert image.shape == (2, 64, 64, 3) and attention.shape == (2, 64, 64)
    assert attention.min() == 0 and attention.max() == 1


def test_captions_fit_their_tokens(encoder):
    names = DEMO.vocabulary
    prompts = [
        caption.format(name) for name in names for caption in (*diffusion.CAPTIONS, DEMO.synthesis.prompt)
    ]
    assert encoder.tokens(prompts).mask.shape[1] <= diffusion.TOKENS
    assert DEMO.synthesis.prompt in diffusion.CAPTIONS


# --- SAM -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def examples():
    rng = np.random.default_rng(0)
    mask = np.zeros((8, 64, 64), bool)
    image = rng.integers(0, 100, (8, 64, 64, 3), dtype=np.uint8)
    for i in range(8):
        r, c = rng.integers(10, 30, 2)
        mask[i, r : r + 24, c : c + 20] = True
        image[i][mask[i]] += 120
    return sam.Examples(image, mask)


SMALL = sam.Recipe(
    steps=2, batch=4, architecture=sam.Architecture(width=24, depth=1, heads=2, prompt_width=16)
)


def test_sam_is_saved_and_loaded(examples, tmp_path):
    losses = []
    model = sam.train(examples, SMALL, lambda step, loss: losses.append(loss))
    assert len(losses) == 2 and np.isfinite(losses).all()
    sam.save(tmp_path, model, SMALL)
    loaded = pseudo_masks.load_sam(tmp_path, CPU)
    mask = loaded.mask(examples.image[0], np.array([[20, 20], [25, 25]]))
    assert mask.shape == (64, 64) and mask.dtype == bool


def test_batched_prompts_equal_sams_own_way(examples):
    """The training's one prompt for each of many images is what Sam gives for each image alone."""
    torch.manual_seed(0)
    model = pseudo_masks.build_sam(**dataclasses.asdict(SMALL.architecture)).eval()
    points, labels = sam._prompts(examples.mask[:3], np.random.default_rng(0))
    pixels = torch.from_numpy(examples.image[:3]).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        together, _ = sam.predict(model, pixels, points, labels)
        for i in range(3):
            prompt = {
                "image": pixels[i],
                "original_size": (64, 64),
                "point_coords": points[i : i + 1],
                "point_labels": labels[i : i + 1],
            }
            alone = model([prompt], multimask_output=False)[0]["low_res_logits"]
            torch.testing.assert_close(together[i : i + 1], alone, atol=1e-4, rtol=1e-4)


def test_prompts_lie_in_their_mask(examples):
    points, labels = sam._prompts(examples.mask, np.random.default_rng(1))
    for mask, places, known in zip(examples.mask, points.numpy().astype(int), labels.numpy(), strict=True):
        assert (known == 1).any()
        assert mask[places[known == 1, 1], places[known == 1, 0]].all()
