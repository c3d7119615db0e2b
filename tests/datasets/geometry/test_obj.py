"""OBJ files as tools write them.

What people report of other readers: vertices are dropped where a tab follows the keyword
(cnr-isti-vclab/meshlab, issue 267; simbody/simbody, issue 747); indices count from the end of what was
read so far, where blocks of vertices and faces alternate (mikedh/trimesh, issue 2364); a 0 for an index
(tinyobjloader/tinyobjloader, issue 140); files of materials whose names have blanks (meshlab, issue 66) or
folders of another machine (introlab/rtabmap, issue 500); normals that are named and not there
(Open-Cascade-SAS/OCCT, issue 510); more vertices than lines `v` (mikedh/trimesh, issue 489).
"""

import numpy as np
import pytest
from PIL import Image

from anyscene.datasets.geometry import obj
from anyscene.errors import DataError

SQUARE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 1 1 0\n"
COLOURS = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 8, 9]]
LAID = "vt 0.25 0.25\nvt 0.75 0.25\nvt 0.25 0.75\nvt 0.75 0.75\n"
FACES = [[0, 1, 2], [1, 3, 2]]


def read(tmp_path, text):
    (tmp_path / "m.obj").write_bytes(text.encode())
    return obj.read(tmp_path / "m.obj")


def write_materials(folder, said="newmtl wall\nKd 1 1 1\nmap_Kd the wall.png\n", name="m.mtl"):
    pixels = np.array(COLOURS, np.uint8)[[2, 3, 0, 1]].reshape(2, 2, 3)
    Image.fromarray(pixels).save(folder / "the wall.png")
    (folder / name).write_text(said)


@pytest.mark.parametrize(
    "faces",
    [
        "f 1 2 3\nf 2 4 3\n",
        "f -4 -3 -2\nf -3 -1 -2\n",
        "f 1//1 2//1 3//1\nf 2//1 4//1 3//1\n",
        "g wall\ns 1\nf 1 2 3\n# comment\n  f 2 4 \\\n 3\n",
        "o a\nf 1 2 3\no b\nf 2 4 3\r\n",
        "f\t1 2 3\nf\t2\t4\t3\n",
        "f 1\v2\v3\nf 2 4\f3\n",
        "f 1//7 2//8 3//9\nf 2//7 4//7 3//7\n",
    ],
)
def test_faces_in_every_form(tmp_path, faces):
    found = read(tmp_path, SQUARE + "vn 0 0 1\n" + faces)
    assert found.face.tolist() == FACES and found.rgb is None
    assert found.xyz.dtype == np.float64 and found.xyz[3].tolist() == [1, 1, 0]


def test_blocks_of_vertices_and_faces_alternate(tmp_path):
    block = "v {0} 0 0\nv {0} 1 0\nv {0} 0 1\nf -3 -2 -1\n"
    found = read(tmp_path, block.format(0) + block.format(5))
    assert found.face.tolist() == [[0, 1, 2], [3, 4, 5]] and found.xyz[:, 0].tolist() == [0, 0, 0, 5, 5, 5]


def test_tabs_before_vertices(tmp_path):
    assert read(tmp_path, SQUARE.replace("v ", "v\t") + "v 9 9 9\n").xyz.tolist()[:4] == [
        [0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0],
    ]  # fmt: skip


def test_polygons_and_points_alone(tmp_path):
    assert read(tmp_path, SQUARE + "f 1 2 4 3\nf 1 2 3\nl 1 2\n").face.tolist() == [
        [0, 1, 3],
        [0, 3, 2],
        [0, 1, 2],
    ]
    assert len(read(tmp_path, SQUARE).xyz) == 4 and len(read(tmp_path, SQUARE).face) == 0


@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_colours_of_vertices(tmp_path, scale):
    lines = [
        f"v {place} {' '.join(str(scale * value) for value in tint)}"
        for place, tint in zip(("0 0 0", "1 0 0", "0 1 0", "1 1 0"), COLOURS, strict=True)
    ]
    assert read(tmp_path, "\n".join(lines) + "\nf 1 2 3\n").rgb.tolist() == COLOURS


@pytest.mark.parametrize("library", ["m.mtl", "./m.mtl", "C:\\export\\m.mtl"])
@pytest.mark.parametrize("image", ["the wall.png", "textures\\the wall.png", "/tmp/elsewhere/the wall.png"])
def test_colours_of_a_texture_and_vertices_in_the_order_of_the_file(tmp_path, library, image):
    write_materials(tmp_path, f"newmtl wall\nKd 1 1 1\nmap_Kd {image}\n")
    found = read(tmp_path, f"mtllib {library}\n{SQUARE}{LAID}usemtl wall\nf 1/1 2/2 3/3\nf 2/2 4/4 3/3\n")
    assert found.rgb.tolist() == COLOURS and len(found.xyz) == 4


def test_a_vertex_at_a_seam_has_the_mean(tmp_path):
    write_materials(tmp_path)
    found = read(tmp_path, f"mtllib m.mtl\n{SQUARE}{LAID}usemtl wall\nf 1/1 2/2 3/3\nf 2/4 4/4 3/3\n")
    assert found.rgb[1].tolist() == [4, 132, 4] and found.rgb[3].tolist() == COLOURS[3]


