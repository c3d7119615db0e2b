import numpy as np
import pytest

from anyscene.datasets import label_set
from anyscene.datasets.label_sets import FOLDER
from anyscene.errors import DataError

HEAD = "index,name,prompt,red,green,blue,foreground\n"
IDS = HEAD.strip() + ",nyu40_id\n"
CATEGORIES = HEAD.strip() + ",theirs_category\n"


def test_scannet20():
    labels = label_set("scannet20")
    assert len(labels) == 20 and labels.names[0] == "wall" and labels.names[19] == "otherfurniture"
    assert labels.prompts[19] == "other" and labels.prompts[15] == "shower curtain"
    assert [labels.names[i] for i in np.flatnonzero(~labels.foreground)] == [
        "wall",
        "floor",
        "otherfurniture",
    ]
    assert labels.colours.shape == (20, 3) and labels.colours.dtype == np.uint8


def test_ids_of_scannet20_are_those_of_the_benchmark():
    ids = label_set("scannet20").ids["nyu40"]
    assert ids.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 16, 24, 28, 33, 34, 36, 39]


def test_scannet20_is_part_of_nyu40():
    small, large = label_set("scannet20"), label_set("nyu40")
    assert large.ids["nyu40"].tolist() == list(range(1, 41))
    row = small.ids["nyu40"] - 1
    assert [large.names[i] for i in row] == list(small.names)
    assert np.array_equal(large.colours[row], small.colours)


def test_scannet200():
    labels = label_set("scannet200")
    ids = labels.ids["scannet"]
    assert len(labels) == 200 and np.all(np.diff(ids) > 0) and ids[-1] == 1191
    assert [labels.split.count(name) for name in ("head", "common", "tail")] == [66, 68, 66]
    assert labels.foreground.sum() == 186  # as many as ScanNet200's validation split has, less three
    background = {labels.names[i] for i in np.flatnonzero(~labels.foreground)}
    assert {"wall", "floor", "ceiling", "bicycle", "luggage"} < background and len(background) == 14
    by_id = dict(zip(ids.tolist(), labels.names, strict=True))
    assert by_id[2] == "chair" and by_id[29] == "kitchen cabinet" and by_id[1191] == "mattress"
    assert len({tuple(colour) for colour in labels.colours.tolist()}) == 200


def test_every_label_set_that_ships_names_its_source():
    readme = (FOLDER / "README.md").read_text()
    assert all(f"`{path.name}`" in readme for path in FOLDER.glob("*.csv"))


