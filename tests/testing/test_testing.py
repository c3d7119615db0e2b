"""The public suites say what is still to be given to them."""

import subprocess
import sys

import pytest

from anyscene.testing import MODULES

pytestmark = pytest.mark.integration

WITH_A_NETWORK = """
class TestMineWithANetwork(ObjectiveTests):
    @pytest.fixture
    def make(self):
        return lambda: (None, None)
"""


def test_a_fixture_that_is_not_given_is_asked_for_by_name(tmp_path):
    head = f"import pytest\nfrom anyscene.testing import {', '.join(MODULES)}\n"
    suites = "".join(f"\n\nclass TestMine{suite}({suite}):\n    pass\n" for suite in MODULES)
    (tmp_path / "test_mine.py").write_text(head + suites + WITH_A_NETWORK)
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_mine.py")]
    said = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True).stdout
    for wanted in (
        "give the fixture `space` in the class that derives from BackendTests",
        "give the fixture `clouds` in the class that derives from ObjectiveTests",
        "give the fixture `make` in the class that derives from ObjectiveTests",
        "give the fixture `dataset` in the class that derives from ReaderTests",
        "give the fixture `segmenter` in the class that derives from SegmenterTests",
        "give the fixture `task` in the class that derives from TaskTests",
    ):
        assert wanted in said, said[-2000:]
