"""Who is hard at a threshold, and whether the choice routes at all: one that has all on one side changes nothing."""

import numpy as np
import numpy.typing as npt

_LEAST = 0.02  # share of the pairs below which a route is as good as unused
_LEAST_PAIRS = 20  # fewer pairs may well be all easy


def is_hard(scores: npt.ArrayLike, threshold: float) -> npt.NDArray[np.bool_]:
    """Return which scores go to the accurate model: those above the threshold, and those that are no finite number.

    NaN compares false with everything: a broken score, which says nothing, would pass for an easy pair.
    """
    values = np.asarray(scores, dtype=np.float64)
    return ~(values <= threshold) | ~np.isfinite(values)


def hardest_first(scores: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Return the places of the scores from the hardest on; ties in order, what is no finite number before all."""
    values = np.asarray(scores, dtype=np.float64)
    return np.argsort(-np.where(np.isfinite(values), values, np.inf), kind="stable")


def lopsided(
    hard_share: float, *, pairs: int, threshold: float, remedy: str = "take a threshold from vfidpa_model.calibration"
) -> str | None:
    """Return one line of warning when fewer than 2 % of the pairs take one of the two routes, else None.

    Args:
        hard_share: Share of the pairs that are sent to the accurate model.
        pairs: How many were judged, cuts and repeats apart.
        remedy: What to do about it.
    """
    if pairs < _LEAST_PAIRS or _LEAST <= hard_share <= 1 - _LEAST:
        return None
    route, other = ("accurate", "fast") if hard_share < _LEAST else ("fast", "accurate")
    share = min(hard_share, 1 - hard_share)
    return (
        f"only {share:.1%} of {pairs} pairs go to the {route} model at threshold {threshold:g}: the assessment costs "
        f"its time and nearly everything is {other}; {remedy}"
    )


def lopsided_area(refined_share: float, *, pairs: int, effort: float) -> str | None:
    """Return one line of warning when under 2 % or over 98 % of the area was refined though a choice was asked for.

    Args:
        refined_share: Share of the area of all made frames that the accurate model refined.
        pairs: How many frames were made between, cuts and repeats apart.
        effort: What ``--effort`` said; 0 and 1 ask for no choice.
    """
    if pairs < _LEAST_PAIRS or effort in (0, 1) or _LEAST <= refined_share <= 1 - _LEAST:
        return None
    if refined_share < _LEAST:
        why = "both views of the fast model hardly differ here, so --effort 0 gives nearly the same in less time"
    else:
        why = "nearly nothing is left to the fast model; --effort 1 is as good, and a smaller one saves time"
    return f"{refined_share:.1%} of the area of {pairs} pairs was refined at --effort {effort:g}: {why}"