def test_file_by_path(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(HEAD.strip() + ",split\n0,cup,tea cup,1,2,3,1,head\n1,pen,pen,4,5,6,0,tail\n")
    labels = label_set(file)
    assert labels.name == "mine" and labels.prompts == ("tea cup", "pen") and labels.split == ("head", "tail")


def test_several_prompts_and_categories_of_a_class(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(
        "index,name,theirs_category,prompt,red,green,blue,foreground\n"
        "0,cup,mug|tea.cup,cup| tea cup,1,2,3,1\n1,pen,pen,pen,4,5,6,0\n2,mat,rug,mat|rug|carpet,7,8,9,1\n"
    )
    labels = label_set(file)
    assert labels.prompts == ("cup", "tea cup", "pen", "mat", "rug", "carpet") and len(labels) == 3
    assert labels.categories["theirs"] == (("mug", "tea.cup"), ("pen",), ("rug",))
    assert labels.of_prompts(np.array([[0, 1, 2], [5, 3, -1]])).tolist() == [[0, 0, 1], [2, 2, -1]]
    assert labels.prompts_among(np.array([2, 0])).tolist() == [0, 1, 3, 4, 5]


def test_one_prompt_for_each_class():
    labels = label_set("scannet20")
    assert len(labels.prompts) == len(labels) and not labels.categories
    assert labels.of_prompts(np.array([3, -1, 0])).tolist() == [3, -1, 0]
    assert labels.prompts_among(np.array([7, 2])).tolist() == [2, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,prompt\n0,a\n", "needs rows with the column name, parted by commas; lacks it"),
        ("name,red,blue\na,1,1\n", "has 2 of the columns red, green, blue; give all or none of them"),
        (HEAD, "lacks all"),
        (HEAD + "1,a,a,1,1,1,1\n", "index 1 should be 0: labels are row numbers"),
        (HEAD + "0,a,a,300,1,1,1\n", "red of a is '300', wanted a whole number from 0 to 255"),
        (HEAD + "0,a,a,1,-1,1,1\n", "green of a is '-1', wanted a whole number from 0 to 255"),
        (HEAD + "0,a,a,1,1,x,1\n", "blue of a is 'x', wanted"),
        (HEAD + "0,a,a,1,1,1,yes\n", "foreground of a is 'yes', wanted a whole number from 0 to 1"),
        (HEAD + "0,a,a,1,1\n", ": line 2 has 5 of 7 columns"),
        (HEAD + "0,a,a,1,1,1,1\n1,b\n", "line 3 has 2 of 7 columns"),
        (HEAD + "0,a,a,1,1,1,1,1,1\n", "line 2 has 9 of 7 columns"),
        (HEAD.replace(",", ";") + "0;a;a;1;1;1;1\n", "parted by commas; lacks"),
        (HEAD + '0,"a,a,1,1,1,1\n', "not a table with commas"),
        (HEAD + "0, ,a,1,1,1,1\n", "a class has no name"),
        (IDS + "0,a,a,1,1,1,1,4294967297\n", "nyu40_id of a is '4294967297', wanted a whole number from 0"),
        (HEAD + "0,a,a,1,1,1,1\n1,a,b,1,1,1,1\n", "the classes 'a' and 'a' are one; leave"),
        (HEAD + "0,a b,a,1,1,1,1\n1,A_b,b,1,1,1,1\n", ": the classes 'a b' and 'A_b' are one; leave one out"),
        (HEAD + "0,\u200b,a,1,1,1,1\n", "a class has no name"),
        (HEAD + "0,a,\u200b,1,1,1,1\n", "has an empty part"),
        (IDS + "0,a,a,1,1,1,1,5\n1,b,b,1,1,1,1,5\n", "nyu40_id must be positive and different in every row"),
        (IDS + "0,a,a,1,1,1,1,0\n", "nyu40_id must be positive"),
        (IDS + "0,a,a,1,1,1,1,five\n", "five"),
        (HEAD + "0,a,,1,1,1,1\n", "prompt '' has an empty part"),
        (HEAD + "0,a,b||c,1,1,1,1\n", r"prompt 'b\|\|c' has an empty part; separate several by one '\|'"),
        (CATEGORIES + "0,a,a,1,1,1,1,x|y\n1,b,b,1,1,1,1,y\n", "theirs_category 'y' appears twice"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        label_set(file)


def test_a_table_of_names_alone(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("name\nchair\na plant in a pot\nother\n")
    classes = label_set(file)
    assert classes.names == classes.prompts == ("chair", "a plant in a pot", "other")
    assert classes.foreground.all() and classes.ids == {} and classes.prompt_class is None
    assert len({tuple(colour) for colour in classes.colours.tolist()}) == 3
    file.write_text("name,foreground,mine_id\nchair,0,7\nother,1,8\n")
    assert label_set(file).foreground.tolist() == [False, True]
    assert label_set(file).ids["mine"].tolist() == [7, 8]


def test_colours_by_default_are_told_apart(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("name\n" + "".join(f"class {number}\n" for number in range(200)))
    assert len({tuple(colour) for colour in label_set(file).colours.tolist()}) == 200


def test_a_table_in_another_encoding_is_named(tmp_path):
    file = tmp_path / "mine.csv"
    text = HEAD + "0,wall,wall,1,1,1,1\n1,tür,tür,1,1,1,1\n"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"mine\.csv: line 3 is not UTF-8 \(byte 0xfc\); save it as UTF-8"):
        label_set(file)
    file.write_bytes(text.encode("utf-8-sig"))  # with the mark that Excel puts before it
    assert label_set(file).names == ("wall", "tür")


def test_a_table_that_is_a_folder_is_none(tmp_path):
    (tmp_path / "mine.csv").mkdir()
    with pytest.raises(DataError, match="no label set"):
        label_set(tmp_path / "mine.csv")


def test_unknown_name():
    with pytest.raises(
        DataError, match=r"'scannet19'; known are .*scannet20.*, or give the path of a csv file"
    ):
        label_set("scannet19")
