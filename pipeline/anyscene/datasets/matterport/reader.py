"""Matterport3D as it is released; every region of a house is a scene, named HOUSE_regionN as by OpenScene:

    ROOT/HOUSE/region_segmentations/regionN.ply               the region's mesh: the scene's points
    ROOT/HOUSE/undistorted_camera_parameters/HOUSE.conf       intrinsics and pose of every frame of the house
    ROOT/HOUSE/undistorted_color_images/PANORAMA_iC_Y.jpg     colour of camera C at turn Y
    ROOT/HOUSE/undistorted_depth_images/PANORAMA_dC_Y.png     its depth, 0.25 mm a step
    ROOT/HOUSE/house_segmentations/HOUSE.house                the region of every panorama, read where
                                                              region_frames asks for it
    ROOT/splits/train.txt, val.txt, test.txt                  optional: houses of other splits

and the annotation, which truth.py reads. Sources: data_organization.md of
github.com/niessner/Matterport (8cd7c81) for the files; its code/gaps/pkgs/RGBD for what a .conf means; and
github.com/pengsongyou/openscene (0f369bc) for what the field takes of them.

A region's frames are those whose camera stands inside the box around its vertices (`box`: OpenScene, SAS), or
those of the panoramas that .house gives to it (`house`). A region without any takes the nearest 100 frames,
as OpenScene does in its test split; in train and val it leaves such regions out.

A .conf counts rows from the bottom: of OpenCV's cy it holds height - 1 - cy (RGBDCamera.cpp). OpenScene takes
it as if it counted from the top, which moves its pixels by 2 cy - height + 1, a few rows of 1024; here it is
turned.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from anyscene.arrays import F4, F8
from anyscene.datasets import ply, raw_files
from anyscene.datasets.entry import Entry, Extent, beside
from anyscene.datasets.label_sets import LabelSet, label_set
from anyscene.datasets.matterport import truth
from anyscene.datasets.truth import Truth
from anyscene.errors import DataError
from anyscene.project import parameters
from anyscene.project.digests import Digests
from anyscene.scene import Camera, Frame, Scene

NAMES = ("train", "val", "test")
REGION = re.compile(r"region\d+")
REGIONS, CAMERAS, HOUSES = "region_segmentations", "undistorted_camera_parameters", "house_segmentations"
IMAGES = ("undistorted_color_images", "undistorted_depth_images")
DEPTH_SCALE = 4000.0
NEAREST = 100  # the number of frames of a region in which no camera stands
OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])  # to OpenCV axes
UNLISTED = "unlisted"

RegionFrames = Literal["box", "house"]


@dataclass(frozen=True)
class Matterport:
    """The houses in `root`."""

    root: Path
    name: str  # of the data set
    stride: int = 1  # every n-th frame of a region
    labels: str | Path = "matterport21"  # a label set with nyu40_id or matterport_id
    region_frames: RegionFrames = "box"  # how the frames of a region are found
    memory: Path | None = None  # folder in which the hashes of files are remembered

    def splits(self) -> dict[str, str]:
        """The split of every region, which is that of its house, sorted by id. Raises DataError where there
        are none."""
        if not self.root.is_dir():
            raise DataError(f"{self.root}: no such folder; dataset.root must hold the houses' folders")
        houses = raw_files.listed_splits(self.root, NAMES)
        if houses is None:
            there = [path.name for path in self.root.iterdir() if raw_files.is_folder(path / REGIONS)]
            official = official_splits()
            houses = {house: official.get(house, UNLISTED) for house in there}
        splits: dict[str, str] = {}
        for house, split in houses.items():
            files = (self.root / house / REGIONS).glob("*.ply")
            regions = [f"{house}_{file.stem}" for file in files if REGION.fullmatch(file.stem)]
            splits |= dict.fromkeys(regions or [house], split)  # keys() says what the house lacks
        if not splits:
            raise DataError(f"{self.root}: no houses; each is a folder with {REGIONS}/")
        return dict(sorted(splits.items()))

    def keys(self) -> dict[str, str | DataError]:
        """A hash of the split and the files of every scene, without the annotation; the error where they
        cannot be read.

        An image of a house that changes changes the keys of all its regions: only their meshes could tell
        which regions it shows.
        """
        with Digests(self.memory) as digest:
            return {scene: self._key(scene, split, digest) for scene, split in self.splits().items()}

    def truth_keys(self) -> dict[str, str | DataError]:
        """A hash of the annotation of every scene, and of what its labels mean."""
        meaning = {name: ids.tolist() for name, ids in self._label_set().ids.items()}
        meaning["table"] = truth.table_text(self.root)
        with Digests(self.memory) as digest:
            return {
                scene: raw_files.key(self.root, named[0], digest, {_mesh(scene)}.__contains__, [meaning])
                for scene in self.splits()
                if (named := _house_and_region(scene)) is not None
            }

    def read(self, scene: str) -> Scene:
        """The scene; the pixels of its frames are read later. Raises DataError naming the file and what to
        do."""
        house, region = house_and_region(scene)
        folder = raw_files.scene_folder(self.root, house)
        mesh = folder / _mesh(scene)
        if not mesh.is_file():
            raise DataError(f"{mesh}: missing; unzip the house's region_segmentations")
        places, rgb, normal, face = ply.read_mesh(mesh)
        xyz = places.astype(np.float32, copy=False)
        records = read_cameras(folder / CAMERAS / f"{house}.conf")
        if self.region_frames == "house":
            regions = panorama_regions(folder / HOUSES / f"{house}.house")
            inside = _of_region(records, regions, int(region.removeprefix("region")), folder, house)
        else:
            inside = _in_box(records, xyz)
        if not inside:
            inside = _nearest(records, xyz)
        frames = tuple(_frame(folder, record) for record in inside[:: self.stride])
        split = self.splits().get(scene, UNLISTED)
        return Scene(scene, xyz, rgb, normal, face, frames, split, self.name)

    def read_truth(self, scene: str) -> Truth:
        """The annotation of the vertices. Raises DataError naming the file and what to do."""
        house, _ = house_and_region(scene)
        return truth.read(
            raw_files.scene_folder(self.root, house) / _mesh(scene), self.root, self._label_set()
        )

    def read_frame_truth(self, scene: str, frame: str) -> None:
        """None, since frames are not annotated."""

    def _label_set(self) -> LabelSet:
        return label_set(self.labels)

    def _key(self, scene: str, split: str, digest: Digests) -> str | DataError:
        if _house_and_region(scene) is None:
            return DataError(
                f"{self.root / scene / REGIONS}: no regionN.ply; unzip the house's {REGIONS} there"
            )
        house, _ = house_and_region(scene)
        if split == UNLISTED:
            return DataError(
                f"{self.root / house}: in none of Matterport3D's official splits; list the house in "
                f"{self.root / 'splits'}/train.txt, val.txt or test.txt"
            )
        own = {_mesh(scene), Path(CAMERAS, f"{house}.conf")}
        if self.region_frames == "house":
            own.add(Path(HOUSES, f"{house}.house"))
        images = raw_files.key(
            self.root, house, digest, lambda file: file.parts[0] in IMAGES
        )  # once for all regions
        if isinstance(images, DataError):
            return images
        extra = [split, self.name, self.region_frames, images]
        return raw_files.key(self.root, house, digest, own.__contains__, extra)


@dataclass(frozen=True, eq=False)
class Record:
    """A line of a .conf: the files of one frame, and its camera."""

    color: str  # name of the image
    depth: str  # name of the depth map
    intrinsics: F8  # f8[3,3], counts rows from the bottom
    pose: F8  # f8[4,4], camera to world, OpenCV axes
    line: str  # the place of the line, for messages

    @property
    def id(self) -> str:
        return Path(self.color).stem

    @property
    def panorama(self) -> str:
        return self.id.split("_")[0]


def official_splits() -> dict[str, str]:
    """The split of every house: 61 train, 11 val, 18 test."""
    return {
        house: name
        for name in NAMES
        for house in raw_files.lines(raw_files.SPLITS / f"matterport_{name}.txt")
    }


def house_and_region(scene: str) -> tuple[str, str]:
    """("HOUSE", "regionN") for the id HOUSE_regionN. Raises DataError for any other id."""
    if (named := _house_and_region(scene)) is None:
        raise DataError(f"scene {scene!r}: not a region of a house; name it like 17DRP5sb8fy_region0")
    return named


def _house_and_region(scene: str) -> tuple[str, str] | None:
    house, _, region = scene.rpartition("_")
    return (house, region) if house and REGION.fullmatch(region) else None


def read_cameras(path: Path) -> list[Record]:
    """The frames of a .conf in the order of the file. A line intrinsics_matrix holds for the scans after it,
    until the next such line.

    Raises DataError that names a line which does not belong in a .conf, and where there are fewer scans than
    n_images says.
    """
    records: list[Record] = []
    intrinsics, count = None, None
    for number, line in enumerate(_text(path).splitlines(), 1):
        command, *values = line.split() or ("",)
        where = f"{path}: line {number}"
        try:
            if command == "n_images":
                count = int(values[0])
            elif command == "intrinsics_matrix":
                intrinsics = np.array([float(v) for v in values]).reshape(3, 3)
            elif command == "scan":
                depth, color, *numbers = values
                if intrinsics is None:
                    raise ValueError("no intrinsics_matrix before it")
                pose = np.array([float(v) for v in numbers]).reshape(4, 4) @ OPENGL
                records.append(Record(color, depth, intrinsics, pose, where))
            elif command not in ("", "dataset", "depth_directory", "color_directory"):
                raise ValueError(f"unknown command {command!r}")
        except (ValueError, IndexError) as error:
            raise DataError(f"{where}: not of a camera file ({error}); unzip it again") from error
    if count != len(records) or not records:
        raise DataError(
            f"{path}: {len(records)} scans, n_images says {count}; it is cut short, unzip it again"
        )
    return records


def panorama_regions(path: Path) -> dict[str, int]:
    """The region of every panorama of a .house, -1 = none. Raises DataError where the file has another form
    or is cut short."""
    lines = [line.split() for line in _text(path).splitlines()]
    try:
        if lines[0][0] != "ASCII":
            raise ValueError(f"begins with {lines[0][0]!r}, not ASCII")
        panoramas = int(lines[1][4])
        # Portals have P lines too, before those of panoramas.
        portals = 0 if lines[0][1] == "1.0" else int(lines[1][12])
        found = [line for line in lines if line and line[0] == "P"]
        if len(found) != panoramas + portals:
            raise ValueError(f"{len(found)} lines P for {panoramas} panoramas and {portals} portals")
        return {line[1]: int(line[3]) for line in found[portals:]}
    except (ValueError, IndexError) as error:
        raise DataError(f"{path}: not a readable house file ({error}); unzip it again") from error


def _in_box(records: list[Record], xyz: F4) -> list[Record]:
    low, high = xyz.min(0), xyz.max(0)
    return [r for r in records if np.all((r.pose[:3, 3] > low) & (r.pose[:3, 3] < high))]


def _of_region(
    records: list[Record], regions: dict[str, int], region: int, folder: Path, house: str
) -> list[Record]:
    for record in records:
        if record.panorama not in regions:
            raise DataError(
                f"{record.line}: panorama {record.panorama} is not in {folder / HOUSES / house}.house; "
                "unzip both again, or set dataset.matterport.region_frames to box"
            )
    return [record for record in records if regions[record.panorama] == region]


def _nearest(records: list[Record], xyz: F4) -> list[Record]:
    centre = (xyz.min(0) + xyz.max(0)) / 2
    distance = [np.linalg.norm(record.pose[:3, 3] - centre) for record in records]
    return [records[i] for i in np.argsort(distance, kind="stable")[:NEAREST]]


def _frame(folder: Path, record: Record) -> Frame:
    color, depth = folder / IMAGES[0] / record.color, folder / IMAGES[1] / record.depth
    for path in (color, depth):
        if not path.is_file():
            raise DataError(f"{path}: missing, {record.line} names it; unzip the house's {path.parent.name}")
    width, height = raw_files.depth_size(depth)
    intrinsics = record.intrinsics.copy()
    intrinsics[1, 2] = height - 1 - intrinsics[1, 2]
    intrinsics = raw_files.centred(intrinsics, (width, height), Path(record.line))
    try:
        camera = Camera(intrinsics, record.pose, width, height)
    except DataError as error:
        raise DataError(f"{record.line}: {error}; unzip the file again") from error
    return Frame(record.id, color, depth, DEPTH_SCALE, camera)


def _mesh(scene: str) -> Path:
    return Path(REGIONS, f"{house_and_region(scene)[1]}.ply")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; unzip the house's {path.parent.name}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable ({error}); unzip it again") from error


@dataclass(frozen=True)
class Settings:
    """The section dataset.matterport."""

    # a region's frames are those with a camera in its box, or those that its .house file names
    region_frames: RegionFrames


class _Entry(Entry):
    settings = Settings
    origins = "houses"

    def origin(self, scene: str) -> str:
        return scene.partition("_region")[0]

    def open(self, section: parameters.Dataset, scenes: parameters.Scenes, memory: Path) -> Matterport:
        labels, frames = section.label_set, section.settings(self.name).region_frames
        return Matterport(Path(section.root), section.name, scenes.frame_stride, labels, frames, memory)

    def files(self, section: parameters.Dataset) -> Sequence[Path]:
        return beside(Path(section.root), truth.TABLE)

    def published(self, stride: int) -> Extent:
        known = "all of Matterport3D (Chang et al. 2017), each view in one region"
        return Extent(None, None, 194_400 // stride, None, known)


ENTRY = _Entry("matterport")
