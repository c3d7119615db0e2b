import numpy as np
import pytest

from anyscene.datasets.whole_numbers import whole


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([-32768, 32767], np.int16),
        (np.array([0, 255], np.uint64), np.uint8),
        ([2.0**62, -(2.0**63)], np.int64),
        ([-0.0, 7.0], np.int32),
        ([], np.int32),
    ],
)
def test_what_fits_is_kept(values, kind):
    values = np.array(values)
    found = whole(values, kind)
    assert found.dtype == kind and [int(one) for one in found] == [int(one) for one in values]


@pytest.mark.parametrize(
    ("values", "kind", "said"),
    [
        ([1, 65539], np.int16, r"65539 is no whole number in -32768\.\.32767"),  # would be 3
        ([-32769], np.int16, "-32769 is no"),
        (np.array([2**64 - 1], np.uint64), np.int32, f"{2**64 - 1} is no"),  # would be -1
        ([2.0**63], np.int64, r"9.223372036854776e\+18 is no"),
        ([1.5], np.int32, r"1\.5 is no"),
        ([np.nan], np.int32, "nan is no"),
        ([np.inf], np.int32, "inf is no"),
        (["1"], np.int32, "are no numbers"),
        ([True], np.int32, "bool are no numbers"),
    ],
)
def test_what_does_not_fit_is_named(values, kind, said):
    with pytest.raises(ValueError, match=said):
        whole(np.array(values), kind)
