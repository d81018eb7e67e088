"""What any model has to beat: one number per pair, brought onto the level scale by an isotonic fit on train."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.isotonic import IsotonicRegression

from dataset_tools.common.progress import track
from dataset_tools.frames import Rgb
from dataset_tools.prediction.metrics import Lpips, mean_motion
from vfidpa_model.evaluation.measures import Values
from vfidpa_model.pairs.loading import FrameReader
from vfidpa_model.pairs.sample import Sample
from vfidpa_model.pairs.sample_table import numbers_of

Feature = Callable[[Sample, FrameReader], float]


@dataclass(frozen=True)
class BaselineScores:
    """A baseline's answer for the evaluated samples.

    Attributes:
        scores: On the level scale, (N,).
        ranking: The raw feature, (N,), for rank measures; None where there is nothing to rank.
    """

    scores: Values
    ranking: Values | None


def frame_difference(img0: Rgb, img1: Rgb) -> float:
    """Return the mean absolute difference of two frames, 0 to 255."""
    return float(np.abs(img0.astype(np.int16) - img1).mean())


def baseline_features(*, device: str = "cpu") -> dict[str, Feature]:
    """Return the trivial features by name; each grows with difficulty. The manifest's columns are used where filled."""
    lpips: list[Lpips] = []  # loaded only when a row lacks inputs_lpips

    def inputs_lpips(sample: Sample, reader: FrameReader) -> float:
        if not np.isnan(sample.inputs_lpips):
            return sample.inputs_lpips
        if not lpips:
            lpips.append(Lpips(device))
        return lpips[0](*reader.pair(sample))

    def flow(sample: Sample, reader: FrameReader) -> float:
        return mean_motion(*reader.pair(sample)) if np.isnan(sample.motion) else sample.motion

    return {
        "frame difference": lambda sample, reader: frame_difference(*reader.pair(sample)),
        "optical flow (DIS)": flow,
        "LPIPS of the inputs": inputs_lpips,
    }


def fit_isotonic(feature: Values, levels: Values, *, at: Values) -> Values:
    """Return ``at`` on the level scale, through the growing function that fits ``levels`` best in least squares.

    Between training values it is linear, outside them constant.
    """
    model = IsotonicRegression(increasing=True, out_of_bounds="clip")
    return np.asarray(model.fit(feature, levels).predict(at), dtype=np.float64)


def score_baselines(
    train: Sequence[Sample], evaluated: Sequence[Sample], *, device: str = "cpu"
) -> dict[str, BaselineScores]:
    """Return every baseline's scores of ``evaluated``, fitted on ``train``; frames are taken at their stored size.

    Constant is the median level of ``train``.
    """
    levels = numbers_of(train, "level")
    constant = np.full(len(evaluated), np.median(levels))
    found = {"constant (median)": BaselineScores(constant, None)}
    reader = FrameReader()
    features = baseline_features(device=device)
    with track("baselines", len(features) * (len(train) + len(evaluated))) as progress:
        for name, feature in features.items():
            values = []
            for sample in itertools.chain(train, evaluated):
                values.append(feature(sample, reader))
                progress.advance(note=name)
            known, new = np.asarray(values[: len(train)]), np.asarray(values[len(train) :])
            found[name] = BaselineScores(fit_isotonic(known, levels, at=new), new)
    return found
