import csv
import dataclasses
import io
import json
import zipfile

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from anyscene.cli import frames
from anyscene.errors import DataError, WeightsError
from anyscene.lifting.projection import described_frames
from anyscene.project import parameters, store
from anyscene.scene import Camera, Frame, Scene
from anyscene.segmenters import CaptionMap, Segmenter, load_segmenter
from anyscene.segmenters.precomputed.image_index import IndexedImage, image_key
from anyscene.segmenters.precomputed.segmenter import PrecomputedMasks, digests, load, require
from anyscene.testing import SegmenterTests
from anyscene.testing.segmenters import SHAPES, noise
from tests.builders import REPOSITORY
from tests.builders.small_lseg import Text

VOCABULARY = ("wall", "chair", "table")
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
OTHER = IMAGE[::-1]


def answers(mask=(), label=(), score=()):
    mask = np.array(mask, bool).reshape(-1, *IMAGE.shape[:2])
    return {"mask": mask, "label": np.array(label, np.int32), "score": np.array(score, np.float32)}


def block(rows, columns):
    mask = np.zeros(IMAGE.shape[:2], bool)
    mask[rows, columns] = True
    return mask


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "seem"
    folder.mkdir()
    describe(folder, kind="masks", labels=["table", "chair", "wall"])
    two = answers([block(slice(0, 4), slice(0, 5)), block(slice(2, 6), slice(3, 8))], [1, 0], [0.5, 0.9])
    np.savez(folder / f"{image_key(IMAGE)}.npz", **two)
    np.savez(folder / f"{image_key(OTHER)}.npz", **answers())
    return folder


def describe(folder, **content):
    (folder / "precomputed.json").write_text(json.dumps({"format": 1, **content}))


def seem(folder, **options):
    return load("seem", folder, Text(), **options)


def test_masks_are_named_and_the_better_one_owns_what_both_hold(folder):
    segmenter = seem(folder)
    assert isinstance(segmenter, Segmenter)
    wanted = np.full(IMAGE.shape[:2], -1)
    wanted[0:4, 0:5] = VOCABULARY.index("chair")
    wanted[2:6, 3:8] = VOCABULARY.index("table")  # drawn later: its score is higher
    found = segmenter.label(np.stack([IMAGE, OTHER]), VOCABULARY)
    assert found.dtype == np.int16
    assert np.array_equal(found[0], wanted) and (found[1] == -1).all()
    captions, none = segmenter.describe(np.stack([IMAGE, OTHER]), VOCABULARY)
    assert isinstance(captions, CaptionMap) and np.array_equal(captions.caption < 0, wanted < 0)
    for number, words in enumerate(captions.text):
        (name,) = np.unique(wanted[captions.caption == number])
        assert words.endswith(f" {VOCABULARY[name]} in a scene")
    assert none.text == () and (none.caption == -1).all()


def test_a_caption_says_the_label_of_the_mask_or_the_closest_name(folder):
    """A pillow is a pillow where the vocabulary has none, as in SAS's seem_feat/fusion_util.py:85."""
    describe(folder, kind="masks", labels=["desk", "pillow", "wall"])
    few = ("desk", "wall")
    own, closest = (seem(folder, nouns=nouns) for nouns in ("own", "vocabulary"))
    said, of_the_vocabulary = (model.describe(IMAGE[None], few)[0].text for model in (own, closest))
    assert [text.split()[2] for text in said] == ["pillow", "desk"]
    assert {text.split()[2] for text in of_the_vocabulary} <= set(few)
    assert own.describe(IMAGE[None], ())[0].text == own.describe(IMAGE[None], few[:1])[0].text == said
    assert np.array_equal(own.label(IMAGE[None], few), closest.label(IMAGE[None], few))


class Unasked:
    """A captioner that fails when it is used."""

    template = "a {} in a scene"

    def modifiers(self, image, masks):
        raise AssertionError("asked")


@pytest.fixture
def captioned(folder):
    """A model whose masks carry captions."""
    describe(folder, kind="masks", captions=True, labels=["table", "chair", "wall"])
    for file in folder.glob("*.npz"):
        with np.load(file) as stored:
            said = ["a red bench by a blue wall", "an old wooden desk"][: len(stored["mask"])]
            np.savez(file, caption=np.array(said, str), **stored)
    return folder


def test_adjectives_are_those_of_the_masks_own_captions(captioned):
    segmenter = seem(captioned, captioner=Unasked())
    found, none = segmenter.describe(np.stack([IMAGE, OTHER]), VOCABULARY)
    assert found.text == ("a red chair in a scene", "an old wooden table in a scene")
    label = segmenter.label(IMAGE[None], VOCABULARY)[0]
    assert np.array_equal(found.caption, np.array([-1, 0, 1])[np.searchsorted([-1, 1, 2], label)])
    assert none.text == () and (none.caption == -1).all()


