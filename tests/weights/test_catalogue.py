"""The table of published weights holds together, and with the models that read them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from anyscene.errors import ConfigError
from anyscene.segmenters import REGISTRY, grounded, lseg, sam3, universal
from anyscene.segmenters.captions import blip, tap
from anyscene.weights import catalogue, reading
from anyscene.weights.catalogue import CATALOGUE
from tests.builders import REPOSITORY


def test_every_entry_says_what_it_is():
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)
    for entry in CATALOGUE:
        assert entry.source.startswith("https://") and entry.licence and entry.what and entry.files
        assert not (entry.repository and entry.url) and not (entry.elsewhere and entry.repository)
        for file in entry.files:
            assert not Path(file.name).is_absolute() and ".." not in file.name
            assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)
        hashed = [file for file in entry.files if file.sha256]
        assert bool(hashed) == bool(entry.sha256_from)


def test_git_ignores_what_is_fetched_beside_the_models_of_the_demo(tmp_path):
    """`segmenters.weights` of the demo is models/demo, of which git keeps the demo's own models."""
    (tmp_path / "models").mkdir()
    shutil.copy(REPOSITORY / "models/.gitignore", tmp_path / "models/.gitignore")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)

    def ignored(paths):
        asked = subprocess.run(
            ["git", "-C", tmp_path, "check-ignore", *paths], check=False, capture_output=True, text=True
        )
        return set(asked.stdout.split())

    fetched = {
        f"models/demo/{entry.folder}/{name}"
        for entry in CATALOGUE
        for name in (*(file.name for file in entry.files), reading.SUMS)
    }
    assert ignored(fetched) == fetched
    own = [
        f"models/demo/{name}/model.safetensors" for name in ("dense", "diffusion", "mask", "sam", "student")
    ]
    assert not ignored([*own, "models/demo/diffusion/unet/config.json", f"models/demo/{reading.SUMS}"])


def test_what_the_hub_has_can_be_fetched_from_there():
    hub = "https://huggingface.co/"
    for entry in CATALOGUE:
        if entry.source.startswith(hub) and not entry.elsewhere:
            assert entry.fetchable and entry.source.removeprefix(hub).startswith(entry.repository or "none")


def test_the_models_read_what_is_listed():
    assert {file.name for file in catalogue.get("lseg").files} <= set(lseg.FILES)
    listed = [entry for entry in CATALOGUE if entry.folder == "tap"]
    assert {file.name for entry in listed for file in entry.files} == {*tap.FILES, tap.TOKENIZER}
    for name in ("mask2former", "oneformer"):
        assert {file.name for file in catalogue.get(name).files} == set(universal.FILES)
    for name, model in (("blip", blip), ("grounded", grounded), ("sam3", sam3)):
        assert {file.name for file in catalogue.get(name).files} >= set(model.FILES)


def test_every_model_is_listed():
    listed = {entry.name for entry in CATALOGUE}
    assert listed >= set(REGISTRY.names()) - {"dense", "mask"}  # the demo's are in the repository


@pytest.mark.parametrize(
    ("path", "entry"),
    [
        ("weights/sam/sam_vit_h_4b8939.pth", "sam_vit_h"),
        ("elsewhere/sam_vit_b_01ec64.pth", "sam_vit_b"),
        ("mine_sam_vit_b_01ec64.pth", None),
        ("weights/clip-vit-b32/open_clip_model.safetensors", "clip-vit-b32"),
        ("weights/mine/open_clip_model.safetensors", None),
        ("weights/stable-diffusion-v1-5", "stable-diffusion-v1-5"),
        ("weights/stable-diffusion-v1-5/unet/config.json", "stable-diffusion-v1-5"),
        ("models/demo/diffusion/unet/config.json", None),
        ("models/demo/diffusion/model_index.json", None),
        ("models/demo/sam", None),
        ("models/demo/dense/model.safetensors", None),
        ("weights/odise/precomputed.json", "odise"),
        ("weights/seem/seem_focall_v0.pt", "seem"),
        ("weights/seem/seem_focalt_v1.pt", "seem-focalt-v1"),
        ("weights/tap/models/tap_vit_l_v1_1.pkl", "tap-vit-l"),
        ("weights/tap/text_tokenizer.model", "tap"),
    ],
)
def test_a_path_tells_its_entry(path, entry):
    found = catalogue.entry_of(Path(path))
    assert (found and found.name) == entry


def test_sizes_are_known_whole_or_not_at_all():
    assert catalogue.get("sam_vit_h").size == 2564550879
    assert catalogue.get("blip").size is None


def test_unknown_name():
    with pytest.raises(ConfigError, match="no published weights are called 'sam'; known: lseg, seem"):
        catalogue.get("sam")
