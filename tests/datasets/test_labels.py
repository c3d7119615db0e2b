import numpy as np
import pytest

from pipeline.datasets import label_set
from pipeline.errors import DataError

HEAD = "index,name,prompt,red,green,blue,foreground\n"


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


def test_file_by_path(tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text(HEAD.strip() + ",split\n0,cup,tea cup,1,2,3,1,head\n1,pen,pen,4,5,6,0,tail\n")
    labels = label_set(file)
    assert labels.name == "mine" and labels.prompts == ("tea cup", "pen") and labels.split == ("head", "tail")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("index,name\n0,a\n", "lacks"),
        (HEAD, "lacks all"),
        (HEAD + "1,a,a,1,1,1,1\n", "index 1 should be 0"),
        (HEAD + "0,a,a,300,1,1,1\n", "300|out of"),
        (HEAD + "0,a,a,x,1,1,1\n", "x"),
        (HEAD + "0,a,a,1,1,1,yes\n", "yes"),
        (HEAD + "0,a,a,1,1,1,1\n1,a,b,1,1,1,1\n", "a class name appears twice"),
    ],
)
def test_bad_files(tmp_path, text, message):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=message):
        label_set(file)


def test_unknown_name():
    with pytest.raises(DataError, match=r"no label set 'scannet19'; known are .*scannet20"):
        label_set("scannet19")
