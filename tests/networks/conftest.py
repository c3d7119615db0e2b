import os

import pytest

from anyscene.networks.sparse import minkowski


@pytest.fixture
def engine():
    """MinkowskiEngine; in CI it may not be missing."""
    if not minkowski.available():
        if os.environ.get("CI") == "true":
            pytest.fail("MinkowskiEngine does not import, and in CI parity with it may not be skipped")
        pytest.skip("MinkowskiEngine does not import")
    return minkowski.engine()
