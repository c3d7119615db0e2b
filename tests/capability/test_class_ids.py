"""Ids of classes: names of folders, of which no two classes have one."""

import pytest

from anyscene.capability.class_ids import class_id, spoken


@pytest.mark.parametrize(
    ("name", "id", "words"),
    [
        ("wall", "wall", "wall"),
        ("shower curtain", "shower_curtain", "shower curtain"),
        ("shower_curtain", "shower_curtain", "shower curtain"),
        ("tv/monitor", "tv%2Fmonitor", "tv/monitor"),
        ("tv%2Fmonitor", "tv%252Fmonitor", "tv%2Fmonitor"),
        ("back\\slash", "back%5Cslash", "back\\slash"),
        (".", "%2E", "."),
        ("..", "%2E.", ".."),
        (".net cabinet", "%2Enet_cabinet", ".net cabinet"),
        ("Tür", "Tür", "Tür"),
    ],
)
def test_an_id_names_a_folder_and_says_the_class(name, id, words):
    assert class_id(name) == id and spoken(id) == words
