"""PLY files as tools write them.

What people report of other readers: a mark of the encoding after the header (dranjan/python-plyfile, issue
32); empty lines in the header (plyfile, pull request 84), and \\r for line ends (nmwsharp/happly, issue 45);
comments without text or within an element (assimp/assimp, pull request 819 and issue 4866), obj_info (happly,
issue 12); a property of faces before the list (open4dfoundation/Open4D, issue 22), and colours of faces too
(PyMesh/PyMesh, issue 13); an element `camera` (PointCloudLibrary/pcl, issue 3487); vertex_index (pcl, 968).
"""

import numpy as np
import pytest
from PIL import Image
from plyfile import PlyData, PlyElement

from anyscene.datasets import ply
from anyscene.errors import DataError

XYZ = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
RGB = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [7, 8, 9]])
FACE = np.array([[0, 1, 2], [1, 3, 2]])


def write(path, *, names=("red", "green", "blue"), values=RGB, kind="u1", place="f4", **more):
    vertex = np.empty(len(XYZ), [(axis, place) for axis in "xyz"] + [(name, kind) for name in names])
    for axis, column in zip("xyz", XYZ.T, strict=True):
        vertex[axis] = column
    for name, column in zip(names, values.T, strict=False):
        vertex[name] = column
    face = np.empty(len(FACE), [("vertex_indices", "i4", (3,))])
    face["vertex_indices"] = FACE
    PlyData([PlyElement.describe(vertex, "vertex"), PlyElement.describe(face, "face")], **more).write(path)
    return path


@pytest.mark.parametrize("order", ["<", ">", "text"])
@pytest.mark.parametrize(
    ("names", "kind", "scale"),
    [
        (("red", "green", "blue"), "u1", 1),
        (("red", "green", "blue", "alpha"), "u1", 1),
        (("diffuse_red", "diffuse_green", "diffuse_blue"), "u1", 1),
        (("r", "g", "b"), "u1", 1),
        (("Red", "Green", "Blue"), "i4", 1),
        (("red", "green", "blue"), "u2", 257),
        (("red", "green", "blue"), "u2", 256),
        (("red", "green", "blue"), "u2", 1),
        (("red", "green", "blue"), "f4", 1 / 255),
        (("red", "green", "blue"), "f8", 1),
    ],
)
def test_colours_by_any_name_and_type(tmp_path, order, names, kind, scale):
    form = {"text": True} if order == "text" else {"byte_order": order}
    path = write(tmp_path / "m.ply", names=names, values=RGB * scale, kind=kind, **form)
    xyz, rgb, normal, face = ply.read_mesh(path)
    assert rgb.dtype == np.uint8 and rgb.tolist() == RGB.tolist()
    assert xyz.dtype == np.float32 and np.array_equal(xyz, XYZ) and np.array_equal(face, FACE)
    assert np.allclose(normal, [0, 0, 1])


@pytest.mark.parametrize("values", [-RGB - 1, RGB * 1e6])
def test_colours_that_cannot_be(tmp_path, values):
    with pytest.raises(
        DataError, match=r"needs vertices with x, y and z; colours and faces may be missing \(.*colours from"
    ):
        ply.read(write(tmp_path / "m.ply", values=values, kind="f4"))


def test_comments_in_any_language(tmp_path):
    """A label set may have any names; the format has ASCII alone."""
    ply.write_mesh(tmp_path / "m.ply", XYZ, None, FACE, comments=["label 1 tür", "label 2 desk"])
    assert PlyData.read(tmp_path / "m.ply").comments == [r"label 1 t\xfcr", "label 2 desk"]


def test_without_colours(tmp_path):
    path = write(tmp_path / "m.ply", names=())
    assert ply.read(path).rgb is None
    with pytest.raises(
        DataError, match=r"m\.ply: needs vertices with x, y, z, red, green, blue; it has no col"
    ):
        ply.read_mesh(path)


