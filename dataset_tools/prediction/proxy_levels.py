"""Stand-in levels from the predictions' LPIPS: for a cold start and for tests, never mixed in silently."""

import bisect
from collections.abc import Mapping
from typing import Any

from dataset_tools.manifest import Manifest

# Upper ends of levels 1, 2 and 3 on ``pred_lpips``: a rule of thumb from RIFE's predictions at 256p. They stay fixed,
# so that proxy levels of different data sets mean the same.
THRESHOLDS = (0.02, 0.06, 0.15)


def proxy_level(pred_lpips: float) -> float:
    """Return the level, 1.0 to 4.0, that ``THRESHOLDS`` give a prediction's LPIPS."""
    return float(bisect.bisect_right(THRESHOLDS, pred_lpips) + 1)


def with_proxy_levels(manifest: Manifest, *, add: bool = True) -> Manifest:
    """Return ``manifest`` with proxy levels brought up to date.

    Rows with a level from people are never touched. Rows without a level get one (``level_source`` is ``proxy``) when
    ``add`` is true; otherwise only proxy levels that are there already follow their ``pred_lpips``.
    """
    rows = manifest.rows()
    pairs = [_level(row, add=add) for row in rows]
    if pairs == [(row["level"], row["level_source"]) for row in rows]:
        return manifest
    return manifest.with_columns({"level": [pair[0] for pair in pairs], "level_source": [pair[1] for pair in pairs]})


def _level(row: Mapping[str, Any], *, add: bool) -> tuple[float | None, str | None]:
    level, source = row["level"], row["level_source"]
    is_free = source == "proxy" or (add and level is None)
    if not is_free:
        return level, source
    return (None, None) if row["pred_lpips"] is None else (proxy_level(row["pred_lpips"]), "proxy")