def test_captions_of_their_own_need_no_captioner(captioned, monkeypatch):
    params = parameters.load()
    section = dataclasses.replace(params.segmenters, weights=str(captioned.parent), captioner="blip")
    found = load_segmenter("seem", dataclasses.replace(params, segmenters=section))  # without BLIP's weights
    assert isinstance(found, PrecomputedMasks)
    describe(captioned, kind="masks", labels=["table", "chair", "wall"])
    with pytest.raises(WeightsError, match="blip"):
        load_segmenter("seem", dataclasses.replace(params, segmenters=section))


@pytest.mark.parametrize(
    ("caption", "message"),
    [
        (None, "array 'caption' is missing"),
        (np.array(["a chair"]), r"caption must be texts \[2\], not <U7 \[1\]"),
        (np.array([b"a", b"b"]), r"caption must be texts \[2\]"),
        (np.array([1, 2]), r"caption must be texts \[2\]"),
        (np.array(["a", None], object), "not readable"),
        (np.array([-1, -1], np.int32).view("U1"), "caption is not text"),
    ],
)
def test_wrong_captions_are_refused(captioned, caption, message):
    file = captioned / f"{image_key(IMAGE)}.npz"
    with np.load(file) as stored:
        arrays = {**stored, "caption": caption}
    np.savez(file, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(DataError, match=rf"{file.name}: {message}"):
        seem(captioned).describe(IMAGE[None], VOCABULARY)


def test_one_pixel_masks(folder):
    found = answers([block(5, 7), block(0, 0)], [0, 1], [1, 1])
    np.savez(folder / f"{image_key(IMAGE)}.npz", **found)
    label = seem(folder).label(IMAGE[None], VOCABULARY)[0]
    assert label[5, 7] == VOCABULARY.index("table") and label[0, 0] == VOCABULARY.index("chair")
    assert (label >= 0).sum() == 2


def test_of_equal_scores_the_first_mask_owns(folder):
    everywhere = block(slice(None), slice(None))
    np.savez(folder / f"{image_key(IMAGE)}.npz", **answers([everywhere, everywhere], [1, 0], [0.5, 0.5]))
    assert (seem(folder).label(IMAGE[None], VOCABULARY) == VOCABULARY.index("chair")).all()


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_features_are_those_of_the_file(folder, kind):
    describe(folder, kind="features")
    feature = np.random.default_rng(1).normal(size=(3, 4, 512)).astype(kind)
    np.savez(folder / f"{image_key(IMAGE)}.npz", feature=feature)
    segmenter = seem(folder)
    assert torch.equal(segmenter.describe(IMAGE[None], ())[0].feature, torch.from_numpy(feature).float())
    target = Text().encode([f"a {name} in a scene" for name in VOCABULARY])
    best = (feature.astype(np.float32) @ target.T).argmax(2)
    assert np.array_equal(segmenter.label(IMAGE[None], VOCABULARY)[0], best.repeat(2, 0).repeat(2, 1))


def test_a_missing_image_is_named(folder):
    unknown = IMAGE + 1
    with pytest.raises(DataError, match=rf"{image_key(unknown)}\.npz: seem has no answer .*8x6.*frames"):
        seem(folder).label(unknown[None], VOCABULARY)


GOOD = answers([block(0, 0)], [0], [1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mask": np.zeros((1, 8, 6), bool)}, r"mask must be b1\[n, 6, 8\], not bool \[1, 8, 6\]"),
        ({"mask": np.zeros((1, 6, 8), np.uint8)}, "mask must be b1"),
        ({"label": np.array([0, 1])}, r"label must be integers \[1\]"),
        ({"label": np.array([0.0])}, "label must be integers"),
        ({"label": np.array([3])}, r"label 3 is unknown; precomputed\.json lists 3 labels"),
        ({"label": np.array([-1])}, "label -1 is unknown"),
        ({"score": np.array([1.5], np.float32)}, r"scores must lie in 0\.\.1"),
        ({"score": np.array([np.nan], np.float32)}, r"scores must lie in 0\.\.1"),
        ({"score": np.ones(2, np.float32)}, r"score must be floats \[1\]"),
        ({"score": None}, "array 'score' is missing; `anyscene convert` writes all"),
    ],
)
def test_wrong_masks_are_refused_by_name(folder, change, message):
    arrays = {name: array for name, array in {**GOOD, **change}.items() if array is not None}
    np.savez(folder / f"{image_key(IMAGE)}.npz", **arrays)
    with pytest.raises(DataError, match=rf"{image_key(IMAGE)}\.npz: {message}"):
        seem(folder).describe(IMAGE[None], VOCABULARY)


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (np.zeros((3, 4, 384), np.float32), r"must be floats \[h, w, 512\], not float32 \[3, 4, 384\]"),
        (np.zeros((0, 4, 512), np.float32), "must be floats"),
        (np.zeros((3, 4, 512), np.int32), "must be floats"),
        (np.full((3, 4, 512), np.inf, np.float32), "NaN or infinity"),
        (np.full((3, 4, 512), 1e300), "or more than a float32 holds"),
    ],
)
def test_wrong_features_are_refused(folder, feature, message):
    describe(folder, kind="features")
    np.savez(folder / f"{image_key(IMAGE)}.npz", feature=feature)
    with pytest.raises(DataError, match=message):
        seem(folder).label(IMAGE[None], VOCABULARY)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_damaged_byte_is_noticed_or_makes_no_difference(folder, save):
    file = folder / f"{image_key(IMAGE)}.npz"
    with np.load(file) as stored:
        save(file, **dict(stored))
    whole, wanted = file.read_bytes(), seem(folder).label(IMAGE[None], VOCABULARY)
    noticed = 0
    for place in range(0, len(whole), 7):
        content = bytearray(whole)
        content[place] ^= 0xFF
        file.write_bytes(content)
        try:
            assert np.array_equal(seem(folder).label(IMAGE[None], VOCABULARY), wanted), place
        except DataError as error:
            assert str(file) in str(error)
            noticed += 1
    assert noticed > len(whole) / 7 / 3