def test_coordinates_of_maps_keep_their_digits(tmp_path):
    far = np.array([693000.125, 5337000.25, 520.5])
    vertex = np.array([tuple(one) for one in XYZ + far], [(axis, "f8") for axis in "xyz"])
    PlyData([PlyElement.describe(vertex, "vertex")]).write(tmp_path / "m.ply")
    found = ply.read(tmp_path / "m.ply")
    assert found.xyz.dtype == np.float64 and np.array_equal(found.xyz - far, XYZ)


def test_normals_of_a_cloud(tmp_path):
    vertex = np.zeros(3, [(name, "f4") for name in ("x", "y", "z", "nx", "ny", "nz")])
    vertex["nx"], vertex["nz"] = [3, 0, np.nan], [4, 0, 1]
    PlyData([PlyElement.describe(vertex, "vertex")]).write(tmp_path / "m.ply")
    found = ply.read(tmp_path / "m.ply")
    assert np.allclose(found.normal, [[0.6, 0, 0.8], [0, 0, 0], [0, 0, 0]])
    vertex["nx"] = vertex["nz"] = 0
    PlyData([PlyElement.describe(vertex, "vertex")]).write(tmp_path / "m.ply")
    assert ply.read(tmp_path / "m.ply").normal is None


NO_NUMBER = "something in it is no number|could not be read to its end"  # older numpy, newer
HEAD = "ply\nformat ascii 1.0\nelement vertex 4\n" + "".join(f"property float {axis}\n" for axis in "xyz")
HEAD += "".join(f"property uchar {name}\n" for name in ("red", "green", "blue")) + "element face 2\n"
LIST = "property list uchar int vertex_indices\n"
END = "end_header\n"
BODY = "".join(
    f"{' '.join(map(str, (*place, *tint)))}\n" for place, tint in zip(XYZ.tolist(), RGB.tolist(), strict=True)
)
FACES = "3 0 1 2\n3 1 3 2\n"


@pytest.mark.parametrize(
    "text",
    [
        HEAD + LIST + END + BODY + FACES,
        (HEAD + LIST + END + BODY + FACES).replace("\n", "\r\n"),
        HEAD + LIST + "property list uchar float texcoord\n"
        + END + BODY + "3 0 1 2 0\n3 1 3 2 6 0 0 1 0 0 1\n",
        HEAD + LIST + "property uchar flags\n" + END + BODY + "3 0 1 2 9\n3 1 3 2 9\n",
        HEAD + "property uchar material\n" + LIST + END + BODY + "7 3 0 1 2\n7 3 1 3 2\n",
        HEAD + LIST + END + BODY + "3 0 1\n2\n3 1 3 2\n",  # a list over two lines
        HEAD + LIST + END + "\n" + BODY + "\n\n" + FACES,
        HEAD + LIST + END + BODY.replace("255", "255.0") + "3.0 0 1 2\n3 1 3 2\n",
        HEAD + LIST.replace("\n", " { number of vertices of each face }\n") + END + BODY + FACES,
        (HEAD + LIST).replace("float", "float32").replace("uchar", "UINT8").replace("indices", "index")
        + END + BODY + FACES,
        HEAD.replace("element face", "property list uchar float d\nelement face")
        + LIST + END + BODY.replace("\n", " 2 0.5 0.5\n") + FACES,
        HEAD.replace("element face", "comment faces\nelement edge 1\nproperty int a\nelement face")
        + LIST + END + BODY + "5\n" + FACES,
    ],
)  # fmt: skip
def test_text_in_the_forms_that_other_readers_take(tmp_path, text):
    (tmp_path / "m.ply").write_bytes(text.encode())
    found = ply.read(tmp_path / "m.ply")
    assert (
        np.array_equal(found.xyz, XYZ) and np.array_equal(found.rgb, RGB) and np.array_equal(found.face, FACE)
    )


