"""What a model's time is, from single samples that a busy machine disturbs: a median per frame size, and its spread.

Every model and router is timed once per triplet, in turns, so that a slow minute hits all. A network's time hangs
on the frame's size and hardly on its content; the median over all triplets of a size is what a budget can rest on, and
with one time per model no curve of quality against time runs backwards.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]
_LARGE_SPREAD = 0.25  # of the median; a quiet machine shows 0.02 to 0.1
_FEW = 4  # samples of a size say nothing about a spread


def typical_seconds(rows: Sequence[Mapping[str, Any]], seconds: Values) -> Values:
    """Return each row's time as the median over the rows of its frame size."""
    found = np.empty(len(rows))
    for places in _by_size(rows).values():
        found[places] = np.median(seconds[places])
    return found


def unsteady(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line of warning for each model or router whose times spread widely at one frame size."""
    lines = []
    for size, places in _by_size(rows).items():
        if len(places) < _FEW:
            continue
        for kind in ("models", "routers"):
            for name in rows[places[0]][kind]:
                times = np.array([rows[place][kind][name]["seconds"] for place in places])
                low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
                if high - low > _LARGE_SPREAD * middle:
                    lines.append(
                        f"times of {name} at {size} are unsteady: half of {len(places)} samples lie outside {low:.3f} "
                        f"to {high:.3f} s (median {middle:.3f}); measure again on a quiet machine"
                    )
    return lines


def _by_size(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return frame size -> positions. Older journals have no size: there the frames of a subset count as alike."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        groups[f"{row['size'][0]}x{row['size'][1]}" if "size" in row else row["subset"]].append(place)
    return groups