@pytest.mark.parametrize("keep", [0, 10, -5])
def test_truncated_files(folder, keep):
    file = folder / f"{image_key(IMAGE)}.npz"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"npz: not readable"):
        seem(folder).label(IMAGE[None], VOCABULARY)


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def header(text):
    """A .npy file with the header `text` and no content."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def archive(mask):
    """GOOD as a .npz, whose mask.npy is `mask`."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name, array in GOOD.items():
            file.writestr(f"{name}.npy", mask if name == "mask" else npy(array))
    return stream.getvalue()


def encrypted(content):
    """The flags of all members say so."""
    content = bytearray(content)
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(mark, place + 1)
    return bytes(content)


ROWS = "{'descr': '|b1', 'fortran_order': False, 'shape': (%d, 6, 8)}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy(GOOD["mask"]), r"not readable \(a single array"),
        (archive(b"no array"), r"not readable \('mask' is not an array\)"),
        (archive(npy(np.array(True))), r"mask must be b1\[n, 6, 8\], not bool \[\]"),
        (archive(header(ROWS % 10**12)), "not readable"),
        (archive(header(ROWS % 1)), "not readable"),  # and then holds none
        (archive(header("{'descr': (\n")), "not readable"),
        (archive(header("[" * 3000 + "\n")), "not readable"),
        (encrypted(archive(npy(GOOD["mask"]))), "not readable .*password"),
        (None, "not readable .*directory"),
    ],
    ids=["npy", "bytes", "scalar", "huge", "short", "header", "nested", "encrypted", "folder"],
)
def test_what_is_no_answer_is_named(folder, content, message):
    file = folder / f"{image_key(IMAGE)}.npz"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    segmenter = seem(folder)
    with pytest.raises(DataError, match=rf"{file}: {message}"):
        segmenter.label(IMAGE[None], VOCABULARY)


def test_a_folder_is_no_answer(folder):
    wanted = IMAGE + 1
    (folder / f"{image_key(wanted)}.npz").mkdir()
    with pytest.raises(DataError, match="no answer for 1 of 2 images"):
        require("seem", folder, [IndexedImage(image_key(image), "a", "7") for image in (IMAGE, wanted)])


def test_objects_are_not_unpickled(folder):
    np.savez(folder / f"{image_key(IMAGE)}.npz", **{**GOOD, "label": np.array([{}], object)})
    with pytest.raises(DataError, match="not readable"):
        seem(folder).label(IMAGE[None], VOCABULARY)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 2, "kind": "features"}',
        '{"format": 1, "kind": "masks", "labels": []}',
        '{"format": 1, "kind": "masks", "labels": ["wall"], "captions": "yes"}',
    ],
)
def test_wrong_descriptions(folder, content):
    (folder / "precomputed.json").write_text(content)
    with pytest.raises(DataError, match=r"precomputed\.json"):
        seem(folder)


def test_any_name_with_answers_is_a_model(folder):
    params = parameters.load()
    section = dataclasses.replace(params.segmenters, weights=str(folder.parent))
    found = load_segmenter("seem", dataclasses.replace(params, segmenters=section))
    assert isinstance(found, PrecomputedMasks) and found.name == "seem"


def test_keys_are_of_pixels_and_shape():
    assert image_key(IMAGE) == image_key(IMAGE.copy()) == image_key(np.asfortranarray(IMAGE))
    assert len({image_key(IMAGE), image_key(OTHER), image_key(IMAGE.reshape(8, 6, 3))}) == 3


