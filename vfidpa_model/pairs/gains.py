"""Gain as a label: where an accurate interpolator removes error, brought onto the level scale. No people are needed."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from dataset_tools.common.parquet import Columns
from dataset_tools.common.remote import Folder
from dataset_tools.errors import ManifestError
from dataset_tools.levels import LEVELS
from dataset_tools.prediction.gains import CELL, cell_grid
from vfidpa_model.pairs.labels import check_no_leaks, pieces_of_tier
from vfidpa_model.pairs.sample import Sample, row_sample

Values = npt.NDArray[np.float64]
_TOP_QUANTILE = 0.95  # of the training cells' gains: level 4 begins there
_ADVICE = "run dataset_tools.predict --predictor rife-refined --as accurate"


class GainScale(NamedTuple):
    """Brings a fall of the mean squared error onto the level scale: a logarithm on both sides of 0.

    Gains span five powers of ten and few cells hold most of them. No gain is level 1, ``top`` is level 4, harm lies
    below 1; the scale rises strictly, so an order by level is an order by error removed.

    Attributes:
        unit: Gain, squared 8-bit levels, up to which the scale is nearly straight.
        top: Gain of level 4.
    """

    unit: float
    top: float

    def levels(self, gain: npt.ArrayLike) -> Values:
        """Return levels for gains of any shape."""
        values = np.asarray(gain, dtype=np.float64)
        span = (LEVELS[-1] - LEVELS[0]) / math.log1p(self.top / self.unit)
        return LEVELS[0] + span * np.sign(values) * np.log1p(np.abs(values) / self.unit)


def fit_gain_scale(gains: Sequence[float]) -> GainScale:
    """Return the scale of training cells: its unit is the median of the gains above 0.

    Raises:
        ValueError: No gain is above 0.
    """
    values = np.asarray(gains, dtype=np.float64)
    if not (values > 0).any():
        raise ValueError("gains must have one above 0: the accurate model improves nothing")
    unit = float(np.median(values[values > 0]))
    return GainScale(unit, max(unit, float(np.quantile(values, _TOP_QUANTILE))))


def gain_samples(
    manifest: Columns, *, resolution: str, scale: GainScale | None = None
) -> tuple[list[Sample], GainScale]:
    """Return the rows of a tier that have an ``accurate_gain``, in ``triplet_id`` order, and the scale of their levels.

    Args:
        scale: Of the training whose model is judged; None fits one on split train.

    Raises:
        UsageError: Unknown tier, or one that the manifest does not have.
        ManifestError: No gains, or of several predictors; one that does not fit its frame; a clip in two splits.
    """
    check_no_leaks(manifest, resolution=resolution)
    names = ("predictor", "predictor_sha256", "accurate_predictor", "accurate_predictor_sha256")
    pieces = pieces_of_tier(manifest, resolution, more=(*names, "accurate_gain"))
    wanted = [row for piece in pieces for row in piece.filter(pc.is_valid(piece.column("accurate_gain"))).to_pylist()]
    if not wanted:
        raise ManifestError(f"{manifest.path} has no accurate_gain at {resolution}; {_ADVICE}")
    makers = {tuple(row[name] for name in names) for row in wanted}
    if len(makers) > 1:
        pairs = ", ".join(sorted({f"{maker[2]} over {maker[0]}" for maker in makers}))
        raise ManifestError(f"accurate_gain in {manifest.path} must be of one pair of models, found {pairs}; {_ADVICE}")
    samples = [_sample(manifest.frames, row) for row in wanted]
    if scale is None:
        train = [gain for sample in samples if sample.split == "train" for gain in sample.gain]
        try:
            scale = fit_gain_scale(train)
        except ValueError as error:
            raise ManifestError(f"{manifest.path} cannot be trained on in split train: {error}") from error
    return [_with_levels(sample, scale) for sample in samples], scale


def mean_gain(sample: Sample) -> float:
    """Return the fall of the whole frame's mean squared error, squared 8-bit levels."""
    rows, columns = cell_grid(sample.width, sample.height)
    areas = np.outer(_sides(sample.height, rows), _sides(sample.width, columns))
    return float((np.reshape(sample.gain, (rows, columns)) * areas).sum() / areas.sum())


def _sides(side: int, count: int) -> Values:
    return np.minimum(CELL, side - CELL * np.arange(count)).astype(np.float64)


def _sample(root: Folder, row: dict[str, Any]) -> Sample:
    rows, columns = cell_grid(row["width"] or 0, row["height"] or 0)
    gain = row["accurate_gain"]
    if len(gain) != rows * columns or not all(value is not None and math.isfinite(value) for value in gain):
        raise ManifestError(
            f"triplet {row['triplet_id']}: accurate_gain must be {rows * columns} finite numbers for its "
            f"{row['width']}x{row['height']} pixels; {_ADVICE} --overwrite"
        )
    placeholder = {**row, "level": LEVELS[0], "votes": None}  # people's levels say something else
    return replace(row_sample(root, placeholder), gain=tuple(gain))


def _with_levels(sample: Sample, scale: GainScale) -> Sample:
    levels = scale.levels(sample.gain)
    return replace(
        sample, level=float(scale.levels(mean_gain(sample))), cell_levels=tuple(float(level) for level in levels)
    )
