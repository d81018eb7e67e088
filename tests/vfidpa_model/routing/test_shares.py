"""A threshold that routes nothing is said; one that routes is not."""

import pytest

from vfidpa_model.routing.shares import lopsided


@pytest.mark.parametrize(
    ("hard_share", "pairs", "says"),
    [
        (0.0, 16, None),  # a few easy pairs are no fault
        (0.0, 100, "only 0.0% of 100 pairs go to the accurate model at threshold 2.5"),
        (0.019, 1000, "only 1.9% of 1000 pairs go to the accurate model"),
        (0.02, 1000, None),
        (0.5, 1000, None),
        (0.98, 1000, None),
        (0.985, 1000, "only 1.5% of 1000 pairs go to the fast model"),
        (1.0, 50, "nearly everything is accurate; take a threshold from vfidpa_model.calibration"),
    ],
)
def test_lopsided(hard_share, pairs, says):
    found = lopsided(hard_share, pairs=pairs, threshold=2.5)
    assert found is None if says is None else says in found