CAMERA = "element camera 1\nproperty float view_px\nproperty int viewportx\n"
IN_HEADERS = [  # what tools change in one
    lambda head: head.replace("element vertex", "\n\nelement vertex").replace(END, "\n" + END),
    lambda head: head.replace(
        "element vertex", "comment\nobj_info Generated by CloudCompare!\nelement vertex"
    ),
    lambda head: head.replace("vertex 4\n", "vertex 4\ncomment Points\n"),
    lambda head: head.replace("\n", "\r\n"),
    lambda head: head.replace(END, CAMERA + END),
]


@pytest.mark.parametrize("change", IN_HEADERS)
@pytest.mark.parametrize("text", [False, True])
def test_headers_of_other_tools(tmp_path, change, text):
    head = change(HEAD + LIST + END)
    data = (BODY + FACES).encode()
    more = b"0.5 640\n" if text else np.array([(0.5, 640)], "<f4,<i4").tobytes()
    if not text:
        head = head.replace("ascii", "binary_little_endian")
        rows = zip(XYZ.tolist(), RGB.tolist(), strict=True)
        vertex = np.array([(*place, *tint) for place, tint in rows], "<f4,<f4,<f4,u1,u1,u1")
        data = vertex.tobytes() + np.array([(3, face) for face in FACE], "u1,(3,)<i4").tobytes()
    (tmp_path / "m.ply").write_bytes(head.encode() + data + (more if CAMERA in head else b""))
    found = ply.read(tmp_path / "m.ply")
    assert np.array_equal(found.xyz, XYZ) and np.array_equal(found.rgb, RGB)
    assert np.array_equal(found.face, FACE)


@pytest.mark.parametrize("place", [0, len(HEAD + LIST + END)])
def test_a_mark_of_the_encoding(tmp_path, place):
    text = (HEAD + LIST + END + BODY + FACES).encode()
    (tmp_path / "m.ply").write_bytes(text[:place] + b"\xef\xbb\xbf" + text[place:])
    assert np.array_equal(ply.read(tmp_path / "m.ply").xyz, XYZ)


def test_lines_that_end_as_on_an_old_mac(tmp_path):
    (tmp_path / "m.ply").write_bytes((HEAD + LIST + END + BODY + FACES).replace("\n", "\r").encode())
    found = ply.read(tmp_path / "m.ply")
    assert np.array_equal(found.xyz, XYZ) and np.array_equal(found.face, FACE)


@pytest.mark.parametrize("text", [False, True])
def test_colours_of_faces_are_not_those_of_vertices(tmp_path, text):
    vertex = np.array([tuple(place) for place in XYZ], "f4,f4,f4")
    vertex.dtype.names = tuple("xyz")
    kinds = [
        ("material", "u1"),
        ("vertex_indices", "i4", (3,)),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
    ]
    face = np.array([(7, corner, 1, 2, 3) for corner in FACE], kinds)
    elements = [PlyElement.describe(vertex, "vertex"), PlyElement.describe(face, "face")]
    PlyData(elements, text=text).write(tmp_path / "m.ply")
    found = ply.read(tmp_path / "m.ply")
    assert np.array_equal(found.xyz, XYZ) and np.array_equal(found.face, FACE) and found.rgb is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (HEAD + LIST + BODY + FACES, "header does not end"),
        (HEAD + LIST + END + BODY + "3 0 1 2\n", "too few"),
        (HEAD + LIST + END + BODY + FACES + "1 2\n", "34 numbers for elements of 32"),
        (HEAD + LIST + END + BODY.replace("1", "one") + FACES, NO_NUMBER),
        (HEAD + LIST + END + BODY.replace("0 0 0", "0,5 0 0") + FACES, NO_NUMBER),
        (HEAD + "property list uchar vertex_indices\n" + END + BODY + FACES, "property"),
        (HEAD.replace("vertex 4", "vertex many") + LIST + END + BODY + FACES, "many"),
        (HEAD + LIST + END + BODY + "-3 0 1 2\n3 1 3 2\n", "too few"),
        (HEAD + LIST + END + BODY.replace("255", "300") + FACES, r"300 where its header says 0\.\.255"),
        (HEAD + LIST + END + BODY + "3 0 1 4294967298\n3 1 3 2\n", "4294967298|4.29497e"),  # would be 2
        (HEAD + LIST + END + BODY + "3 0 1 4294967298\n4 1 3 2 0\n", "4294967298|4.29497e"),
        (HEAD + LIST.replace("int", "uchar") + END + BODY + "3 0 1 258\n3 1 3 2\n", "258 where"),  # 2 too
        (HEAD + LIST + END + BODY + "3 0 1 nan\n3 1 3 2\n", "nan where its header says"),
    ],
)
def test_text_that_is_damaged(tmp_path, text, wrong):
    (tmp_path / "m.ply").write_text(text)
    with pytest.raises(DataError, match=rf"m\.ply: .*{wrong}"):
        ply.read(tmp_path / "m.ply")