def test_an_image_with_options_before_its_name(tmp_path):
    write_materials(tmp_path, "newmtl wall\nmap_Kd -s 1 1 1 wall.png\n")
    (tmp_path / "the wall.png").rename(tmp_path / "wall.png")
    found = read(tmp_path, f"mtllib m.mtl\n{SQUARE}{LAID}usemtl wall\nf 1/1 2/2 3/3\nf 2/2 4/4 3/3\n")
    assert found.rgb.tolist() == COLOURS


def test_several_files_of_materials_in_a_line(tmp_path):
    (tmp_path / "a.mtl").write_text("newmtl\tred\nKd\t1 0 0\n")
    (tmp_path / "b.mtl").write_text("newmtl blue\nKd 0 0 1\n")
    found = read(tmp_path, f"mtllib a.mtl b.mtl\n{SQUARE}usemtl\tred\nf 1 1 1\nusemtl blue\nf 2 4 3\n")
    assert found.rgb.tolist() == [[255, 0, 0], *3 * [[0, 0, 255]]]
    (tmp_path / "a.mtl").rename(tmp_path / "a b.mtl")
    found = read(tmp_path, f"mtllib a b.mtl\n{SQUARE}usemtl red\nf 1 2 3\nf 2 4 3\n")
    assert found.rgb.tolist() == 4 * [[255, 0, 0]]


def test_a_coordinate_of_one_number(tmp_path):
    write_materials(tmp_path)
    laid = LAID.replace("vt 0.25 0.25\n", "vt 0.25\n")
    found = read(tmp_path, f"mtllib m.mtl\n{SQUARE}{laid}usemtl wall\nf 1/1 2/2 3/3\nf 2/2 4/4 3/3\n")
    assert found.rgb.tolist() == COLOURS


def test_coloured_vertices_need_no_file_of_materials(tmp_path):
    text = "mtllib none.mtl\nv 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nusemtl grey\nf 1 2 3\n"
    assert read(tmp_path, text).rgb.tolist() == 3 * [[255, 0, 0]]


def test_colours_of_materials(tmp_path):
    write_materials(tmp_path, "newmtl red\nKd 1 0 0\nnewmtl none\nNs 10\n")
    found = read(tmp_path, f"mtllib m.mtl\n{SQUARE}v 5 5 5\nusemtl red\nf 1 2 3\nusemtl none\nf 2 4 3\n")
    assert found.rgb.tolist() == [[255, 0, 0], [192, 64, 64], [192, 64, 64], [128] * 3, [128] * 3]
    write_materials(tmp_path, "newmtl none\nNs 10\n")
    assert read(tmp_path, f"mtllib m.mtl\n{SQUARE}usemtl none\nf 1 2 3\n").rgb is None


def test_colours_of_vertices_come_before_those_of_materials(tmp_path):
    write_materials(tmp_path, "newmtl grey\nKd .75 .75 .75\n")
    text = "mtllib m.mtl\nv 0 0 0 1 0 0\nv 1 0 0 1 0 0\nv 0 1 0 1 0 0\nusemtl grey\nf 1 2 3\n"
    assert read(tmp_path, text).rgb.tolist() == 3 * [[255, 0, 0]]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("", r"m\.obj: has no vertices"),
        ("v 0 0\n", r"m\.obj: has no vertices with x, y, z"),
        ("v 0 0 zero\n", r"m\.obj: not a readable OBJ file"),
        (SQUARE + "f 1 2 9\n", r"m\.obj: a face names a vertex that is not there"),
        (SQUARE + "f 1 2 -9\n", r"m\.obj: a face names a vertex that is not there"),
        (SQUARE + "f 1 2 0\nv 1 1 1\n", r"m\.obj: not a readable OBJ file \(a face names 0"),
        (f"mtllib w.mtl\n{SQUARE}{LAID}usemtl w\nf 1/1 2/5 3/3\n", r"m\.obj: a face names a texture coord"),
        (f"mtllib w.mtl\n{SQUARE}{LAID}usemtl w\nf 1/1 2/-6 3/3\n", r"m\.obj: a face names a texture coord"),
        (SQUARE + "vt u v\nf 1 2 3\n", r"m\.obj: not a readable OBJ file"),
        (SQUARE + "vt\nf 1 2 3\n", r"m\.obj: not a readable OBJ file"),
        (SQUARE + f"f 1 2 {10**20}\n", r"m\.obj: not a readable OBJ file"),
        (SQUARE + "f a b c\n", r"m\.obj: not a readable OBJ file"),
        (f"mtllib none.mtl\n{SQUARE}usemtl a\nf 1 2 3\n", r"none\.mtl: missing, m\.obj names it"),
        (f"mtllib m.mtl\n{SQUARE}usemtl a\nf 1 2 3\n", r"none\.png: missing, m\.mtl names it"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, text, wrong):
    (tmp_path / "m.mtl").write_text("newmtl a\nmap_Kd none.png\n")
    write_materials(tmp_path, "newmtl w\nmap_Kd the wall.png\n", "w.mtl")
    with pytest.raises(DataError, match=wrong):
        read(tmp_path, text)
