"""Stand-in levels from the predictions' LPIPS: for a cold start and for tests, never mixed in silently."""

import bisect
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.columns.rewrite import with_values
from dataset_tools.manifest import Manifest

# Upper ends of levels 1, 2 and 3 on ``pred_lpips``: a rule of thumb from RIFE's predictions at 256p. They stay fixed,
# so that proxy levels of different data sets mean the same.
THRESHOLDS = (0.02, 0.06, 0.15)


def proxy_level(pred_lpips: float) -> float:
    """Return the level, 1.0 to 4.0, that ``THRESHOLDS`` give a prediction's LPIPS."""
    return float(bisect.bisect_right(THRESHOLDS, pred_lpips) + 1)


def with_proxy_levels(manifest: Manifest, *, add: bool = True) -> Manifest:
    """Return ``manifest`` with proxy levels brought up to date; see ``level_by_proxy``."""
    table = level_by_proxy(manifest.table, add=add)
    return manifest if table.equals(manifest.table) else replace(manifest, table=table)


def level_by_proxy(table: pa.Table, *, add: bool) -> pa.Table:
    """Return rows of a manifest with proxy levels brought up to date.

    Rows with a level from people are never touched. Rows without a level get one (``level_source`` is ``proxy``) when
    ``add`` is true; otherwise only proxy levels that are there already follow their ``pred_lpips``.
    """
    level, source = table.column("level"), table.column("level_source").cast(pa.string())
    is_free = pc.fill_null(pc.equal(source, "proxy"), False)
    if add:
        is_free = pc.or_(is_free, pc.is_null(level))
    lpips = table.column("pred_lpips").cast(pa.float64())
    proxy = pa.scalar(1.0, pa.float32())
    for threshold in THRESHOLDS:  # as ``proxy_level`` counts them, NaN included
        proxy = pc.add(proxy, pc.invert(pc.less(lpips, threshold)).cast(pa.float32()))
    sources = pc.if_else(pc.is_valid(lpips), "proxy", pa.scalar(None, pa.string()))
    columns = {
        "level": pc.if_else(is_free, proxy, level),
        "level_source": pc.if_else(is_free, sources, source).dictionary_encode(),
    }
    return with_values(table, columns)