def test_polygons_of_many_sizes_in_text(tmp_path):
    head = HEAD.replace("vertex 4", "vertex 5")
    body = BODY + "2 2 0 1 2 3\n"
    (tmp_path / "m.ply").write_text(head + LIST + END + body + "4 0 1 3 2\n3 2 3 4\n")
    assert ply.read(tmp_path / "m.ply").face.tolist() == [[0, 1, 3], [0, 3, 2], [2, 3, 4]]


def write_textured(path, where, *, white=False):
    """A square whose texture is the four colours of RGB, by coordinates at "faces" or "vertices"."""
    pixels = (
        RGB[[2, 3, 0, 1]].reshape(2, 2, 3).astype(np.uint8)
    )  # of (0, 0), (1, 0) below, of (0, 1), (1, 1) above
    Image.fromarray(pixels).save(path.parent / "the texture.png")
    uv = (XYZ[:, :2] + 0.5) / 2
    names = [(axis, "f4") for axis in "xyz"] + [("s", "f4"), ("t", "f4")] * (where == "vertices")
    vertex = np.empty(4, names + [("red", "u1"), ("green", "u1"), ("blue", "u1")] * white)
    for name in vertex.dtype.names:
        vertex[name] = {**dict(zip("xyz", XYZ.T, strict=True)), "s": uv[:, 0], "t": uv[:, 1]}.get(name, 255)
    lists = [("vertex_indices", "i4", (3,))] + [("texcoord", "f4", (6,))] * (where == "faces")
    face = np.empty(2, lists)
    face["vertex_indices"] = FACE
    if where == "faces":
        face["texcoord"] = uv[FACE].reshape(2, 6)
    elements = [PlyElement.describe(vertex, "vertex"), PlyElement.describe(face, "face")]
    return elements, ["TextureFile the texture.png"]


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("white", [False, True])  # as MeshLab writes beside a texture
@pytest.mark.parametrize("where", ["faces", "vertices"])
def test_colours_of_a_texture(tmp_path, where, white, text):
    path = tmp_path / "m.ply"
    elements, comments = write_textured(path, where, white=white)
    PlyData(elements, text=text, comments=comments).write(path)
    assert ply.read(path).rgb.tolist() == RGB.tolist()


def test_textures_that_are_not_there(tmp_path):
    path = tmp_path / "m.ply"
    elements, comments = write_textured(path, "faces")
    PlyData(elements, comments=[*comments, "TextureFile other.png"]).write(path)
    with pytest.raises(DataError, match=r"m\.ply: has 2 textures"):
        ply.read(path)
    (tmp_path / "the texture.png").write_bytes(b"no image")
    PlyData(elements, comments=comments).write(path)
    with pytest.raises(DataError, match=r"the texture\.png: not a readable image \(.*\); save it again$"):
        ply.read(path)
    (tmp_path / "the texture.png").unlink()
    with pytest.raises(DataError, match=r"the texture\.png: missing, the texture of m\.ply"):
        ply.read(path)
    elements, comments = write_textured(path, "nowhere")
    PlyData(elements, comments=comments).write(path)
    with pytest.raises(DataError, match=r"m\.ply: has a texture and no coordinates"):
        ply.read(path)


