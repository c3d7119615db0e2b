"""Files as the official scripts write them give, converted, what the same masks and features give
directly."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from anyscene.cli import convert
from anyscene.errors import DataError
from anyscene.project import parameters
from anyscene.segmenters import load_segmenter
from anyscene.segmenters.captions import noun_phrase
from anyscene.segmenters.captions.colour import ColourCaptioner
from anyscene.segmenters.class_names import SEEM
from anyscene.segmenters.named_masks import MaskModel, NamedMasks
from anyscene.segmenters.openseg.answer import corners
from anyscene.segmenters.precomputed import converters
from anyscene.segmenters.precomputed.converters import Options, torch_file
from anyscene.segmenters.precomputed.segmenter import load as load_answers
from anyscene.text import embeddings
from tests.builders import REPOSITORY, official_answers
from tests.builders.small_lseg import Text

VOCABULARY = ("wall", "chair", "table", "sofa", "floor", "bicycle")


@pytest.fixture
def found(tmp_path):
    return official_answers.images(tmp_path / "frames")


@pytest.fixture
def run(tmp_path, found):
    """Convert what a script wrote; returns the model."""

    def run(source, folder, text=Text(), **options):
        missing = options.pop("missing_is_empty", False)
        reader = converters.READERS[source](folder, Options(**options))
        wanted = converters.wanted(tmp_path / "frames")
        summary = converters.write(reader, wanted, tmp_path / source, missing_is_empty=missing)
        assert summary.images == len(found)
        return load_answers(source, tmp_path / source, text, nouns="vocabulary")

    return run


class Direct(MaskModel):
    """The masks themselves, in the process: of each image the names, and for each pixel the mask."""

    name, version, captioner = "direct", "", ColourCaptioner()

    def __init__(self, answer):
        self._answer = answer

    def named(self, images, vocabulary):
        for owner, names, captions in map(self._answer, images):
            similarity = (
                embeddings(Text(), names) @ embeddings(Text(), vocabulary).T if names else np.zeros((0, 1))
            )
            modifiers = None if captions is None else tuple(noun_phrase.modifiers(one) for one in captions)
            yield NamedMasks(owner, similarity.argmax(1), modifiers)


def assert_equal(converted, direct, images):
    """Labels, and the sentence of every pixel."""
    seen = set()
    for image in images:
        label, wanted = (one.label(image[None], VOCABULARY)[0] for one in (converted, direct))
        assert np.array_equal(label, wanted)
        ((found,), (reference,)) = (one.describe(image[None], VOCABULARY) for one in (converted, direct))
        sentence, expected = (np.array([*one.text, ""])[one.caption] for one in (found, reference))
        assert np.array_equal(sentence, expected)
        seen |= set(found.text)
    assert len(seen) > 3


def plain(name):
    return name.replace("-other", "").replace("-merged", "").replace("-stuff", "").replace("-", " ")


def load(file):
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("captions", [True, False])
def test_seem_as_sas_writes_it(run, found, tmp_path, captions):
    folder = official_answers.write_sas(tmp_path / "sas", found, captions)
    keys = {image.tobytes(): key for key, image in found.items()}

    def direct(image):
        key = keys[image.tobytes()]
        owner, names, said = np.full(image.shape[:2], -1, np.int32), [], []
        if (folder / "pano_seg" / f"{key}.pth").exists():
            segment, semantic = (
                load(folder / kind / f"{key}.pth").numpy() for kind in ("pano_seg", "sem_seg")
            )
            spoken = folder / "caption" / f"{key}.pth"
            caption = load(spoken)[0]["captions"] if spoken.exists() else None
            for place in np.ndindex(owner.shape):  # the colours of a part depend on its pixels together
                pair = int(segment[place]), int(semantic[place])
                if pair not in names:
                    names.append(pair)
                    said.append(caption[pair[0] - 1] if pair[0] and caption is not None else "")
                owner[place] = names.index(pair)
        return owner, [plain(SEEM[label]) for _, label in names], said if captions else None

    converted = run("seem", folder, missing_is_empty=True)
    assert_equal(converted, Direct(direct), found.values())
    assert json.loads((tmp_path / "seem/precomputed.json").read_text())["captions"] is captions


@pytest.mark.parametrize("source", ["odise", "seem"])
def test_panoptic_pairs(run, found, tmp_path, source):
    labels = official_answers.ODISE if source == "odise" else SEEM
    folder = official_answers.write_pairs(tmp_path / "pairs", found, len(labels))
    keys = {image.tobytes(): key for key, image in found.items()}

    def direct(image):
        segment, info = load(folder / "pano_seg" / f"{keys[image.tobytes()]}.pth")
        return segment.numpy() - 1, [plain(labels[one["category_id"]]) for one in info], None

    with pytest.raises(DataError, match=r"pano_seg/\w+\.pth: holds numbers of classes; say by --labels"):
        run(source, folder)
    converted = run(source, folder, labels=labels)
    assert_equal(converted, Direct(direct), found.values())


def test_tap_alone(run, found, tmp_path):
    folder = official_answers.write_tap(tmp_path / "caption", found)
    keys = {image.tobytes(): key for key, image in found.items()}

    def direct(image):
        owner, best = np.full(image.shape[:2], -1, np.int32), np.full(image.shape[:2], -1.0)
        file = folder / f"{keys[image.tobytes()]}.pth"
        if not file.exists():
            return owner, [], []
        (answer,) = load(file)
        for number, (mask, (score, _)) in enumerate(zip(answer["masks"], answer["scores"], strict=True)):
            better = (mask > 0) & (min(score, 1) > best)
            owner[better], best[better] = number, min(score, 1)
        return owner, answer["concepts"].tolist(), answer["captions"].tolist()

    assert_equal(run("tap", folder, missing_is_empty=True), Direct(direct), found.values())


class Eight(Text):
    width = official_answers.CHANNELS


@pytest.mark.parametrize("stride", [1, 3])
def test_openseg_as_openscene_reads_it(run, found, tmp_path, stride):
    """The nearest feature of each pixel, corners on corners, after the padding is cut off."""
    folder = official_answers.write_openseg(tmp_path / "raw", found)
    converted = run("openseg", folder, Eight(), stride=stride)
    for key, image in found.items():
        height, width = image.shape[:2]
        with np.load(folder / f"{key}.npz") as stored:
            feature = stored["ppixel_ave_feat"][0]
        scale = np.float32(40 / max(height, width))
        inside = feature[: int(np.float32(height) * scale), : int(np.float32(width) * scale)]
        wanted = np.zeros((height, width, official_answers.CHANNELS), np.float16)
        for row, column in np.ndindex(height, width):
            y = int(row * (len(inside) - 1) / (height - 1) + 0.5) if height > 1 else 0
            x = int(column * (inside.shape[1] - 1) / (width - 1) + 0.5) if width > 1 else 0
            wanted[row, column] = inside[y, x]
        if stride == 1:
            middle = wanted
        else:
            cells = -(-height // stride), -(-width // stride)
            middle = [
                [
                    wanted[
                        (2 * row + 1) * height // (2 * cells[0]), (2 * column + 1) * width // (2 * cells[1])
                    ]
                    for column in range(cells[1])
                ]
                for row in range(cells[0])
            ]
        (found_map,) = converted.describe(image[None], VOCABULARY)
        assert np.array_equal(found_map.feature.numpy(), np.array(middle, np.float32))


def test_openseg_features_that_were_extracted_already(run, found, tmp_path):
    (tmp_path / "raw").mkdir()
    features = {}
    for number, (key, image) in enumerate(found.items()):
        features[key] = torch.randn(official_answers.CHANNELS, *image.shape[:2]).half()
        torch.save(features[key], tmp_path / "raw" / f"{key}.{('pt', 'pth')[number % 2]}")
    converted = run("openseg", tmp_path / "raw", Eight())
    for key, image in found.items():
        (found_map,) = converted.describe(image[None], VOCABULARY)
        assert torch.equal(found_map.feature, features[key].permute(1, 2, 0).float())


@pytest.mark.parametrize(
    ("cells", "pixels", "wanted"),
    [
        (4, 3, [0, 2, 3]),
        (4, 4, [0, 1, 2, 3]),
        (2, 4, [0, 0, 1, 1]),
        (5, 1, [0]),
        (1, 3, [0, 0, 0]),
        (3, 5, [0, 1, 1, 2, 2]),
    ],
)
def test_corners_lie_on_corners(cells, pixels, wanted):
    """By hand: pixel i takes cell round(i (cells - 1) / (pixels - 1)), halves away from 0."""
    assert corners(cells, pixels).tolist() == wanted


def test_maps_of_another_size_are_read_at_the_pixels_centres(found, tmp_path):
    """SAS shows SEEM images whose shorter side is 512."""
    (tmp_path / "raw/pano_seg").mkdir(parents=True)
    key = next(iter(found))
    segment = torch.zeros(72, 96, dtype=torch.int32)
    segment[:36, :48] = 1
    torch.save((segment, [{"id": 1, "category_id": 0}]), tmp_path / f"raw/pano_seg/{key}.pth")
    answer = converters.READERS["odise"](tmp_path / "raw", Options(("sofa",))).read(key, (24, 32))
    wanted = np.zeros((1, 24, 32), bool)
    wanted[0, :12, :16] = True
    assert np.array_equal(answer.mask, wanted) and answer.name == ("sofa",) and answer.caption is None


def test_one_pixel_segments(found, tmp_path):
    (tmp_path / "raw/pano_seg").mkdir(parents=True)
    key = next(iter(found))
    segment = torch.zeros(1, 1, 24, 32, dtype=torch.int64)
    segment[..., 5, 7], segment[..., 23, 31] = 1, 2
    info = [{"id": 2, "category_id": 1}, {"id": 1, "category_id": 0}, {"id": 3, "category_id": 1}]
    torch.save((segment, info), tmp_path / f"raw/pano_seg/{key}.pth")
    answer = converters.READERS["odise"](tmp_path / "raw", Options(("sofa", "bed"))).read(key, (24, 32))
    assert answer.name == ("sofa", "bed") and answer.mask.sum((1, 2)).tolist() == [1, 1]
    assert answer.mask[0, 5, 7] and answer.mask[1, 23, 31]


def first(found, folder, kind):
    return folder / kind / f"{next(iter(found))}.pth"


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("pano_seg", torch.rand(24, 32), r"wanted a map \[h, w\]"),
        ("pano_seg", torch.zeros(24, dtype=torch.int32), r"wanted a map \[h, w\]"),
        ("pano_seg", torch.full((24, 32), -1), r"wanted a map \[h, w\]"),
        ("pano_seg", torch.full((24, 32), 2**40), r"wanted a map \[h, w\]"),
        ("pano_seg", {"panoptic_seg": 1}, r"wanted a map \[h, w\]"),
        ("sem_seg", torch.full((24, 32), 139), "class 139 has no name; there are 139"),
        ("pano_seg", torch.full((24, 32), 9), r"caption/\w+.pth: \d captions, but there is a segment 9"),
        ("caption", [{"captions": [1, 2, 3, 4, 5, 6]}], "wanted 'captions', one text for each mask"),
        ("caption", [1, 2], "the list of one dict that TAP"),
    ],
)
def test_wrong_answers_are_refused_by_name(run, found, tmp_path, kind, content, message):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    torch.save(content, first(found, folder, kind))
    with pytest.raises(DataError, match=message) as raised:
        run("seem", folder, missing_is_empty=True)
    assert f"{next(iter(found))}.pth: " in str(raised.value)
    assert not (tmp_path / "seem").exists() and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ([], "segment 1 is not in the list"),
        ([{"id": 1}], '"category_id"'),
        ([{"id": 1, "category_id": 1.7}], '"category_id"'),  # would be the class 1
        ([{"id": 1, "category_id": 5}], "class 5 has no name; there are 5"),
        ([{"id": 1, "category_id": -1}], "class -1 has no name"),
        (None, "wanted a list of"),
    ],
)
def test_wrong_lists_of_segments_are_refused(run, found, tmp_path, info, message):
    folder = official_answers.write_pairs(tmp_path / "pairs", found, 5)
    torch.save((torch.ones(24, 32, dtype=torch.int32), info), first(found, folder, "pano_seg"))
    with pytest.raises(DataError, match=rf"{next(iter(found))}\.pth: .*{message}"):
        run("odise", folder, labels=official_answers.ODISE)


def test_files_that_belong_together_must_be_there(run, found, tmp_path):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    first(found, folder, "caption").unlink()
    with pytest.raises(DataError, match=rf"caption/{next(iter(found))}\.pth: no such file"):
        run("seem", folder, missing_is_empty=True)
    first(found, folder, "sem_seg").unlink()
    with pytest.raises(DataError, match=rf"sem_seg/{next(iter(found))}\.pth: no such file"):
        run("seem", folder, missing_is_empty=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((2, 24, 32), np.uint8)}, r"found \[2, 24, 32\], \[3, 2\], \[3\] and \[3\]"),
        ({"masks": None}, r"wanted masks"),
        ({"scores": np.zeros(3)}, "wanted masks"),
        ({"scores": np.full((3, 2), np.nan)}, "scores contain NaN"),
        ({"concepts": np.array([1, 2, 3])}, "wanted 'concepts', one text"),
        (
            {"captions": np.array(["a"])},
            r"wanted masks \[n, h, w\], scores \[n, 2\], concepts \[n\] and captions \[n\], found",
        ),
    ],
)
def test_wrong_answers_of_tap_are_refused(run, found, tmp_path, change, message):
    folder = official_answers.write_tap(tmp_path / "caption", found)
    file = folder / f"{next(iter(found))}.pth"
    (answer,) = load(file)
    torch.save([{name: value for name, value in {**answer, **change}.items() if value is not None}], file)
    with pytest.raises(DataError, match=rf"{file}: .*{message}"):
        run("tap", folder, missing_is_empty=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_info": None}, "wanted ppixel_ave_feat and image_info"),
        ({"image_info": np.ones(3)}, r"image_info \[4, 2\]"),
        ({"ppixel_ave_feat": np.zeros((40, 40, 8))}, "found .40, 40, 8."),
        ({"ppixel_ave_feat": np.full((1, 40, 40, 8), np.nan)}, "NaN or infinity"),
        ({"ppixel_ave_feat": np.full((1, 40, 40, 8), 7e4)}, "or more than a float16 holds"),  # infinity
        (
            {"ppixel_ave_feat": np.zeros((1, 20, 40, 8))},
            "image_info says that the image covers 30 x 40 of 20 x 40 features; run OpenSeg on the image",
        ),
        (
            {"image_info": np.array([[48, 64], [40, 40], [0.5, 0.5], [0, 0]])},
            "of an image of 64x48, not 32x24",
        ),
        ({"image_info": np.array([{}], object)}, "not readable"),
    ],
)
def test_wrong_answers_of_openseg_are_refused(run, found, tmp_path, change, message):
    folder = official_answers.write_openseg(tmp_path / "raw", found)
    file = folder / f"{next(iter(found))}.npz"
    with np.load(file) as stored:
        arrays = {**stored, **change}
    np.savez(file, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(DataError, match=rf"{file}: .*{message}"):
        run("openseg", folder)


def test_an_answer_of_openseg_that_is_no_archive(run, found, tmp_path):
    folder = official_answers.write_openseg(tmp_path / "raw", found)
    file = folder / f"{next(iter(found))}.npz"
    with file.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(DataError, match=rf"{file}: not readable \(a single array"):
        run("openseg", folder)


def test_missing_answers_are_counted_and_may_mean_nothing_found(run, found, tmp_path):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    *_, last = found
    with pytest.raises(DataError, match=rf"1 of 5 images have no answer, first {last}; .*--missing-is-empty"):
        run("seem", folder)
    with pytest.raises(DataError, match="5 of 5 images have no answer"):
        run("seem", tmp_path, missing_is_empty=True)
    empty = run("seem", folder, missing_is_empty=True).label(found[last][None], VOCABULARY)
    assert (empty == -1).all()
    raw = official_answers.write_openseg(tmp_path / "raw", found)
    (raw / f"{last}.npz").unlink()
    with pytest.raises(DataError, match="1 images have no answer: features"):
        run("openseg", raw, Eight(), missing_is_empty=True)


def test_nothing_but_answers_is_replaced(run, found, tmp_path):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    (tmp_path / "seem").mkdir()
    (tmp_path / "seem/model.safetensors").write_text("weights")
    with pytest.raises(DataError, match=r"seem: exists and holds no precomputed\.json; name a new folder"):
        run("seem", folder, missing_is_empty=True)
    (tmp_path / "seem/model.safetensors").unlink()
    (tmp_path / "seem").rmdir()
    run("seem", folder, missing_is_empty=True)
    before = {file.name: file.read_bytes() for file in (tmp_path / "seem").iterdir()}
    (tmp_path / "seem/stale.npz").touch()
    run("seem", folder, missing_is_empty=True)
    assert not list(tmp_path.glob(".*"))
    assert {file.name: file.read_bytes() for file in (tmp_path / "seem").iterdir()} == before
    first(found, folder, "sem_seg").write_bytes(b"damaged")
    with pytest.raises(DataError):
        run("seem", folder, missing_is_empty=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "seem").iterdir()} == before


@pytest.mark.parametrize(
    "name", ["notes.txt", "model.safetensors", ".hidden", "more/x.npz", "folder.npz/x.npz"]
)
def test_what_lies_beside_answers_is_never_deleted(run, found, tmp_path, name):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    run("seem", folder, missing_is_empty=True)
    other = tmp_path / "seem" / name
    other.parent.mkdir(exist_ok=True)
    other.write_text("kept")
    with pytest.raises(DataError, match=rf"{tmp_path / 'seem' / Path(name).parts[0]}: is not an answer"):
        run("seem", folder, missing_is_empty=True)
    assert other.read_text() == "kept" and not list(tmp_path.glob(".*"))


class Killed(BaseException):
    """A kill, after which no code of the run is executed."""


@pytest.mark.parametrize("step", range(4))
def test_a_killed_run_leaves_the_old_answers_or_the_new(run, found, tmp_path, monkeypatch, step):
    """A run is killed before and after each of the renames, and the next run gives the same result."""
    folder, out = official_answers.write_sas(tmp_path / "sas", found), tmp_path / "seem"
    run("seem", folder, missing_is_empty=True)
    old = contents(out)
    segment = torch.zeros(24, 32, dtype=torch.int32)
    torch.save(segment, first(found, folder, "pano_seg"))
    steps, rename = iter(range(100)), Path.rename

    def killed(self, target):
        for moment in range(2):
            if next(steps) == step:
                raise Killed
            if not moment:
                rename(self, target)

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Path, "rename", killed)
        run("seem", folder, missing_is_empty=True)
    left = [contents(one) for one in (out, tmp_path / ".seem.old") if one.exists()]
    assert any(one == old for one in left) or step == 3
    with pytest.raises(DataError, match="broken"):  # a run that fails puts them back too
        converters.write(Broken(), converters.wanted(tmp_path / "frames"), out)
    whole = contents(out)
    assert (whole == old) == (step < 3)
    run("seem", folder, missing_is_empty=True)
    assert contents(out) != old and not list(tmp_path.glob(".*"))
    assert step < 3 or contents(out) == whole


class Broken:
    def has(self, key):
        return True

    def read(self, key, size):
        raise DataError("broken")


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_link_is_followed(run, found, tmp_path):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    run("seem", folder, missing_is_empty=True)
    (tmp_path / "seem").rename(tmp_path / "elsewhere")
    (tmp_path / "seem").symlink_to("elsewhere")
    (tmp_path / "elsewhere/stale.npz").touch()
    run("seem", folder, missing_is_empty=True)
    assert (tmp_path / "seem").is_symlink() and not (tmp_path / "elsewhere/stale.npz").exists()


def test_classes_of_odise_are_never_taken_for_seems(run, found, tmp_path):
    folder = official_answers.write_sas(tmp_path / "sas", found)
    with pytest.raises(DataError, match="say by --labels what the model was asked for"):
        run("odise", folder, missing_is_empty=True)


def test_the_classes_of_seem():
    assert len(SEEM) == len(set(SEEM)) == 139
    assert [SEEM[place] for place in (0, 56, 57, 59, 60, 79, 80, 131, 132, 133, 138)] == [
        "person", "chair", "couch", "bed", "dining table", "toothbrush", "banner", "wall-other-merged",
        "rug-merged", "sofa", "others",
    ]  # fmt: skip


class Shout:
    def __reduce__(self):
        return print, ("executed",)


def test_no_code_in_a_file_is_run(tmp_path, capsys):
    for content in (Shout(), [{"captions": Shout()}], np.array([Shout()], object)):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(DataError, match=r"x\.pth: holds more than tensors, arrays .*; nothing of it ran"):
            torch_file.load(tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes(pickle.dumps(Shout()))
    with pytest.raises(DataError, match=r"x\.pth"):
        torch_file.load(tmp_path / "x.pth")
    assert "executed" not in capsys.readouterr().out


def test_arrays_that_an_older_numpy_saved(tmp_path):
    """numpy 1 says numpy.core where numpy 2 says numpy._core."""
    content = {"captions": np.array(["a chair", "ein Stuhl"]), "one": np.float32(2), "many": np.arange(3)}
    torch.save(content, tmp_path / "new.pth")
    with zipfile.ZipFile(tmp_path / "new.pth") as new, zipfile.ZipFile(tmp_path / "old.pth", "w") as old:
        for name in new.namelist():
            data = new.read(name)
            if name.endswith("data.pkl"):
                assert b"numpy._core" in data
                data = data.replace(b"numpy._core", b"numpy.core")
            old.writestr(name, data)
    for name in ("new.pth", "old.pth"):
        found = torch_file.load(tmp_path / name)
        assert found["captions"].tolist() == ["a chair", "ein Stuhl"] and found["one"] == 2
        assert found["many"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("keep", [0, 10, -5])
def test_truncated_files(tmp_path, keep):
    torch.save(torch.zeros(100), tmp_path / "x.pth")
    (tmp_path / "x.pth").write_bytes((tmp_path / "x.pth").read_bytes()[:keep])
    with pytest.raises(DataError, match=r"x\.pth: damaged, (not readable|or holds more)"):
        torch_file.load(tmp_path / "x.pth")


def test_images_that_are_wanted(tmp_path, found):
    assert converters.wanted(tmp_path / "frames") == {key: image.shape[:2] for key, image in found.items()}
    (tmp_path / "frames" / f"{next(iter(found))}.png").unlink()
    with pytest.raises(DataError, match=rf"{next(iter(found))}\.png: not readable .*run `anyscene frames`"):
        converters.wanted(tmp_path / "frames")
    with pytest.raises(DataError, match=r"none/index\.csv: not readable .*run `anyscene frames`"):
        converters.wanted(tmp_path / "none")
    (tmp_path / "frames/index.csv").write_text("key,of,image,state\n")
    with pytest.raises(DataError, match="lists no images"):
        converters.wanted(tmp_path / "frames")


def test_the_command(tmp_path, found, monkeypatch):
    """As docs/precomputed.md tells it, up to a model among segmenters.names."""
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    Path("frames").rename("data/frames")
    official_answers.write_pairs(tmp_path / "odise", found, len(official_answers.ODISE))
    Path("labels.json").write_text(json.dumps(official_answers.ODISE))
    options = ["odise", "--from", "odise", "--out", "weights/odise"]
    result = CliRunner().invoke(convert.app, options)
    assert result.exit_code == 1 and "--labels" in result.stderr
    result = CliRunner().invoke(convert.app, [*options, "--labels", "labels.json"])
    assert result.exit_code == 0 and "5 images -> weights/odise, " in result.stdout, result.output
    values = parameters.read(REPOSITORY / "params.yaml")
    values["segmenters"] |= {"names": ["odise"], "weights": "weights"}
    Path("params.yaml").write_text(yaml.safe_dump(values))
    segmenter = load_segmenter("odise", parameters.load())
    image = next(iter(found.values()))
    assert (segmenter.label(image[None], VOCABULARY) >= 0).any()
    Path("labels.json").write_text("{}")
    result = CliRunner().invoke(convert.app, [*options, "--labels", "labels.json"])
    assert result.exit_code == 1 and "labels.json: wanted a JSON list of names" in result.stderr
