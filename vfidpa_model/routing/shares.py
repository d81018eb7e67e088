"""Does a threshold route at all? A model whose scores all lie on one side of it costs time and changes nothing."""

_LEAST = 0.02  # share of the pairs below which a route is as good as unused
_LEAST_PAIRS = 20  # fewer pairs may well be all easy


def lopsided(hard_share: float, *, pairs: int, threshold: float) -> str | None:
    """Return one line of warning when fewer than 2 % of the pairs take one of the two routes, else None.

    Args:
        hard_share: Share of the pairs that are sent to the accurate model.
        pairs: How many were judged, cuts and repeats apart.
    """
    if pairs < _LEAST_PAIRS or _LEAST <= hard_share <= 1 - _LEAST:
        return None
    route, other = ("accurate", "fast") if hard_share < _LEAST else ("fast", "accurate")
    share = min(hard_share, 1 - hard_share)
    return (
        f"only {share:.1%} of {pairs} pairs go to the {route} model at threshold {threshold:g}: the assessment costs "
        f"its time and nearly everything is {other}; take a threshold from vfidpa_model.calibration"
    )