def test_what_is_no_surface(tmp_path):
    path = write(tmp_path / "m.ply", names=("f_dc_0", "f_dc_1", "f_dc_2"), kind="f4")
    with pytest.raises(DataError, match="Gaussian splats"):
        ply.read(path)
    text = HEAD.replace("element face 2", "element tristrips 1") + LIST + END + BODY + "4 0 1 2 3\n"
    path.write_text(text)
    with pytest.raises(DataError, match="strips of triangles"):
        ply.read(path)


@pytest.mark.parametrize("element", ["vertex", "face"])
@pytest.mark.parametrize("count", [10**12, 10**30])
def test_a_header_that_counts_what_no_file_holds_is_refused(tmp_path, element, count):
    path = tmp_path / "room.ply"
    ply.write_mesh(path, np.eye(3), np.zeros((3, 3), np.uint8), np.array([[0, 1, 2]]))
    before = f"element {element} {3 if element == 'vertex' else 1}\n".encode()
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, f"element {element} {count}\n".encode()))
    with pytest.raises(DataError, match=r"room\.ply: (not a readable PLY mesh|needs vertices)"):
        ply.read(path)


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("size", [3, 4])
def test_a_face_that_names_a_vertex_by_no_whole_number_is_refused(tmp_path, text, size):
    """A cast would make vertex 0 of 0.9."""
    vertex = np.zeros(
        4, [(name, "f4") for name in "xyz"] + [(name, "u1") for name in ("red", "green", "blue")]
    )
    vertex["x"], vertex["y"] = [0, 1, 0, 1], [0, 0, 1, 1]
    for index, wrong in (
        (1.0, None),
        (0.9, r"0\.(9|89)"),
        (np.nan, "nan"),
        (1e20, r"1[.\d]*e\+20"),
    ):
        face = np.zeros(1, [("vertex_indices", "O")])
        face["vertex_indices"][0] = np.array([0, index, 2, 3][:size], "f4")
        elements = [
            PlyElement.describe(vertex, "vertex"),
            PlyElement.describe(face, "face", {}, {"vertex_indices": "f4"}),
        ]
        PlyData(elements, text=text).write(tmp_path / "a.ply")
        if wrong is None:
            assert len(ply.read(tmp_path / "a.ply").face) == size - 2
            continue
        with pytest.raises(
            DataError, match=rf"a\.ply: a face names a vertex by no number of one \(({wrong}).*whole"
        ):
            ply.read(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("head", "body", "said"),
    [
        ("property real red", BODY + "3 0 1 2\n3 1 3 2\n", r"\(property 'real red'\)"),
        ("property", BODY + "3 0 1 2\n3 1 3 2\n", r"\(property ''\)"),
        ("", BODY[: len(BODY) // 2], "element vertex: .* numbers are too few for it"),
        ("", BODY + "3 0 1 2\n-4 1 3 2\n", "element face: .* numbers are too few for it"),
    ],
)
def test_text_of_another_form_is_named(tmp_path, head, body, said):
    path = tmp_path / "a.ply"
    path.write_text(HEAD + LIST + head + "\n" + END + body)
    with pytest.raises(DataError, match=rf"a\.ply: (not a readable PLY mesh|needs vertices).*{said}"):
        ply.read(path)


def test_a_list_of_a_length_that_is_no_whole_number_is_refused(tmp_path):
    path = tmp_path / "a.ply"
    path.write_text(HEAD + LIST + END + BODY + "3 0 1 2\n3.5 0 1 2\n")
    with pytest.raises(DataError, match=r"element face: a list of 3\.5 numbers"):
        ply.read(path)
