from __future__ import annotations

import pytest

from benchmarks.quality import glosses

pytestmark = pytest.mark.integration


def test_glosses_are_those_of_the_synsets_that_the_tables_name(tmp_path):
    nouns = tmp_path / "data.noun"
    nouns.write_text(
        "  1 This is the licence | of all  \n"
        '02818832 06 n 01 bed 0 002 @ 03405725 n 0000 ~ 02705201 n 0000 | a place to sleep; "on the bed"  \n'
        "04209239 06 n 01 shower_curtain 0 001 @ 03151077 n 0000 | a curtain; it keeps water in  \n"
        "04446276 06 n 02 toilet 0 lavatory 0 001 @ 04105893 n 0000 | a room  \n"
        "04446521 06 n 02 toilet 0 can 1 001 @ 03961939 n 0000 | a fixture  \n"
        "03991062 06 n 02 pot 0 flowerpot 0 001 @ 03094503 n 0000 | a container  \n"
    )
    head = "raw_category\tcategory\twnsynsetid\n"
    one, other = tmp_path / "one.tsv", tmp_path / "other.tsv"
    one.write_text(f"{head}couch\tbed\tn02818832\ntoilet\ttoilet\tn04446276\nsink\tsink\t\n")
    other.write_text(f"{head}bed\tbed\tn04446276\nshower curtain\tcurtain\tn04209239\n")
    assert list(glosses.rows([one, other], nouns)) == [
        ("bed", "n02818832", "a place to sleep"),  # the first table, though under its second heading
        ("couch", "n02818832", "a place to sleep"),
        ("curtain", "n04209239", "a curtain; it keeps water in"),
        ("pot", "n03991062", "a container"),
        ("shower curtain", "n04209239", "a curtain; it keeps water in"),
        ("toilet", "n04446521", "a fixture"),  # not the room
    ]
