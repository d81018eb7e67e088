"""Who is hard; a threshold that routes nothing is said, one that routes is not; no score passes for an easy one."""

import numpy as np
import pytest

from vfidpa_model.benchmarking.report import top_share
from vfidpa_model.routing.quality_cost import Measured, curve
from vfidpa_model.routing.shares import is_hard, lopsided, lopsided_area

NAN, INF = float("nan"), float("inf")


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


@pytest.mark.parametrize(
    ("refined_share", "pairs", "effort", "says"),
    [
        (0.01, 19, 0.4, None),
        (
            0.01,
            20,
            0.4,
            "1.0% of the area of 20 pairs was refined at --effort 0.4: both views of the fast model hardly",
        ),
        (0.01, 20, 0, None),  # asked for no choice
        (1.0, 20, 1, None),
        (
            0.99,
            20,
            0.9,
            "99.0% of the area of 20 pairs was refined at --effort 0.9: nearly nothing is left to the fast",
        ),
        (0.3, 1000, 0.4, None),
    ],
)
def test_lopsided_area(refined_share, pairs, effort, says):
    found = lopsided_area(refined_share, pairs=pairs, effort=effort)
    assert found is None if says is None else says in found


def test_what_is_no_number_goes_to_the_accurate_model():
    scores = np.array([1.0, NAN, 3.0, INF, -INF, 2.5])
    assert is_hard(scores, 2.5).tolist() == [False, True, True, True, True, False]
    assert top_share(scores, 0.5).tolist() == [0, 1, 0, 1, 1, 0]
    measured = Measured(np.zeros(6), np.arange(6.0), np.full(6, 0.1), np.full(6, 0.4))
    shares = [point.share for point in curve(measured, scores)]
    assert (shares[0], shares[-1]) == (1.0, 0.5)  # at every threshold these three are hard
    assert all(np.isfinite([point.threshold for point in curve(measured, scores)]))
    assert {point.share for point in curve(measured, np.full(6, NAN))} == {1.0}
