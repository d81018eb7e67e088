"""Filters as people write them, KEY=VALUE: what every command and route reads them with (pure)."""

from collections.abc import Sequence
from math import inf

from dataset_tools.errors import UsageError

_SPANS = {"yes": (1.0, inf), "no": (0.0, 0.0)}


def parse_where(pairs: Sequence[str]) -> dict[str, str]:
    """Return ``{"person": "anna"}`` for ``["person=anna"]``.

    Raises:
        UsageError: A filter is not KEY=VALUE, or one key is given twice.
    """
    where: dict[str, str] = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not value:
            raise UsageError(f"filter {pair!r} must be KEY=VALUE, e.g. resolution=1080p, interval=4-16 or person=anna")
        if key in where:
            raise UsageError(
                f"filter {key!r} is given twice, with {where[key]!r} and {value!r}; all must fit, keep one"
            )
        where[key] = value
    return where


def span(value: str) -> tuple[float, float]:
    """Return (lowest, highest), both included, for ``"3"``, ``"2-4"``, ``"2-"``, ``"yes"`` (1 or more) and ``"no"``.

    Raises:
        UsageError: It is none of these.
    """
    if value in _SPANS:
        return _SPANS[value]
    first, sign, last = value.partition("-")
    try:
        low = float(first)
        high = low if not sign else float(last) if last else inf
    except ValueError:
        raise UsageError(f"range {value!r} must be N, N-M, N-, yes or no") from None
    if not low <= high:
        raise UsageError(f"range {value!r} must go from the lower number to the higher")
    return low, high
