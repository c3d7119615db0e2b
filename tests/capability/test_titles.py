"""What tables call a text-to-image pipeline and a SAM."""

import pytest

from anyscene.capability import titles


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("weights/stable-diffusion-v1-5", "sd15"),
        ("weights/stable-diffusion-xl-base-1.0", "sdxl"),
        ("weights/mine", "weights/mine"),
    ],
)
def test_published_pipelines_have_their_short_names(folder, name):
    assert titles.painter(folder) == name


def test_a_pipeline_that_takes_token_states_is_the_demos(tmp_path):
    (tmp_path / titles.CONDITION).touch()
    assert titles.painter(str(tmp_path)) == "diffusion (demo)"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("weights/sam_vit_h_4b8939.pth", "sam vit_h"),
        ("sam_vit_b_01ec64.pth", "sam vit_b"),
        ("vit_l/sam.pth", "sam (demo)"),
    ],
)
def test_published_sams_have_their_kind(path, name):
    assert titles.sam(path) == name