def test_images_to_answer_are_those_that_models_are_shown(tmp_path, monkeypatch):
    """Frames in the projection's size, and synthesised images; all under the names that are asked for."""
    monkeypatch.chdir(tmp_path)
    values = parameters.read(REPOSITORY / "params.yaml")
    values["dataset"]["root"] = "raw"
    values["projection"] |= {"width": 4, "height": 3, "border": 0}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    (tmp_path / "raw").mkdir()
    Image.fromarray(IMAGE).save(tmp_path / "raw/7.png")
    camera = Camera(np.array([[5, 0, 4], [0, 5, 3], [0, 0, 1.0]]), np.eye(4), 8, 6)
    frame = Frame("7", tmp_path / "raw/7.png", None, 1000.0, camera)
    cloud = np.zeros((1, 3), np.float32)
    face = np.zeros((0, 3), np.int32)
    scene = Scene("a", cloud, cloud.astype(np.uint8), cloud, face, (frame,), "val", "rgbd")
    store.write_scene(store.create(tmp_path / "data/scenes/a.zarr", "key"), scene, tmp_path / "raw")
    store.write(store.create(tmp_path / "data/synthesis/bed.zarr", "key"), "image", np.stack([IMAGE, OTHER]))

    shown = []

    class Model:
        def describe(self, images, vocabulary):
            shown.extend(images)
            return [None] * len(images)

    list(described_frames(scene.frames, Model(), (), (4, 3), 1))
    shown += [IMAGE, OTHER]
    for _ in range(2):  # a second time nothing changes
        assert CliRunner().invoke(frames.app, []).exit_code == 0
        with (tmp_path / "data/frames/index.csv").open(newline="") as stream:
            index = list(csv.reader(stream))[1:]
        assert [row[1:3] for row in index] == [["a", "7"], ["synthesis/bed", "0"], ["synthesis/bed", "1"]]
        for image, (key, *_) in zip(shown, index, strict=True):
            assert key == image_key(image)
            assert np.array_equal(np.asarray(Image.open(tmp_path / f"data/frames/{key}.png")), image)
    assert len(list((tmp_path / "data/frames").iterdir())) == 4


@pytest.fixture
def two_scenes(tmp_path, monkeypatch):
    """A folder of answers to three images, two of scene a and one of b; c has none that is noted."""
    monkeypatch.chdir(tmp_path)
    for key in "012":
        (tmp_path / f"{key * 32}.npz").write_text(key)
    return tmp_path, [IndexedImage(key * 32, of, key) for key, of in zip("012", "aab", strict=True)]


def test_the_answers_to_a_scene_are_its_own(two_scenes):
    folder, images = two_scenes

    def found():
        return digests(folder, images, "abc")

    before = found()
    (folder / f"{'2' * 32}.npz").write_text("another")
    after = found()
    assert {of for of in "abc" if after[of] != before[of]} == {"b", "c"}
    (folder / f"{'3' * 32}.npz").write_text("of a scene that is new")
    last = found()
    assert {of for of in "abc" if last[of] != after[of]} == {"c"}


def answer_noise(folder, answer):
    """Answer each image that SegmenterTests show. answer: (image, generator) -> the arrays of its file."""
    folder.mkdir()
    for shape in SHAPES:
        for count in (1, 2, 4):
            for image in noise(shape, count):
                rng = np.random.default_rng(image.reshape(-1)[:16].tolist())
                np.savez(folder / f"{image_key(image)}.npz", **answer(image, rng))


def random_masks(image, rng):
    """Three masks that overlap and leave out a part of the image."""
    size, count = image.shape[:2], 3
    mask = rng.random((count, *size)) < 0.4
    return {"mask": mask, "label": rng.integers(0, 3, count), "score": rng.random(count, np.float32)}


class TestMasksWithLabels(SegmenterTests):
    own_labels = True
    nouns = "own"

    @pytest.fixture(scope="class")
    def segmenter(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("answers") / "seem"
        answer_noise(folder, random_masks)
        describe(folder, kind="masks", labels=["table", "pillow", "wall"])
        return seem(folder, nouns=self.nouns)


class TestMasksOfTheVocabulary(TestMasksWithLabels):
    own_labels = False
    nouns = "vocabulary"


class TestFeatures(SegmenterTests):
    labels_everywhere = True
    unit_features = False  # they are as they were handed over

    @pytest.fixture(scope="class")
    def segmenter(self, tmp_path_factory):
        def features(image, rng):
            height, width = (-(-side // 4) for side in image.shape[:2])
            return {"feature": rng.normal(size=(height, width, Text.width)).astype(np.float16)}

        folder = tmp_path_factory.mktemp("answers") / "odise"
        answer_noise(folder, features)
        describe(folder, kind="features")
        return load("odise", folder, Text())
