"""Who knows the level, and where refinement gains? ``python benchmarks/difficulty_and_gain.py MANIFEST --run light``

For the test pairs of a manifest with levels and ``accurate_gain`` (``predict --as accurate``): rank correlation of each
signal with the level and with the whole frame's gain; the share of all error removed that the best 30 % of pairs hold;
and what the best 20, 30 and 43 % of the area hold, by 64-pixel cells. Signals: models (a name or a run each), LPIPS of
the inputs, frame difference, flow, and the squared difference of RIFE's two warped images, which knows more because
RIFE has run. Intervals: 95 %, bootstrap over clips.
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from dataset_tools.common.progress import track
from dataset_tools.common.statistics import interval95
from dataset_tools.frames import to_tensor
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.padding import Padding
from dataset_tools.manifest import read_manifest
from dataset_tools.prediction.gains import CELL, cell_grid
from vfidpa_model.evaluation.comparison import measure_row
from vfidpa_model.inference.assessor import as_batch, load_checkpoint
from vfidpa_model.pairs.gains import gain_samples, mean_gain
from vfidpa_model.pairs.loading import FrameReader
from vfidpa_model.pairs.sample import Sample

PAIRS, AREAS = 0.30, (0.20, 0.30, 0.43)
_RIFE_MULTIPLE = 128  # of the sides, for its doubled scales


def cell_means(plane: np.ndarray) -> np.ndarray:
    """Return the mean of each 64-pixel cell of (height, width)."""
    rows, columns = (np.arange(0, side, CELL) for side in plane.shape)
    sums = np.add.reduceat(np.add.reduceat(plane, rows, axis=0), columns, axis=1)
    return sums / areas_of(plane.shape[1], plane.shape[0])


def areas_of(width: int, height: int) -> np.ndarray:
    """Return the pixels of each cell."""
    rows, columns = cell_grid(width, height)
    sides = (np.minimum(CELL, side - CELL * np.arange(count)) for side, count in ((height, rows), (width, columns)))
    return np.outer(*sides)


def model_signal(run: str) -> Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]:
    """Return a function from two frames to a model's score and its map by cells."""
    assessor = load_checkpoint(run)

    def signal(img0: np.ndarray, img1: np.ndarray) -> tuple[float, np.ndarray]:
        found = assessor.assess(as_batch(img0), as_batch(img1))
        size = img0.shape[:2]
        whole = torch.nn.functional.interpolate(found.score_map[None].float(), size=size, mode="nearest")
        return float(found.score), cell_means(whole[0, 0].numpy())

    return signal


def warped_signal() -> Callable[[np.ndarray, np.ndarray], tuple[float, np.ndarray]]:
    """Return a function from two frames to the squared difference of RIFE's warped images, whole and by cells."""
    network = create_interpolator("rife")

    def signal(img0: np.ndarray, img1: np.ndarray) -> tuple[float, np.ndarray]:
        first, second = to_tensor(img0), to_tensor(img1)
        padding = Padding.to_multiple(*first.shape[-2:], _RIFE_MULTIPLE)
        with torch.inference_mode():
            warped = padding.crop(network.estimate(padding.pad(first), padding.pad(second)).warped)
        square = (warped[0, :3] - warped[0, 3:]).square().mean(0).numpy()
        return float(square.mean()), cell_means(square)

    return signal


def difference_signal(img0: np.ndarray, img1: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the squared difference of two frames, whole and by cells."""
    square = np.square(img0.astype(np.float32) - img1).mean(axis=2)
    return float(square.mean()), cell_means(square)


def kept(scores: np.ndarray, gains: np.ndarray) -> float:
    """Return the share of all gain that the best ``PAIRS`` of the pairs hold."""
    best = np.argsort(-scores, kind="stable")[: round(PAIRS * len(scores))]
    return float(gains[best].sum() / gains.sum())


def kept_with_interval(scores: np.ndarray, gains: np.ndarray, clips: Sequence[str]) -> str:
    """Return ``kept`` with its interval."""
    rng, clips = np.random.default_rng(0), np.asarray(clips)
    members = [np.flatnonzero(clips == clip) for clip in sorted(set(clips))]
    draws = []
    for _ in range(500):
        chosen = np.concatenate([members[place] for place in rng.integers(len(members), size=len(members))])
        draws.append(kept(scores[chosen], gains[chosen]))
    low, high = interval95(np.asarray(draws))
    return f"{kept(scores, gains):.3f} [{low:.3f}, {high:.3f}]"


def kept_of_cells(cells: Sequence[np.ndarray], samples: Sequence[Sample]) -> str:
    """Return what the best ``AREAS`` of all test frames hold of all gain."""
    areas = np.concatenate([areas_of(sample.width, sample.height).ravel() for sample in samples])
    gains = np.concatenate([sample.gain for sample in samples]) * areas
    order = np.argsort(-np.concatenate([cell.ravel() for cell in cells]), kind="stable")
    taken = np.cumsum(areas[order]) / areas.sum()
    return " / ".join(f"{gains[order][taken <= area].sum() / gains.sum():.3f}" for area in AREAS)


def main() -> None:
    """Measure every signal on the test pairs and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--run", action="append", default=[], help="a model: light, or a run; may be repeated")
    options = parser.parse_args()
    manifest = read_manifest(options.manifest)
    levels = {row["triplet_id"]: row["level"] for row in manifest.rows()}
    samples = [sample for sample in gain_samples(manifest, resolution="256p")[0] if sample.split == "test"]
    signals = {run: model_signal(run) for run in options.run}
    signals |= {"frame difference": difference_signal, "warped difference": warped_signal()}
    scores: dict[str, list[float]] = {name: [] for name in signals}
    cells: dict[str, list[np.ndarray]] = {name: [] for name in signals}
    with track("pairs", len(samples)) as progress:
        for sample in samples:
            img0, img1 = FrameReader().pair(sample)
            for name, signal in signals.items():
                score, by_cell = signal(img0, img1)
                scores[name].append(score)
                cells[name].append(by_cell)
            progress.advance()
    scores["LPIPS of the inputs"] = [sample.inputs_lpips for sample in samples]
    scores["optical flow (DIS)"] = [sample.motion for sample in samples]
    gains, clips = np.array([mean_gain(sample) for sample in samples]), [sample.clip for sample in samples]
    scores["oracle"] = gains.tolist()
    cells["oracle"] = [np.reshape(s.gain, cell_grid(s.width, s.height)) for s in samples]
    print(f"{len(samples)} pairs of {len(set(clips))} clips\n")
    print("| | SRCC with level | SRCC with gain | best 30 % of pairs hold | best 20 / 30 / 43 % of cells hold |")
    print("| --- | --- | --- | --- | --- |")
    for name, values in scores.items():
        signal = np.asarray(values)
        parts = []
        for truth in (np.array([levels[sample.triplet_id] for sample in samples]), gains):
            row = measure_row(signal, truth, clips, ranking=signal)
            low, high = row.intervals["srcc"]
            parts.append(f"{row.measures['srcc']:.3f} [{low:.3f}, {high:.3f}]")
        by_cell = kept_of_cells(cells[name], samples) if name in cells else ""
        print(f"| {name} | {' | '.join(parts)} | {kept_with_interval(signal, gains, clips)} | {by_cell} |")


if __name__ == "__main__":
    main()
