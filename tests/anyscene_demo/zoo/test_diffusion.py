"""The recipes of the text-to-image model and of SAM: two steps on tiny data give models that load."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

from anyscene.capability import pseudo_masks, synthesis
from anyscene.capability.patch_autoencoder import PatchAutoencoder
from anyscene.project import parameters
from anyscene.weights import sam as sam_module
from anyscene_demo import world
from anyscene_demo.zoo import diffusion, sam
from tests.builders import REPOSITORY

pytestmark = pytest.mark.integration

COMMITTED = REPOSITORY / "models" / "demo"
DEMO = parameters.load(REPOSITORY / "params.yaml")
CPU = torch.device("cpu")
TINY = diffusion.DiffusionRecipe(steps=2, early_steps=1, early_images=4, batch=4)


@pytest.fixture(scope="module")
def encoder():
    return synthesis.load_text_encoder(DEMO.text)


@pytest.fixture(scope="module")
def images():
    """Six things, two crops of each."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2).reshape(6, 2, 64, 64, 3)


@pytest.fixture(scope="module")
def autoencoder(images):
    return diffusion.fit_autoencoder(images, TINY)


def train(images, autoencoder, encoder, **extra):
    captions, empty = diffusion.caption_states(encoder, ["bed", "shower curtain", "sofa"])
    latents = diffusion.encode(autoencoder, images)
    labels = np.array([0, 1, 2, 0, 1, 1])
    return diffusion.train_denoiser(latents, labels, captions, empty, TINY, **extra)


def smooth_images(count, rng):
    noise = torch.from_numpy(rng.standard_normal((count, 3, 8, 8), np.float32))
    return torch.nn.functional.interpolate(noise, (64, 64), mode="bicubic").clamp(-1, 1)


def test_autoencoder_is_the_best_linear_one():
    """Its principal components and its decoder are those of numpy's solvers, computed another way."""
    images = smooth_images(40, np.random.default_rng(0))
    model = PatchAutoencoder(latent_channels=6).fit(images).requires_grad_(False)
    latents = model.encode(images)
    assert latents.shape == (40, 6, 16, 16)
    assert latents.mean((0, 2, 3)).abs().max() < 1e-4
    assert latents.square().mean() == pytest.approx(1, abs=1e-3)
    patches = images.numpy().reshape(40, 3, 16, 4, 16, 4).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 48)
    directions = np.linalg.svd(patches - patches.mean(0), full_matrices=False)[2][:6]
    weight = model.encoder.weight.detach().numpy().reshape(6, 48)
    cosine = np.abs((weight / np.linalg.norm(weight, axis=1, keepdims=True) * directions).sum(1))
    np.testing.assert_allclose(cosine, 1, atol=1e-3)
    padded = np.pad(latents.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    around = np.stack([padded[:, :, r : r + 16, c : c + 16] for r in range(3) for c in range(3)], -1)
    around = around.transpose(0, 2, 3, 1, 4).reshape(-1, 54)
    around = np.concatenate([around, np.ones((len(around), 1))], 1)
    best = around @ np.linalg.lstsq(around, patches, rcond=None)[0]
    decoded = model.decode(latents).sample.numpy()
    ours = decoded.reshape(40, 3, 16, 4, 16, 4).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 48)
    assert np.square(ours - patches).mean() <= np.square(best - patches).mean() * 1.01 + 1e-7


def test_smooth_images_survive_the_autoencoder():
    images = smooth_images(64, np.random.default_rng(1))
    model = PatchAutoencoder(latent_channels=6).fit(images[:48]).requires_grad_(False)
    error = (model.decode(model.encode(images[48:])).sample - images[48:]).square().mean()
    assert error < 0.02 * images.var()


def test_crops_hold_their_thing_and_do_not_depend_on_later_images():
    rng = np.random.default_rng(0)
    rgb, mask = np.zeros((5, 96, 96, 3), np.uint8), np.zeros((5, 96, 96), bool)
    for i in range(5):
        r, c = rng.integers(0, 60, 2)
        mask[i, r : r + 30, c : c + 20] = True
        rgb[i][mask[i]] = 255
    crops = diffusion.portraits(rgb, mask, diffusion.DiffusionRecipe())
    assert crops.shape == (5, 4, 64, 64, 3)
    share = (crops[..., 0] > 127).mean((2, 3))
    whole = 600 / 48**2  # a square of half the image's side
    assert share.min() > 0.7 * whole and share.max() < 1.4 * whole
    np.testing.assert_array_equal(
        diffusion.portraits(rgb[:3], mask[:3], diffusion.DiffusionRecipe()), crops[:3]
    )


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


SMALL = sam.SamRecipe(
    steps=2, batch=4, architecture=sam.SamArchitecture(width=24, depth=1, heads=2, prompt_width=16)
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
    model = sam_module.build_sam(**dataclasses.asdict(SMALL.architecture)).eval()
    points, labels = sam.prompts(examples.mask[:3], np.random.default_rng(0))
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
    points, labels = sam.prompts(examples.mask, np.random.default_rng(1))
    for mask, places, known in zip(examples.mask, points.numpy().astype(int), labels.numpy(), strict=True):
        assert (known == 1).any()
        assert mask[places[known == 1, 1], places[known == 1, 0]].all()


def test_examples_are_cut_around_things():
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (4, 60, 80, 3), dtype=np.uint8)
    label, instance = np.zeros((4, 60, 80), np.uint8), np.zeros((4, 60, 80), np.uint16)
    label[:, 40:], label[:, 20:40, 20:40], instance[:, 20:40, 20:40] = 1, 5, 7
    label[:, :2] = 255
    rooms = sam.room_examples(rgb, label, instance, 12, 64, seed=0)
    square = rgb[:, :, :60]
    objects = sam.object_examples(square, instance[:, :, :60] > 0, 6, 64, seed=0)
    both = sam.join(objects, rooms)
    assert len(both) == 18 and both.image.shape == (18, 64, 64, 3)
    share = both.mask.mean((1, 2))
    assert share.min() > 0.02 and share.max() < 0.9
    again = sam.room_examples(rgb, label, instance, 12, 64, seed=0)
    np.testing.assert_array_equal(again.mask, rooms.mask)


# --- the committed models --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "recipe"), [("diffusion", diffusion.DiffusionRecipe()), ("sam", sam.SamRecipe())]
)
def test_committed_weights_are_those_of_the_recipe(name, recipe):
    folder = COMMITTED / name
    assert json.loads((folder / "recipe.json").read_text()) == json.loads(
        json.dumps(dataclasses.asdict(recipe))
    )
    with open(folder / "log.csv") as file:
        log = list(csv.DictReader(file))
    assert int(log[-1]["step"]) == recipe.steps
    assert float(log[-1]["loss"]) < float(log[0]["loss"])


def test_sam_finds_objects_it_never_saw():
    """Prompted inside the silhouettes of evaluation furniture it returns them: mean IoU at least .7."""
    model = pseudo_masks.load_sam(COMMITTED / "sam", CPU)
    found = []
    for seed in range(3):
        for label in range(len(world.OBJECT_CLASSES)):
            view = world.object_view((2, seed, label), "evaluation", label)
            mask = model.mask(view.rgb, pseudo_masks.select_points(view.mask))
            found.append((mask & view.mask).sum() / (mask | view.mask).sum())
    assert np.mean(found) >= 0.7
