"""Labels of crops: LPIPS by place, measured once per pair and kept, so that a crop is told what it shows itself.

At 720p a crop of 224 pixels has another proxy level than its frame in two cases of five (``docs/results.md``), and the
paper's auxiliary loss compares the mean of the score map with LPIPS of what that map is of.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from dataset_tools.common.files import atomic_writer
from dataset_tools.common.remote import File, stamp
from dataset_tools.frames import Rgb
from dataset_tools.prediction.proxy_levels import proxy_level
from vfidpa_model.pairs.sample import Sample, level_distribution

CELL = 8  # pixels: the model's locations
Window = tuple[slice, slice]
Cells = npt.NDArray[np.float32]


class PairReader(Protocol):
    """Reads frames at the model's height; ``pairs.loading`` has it."""

    @property
    def input_height(self) -> int | None:
        """Rows the model sees."""
        ...

    def pair(self, sample: Sample) -> tuple[Rgb, Rgb]:
        """Return img0 and img1 of a sample."""
        ...


@dataclass(frozen=True)
class LpipsPlaces:
    """LPIPS by place of pairs, and of predictions where the label is a proxy, in a folder.

    Attributes:
        folder: One .npy file per picture pair, named by what is in it.
        reader: Of the frames as the model sees them.
        pictures: Triplet to its true middle frame and the prediction, for pairs whose level is a proxy.
    """

    folder: Path
    reader: PairReader
    pictures: Mapping[str, tuple[File, File]] = field(default_factory=dict)

    def inputs_file(self, sample: Sample) -> Path:
        """Return the file of LPIPS between the two frames, at the model's height."""
        names = [sample.img0_sha256 or str(sample.img0), sample.img1_sha256 or str(sample.img1)]
        return self._file([*names, self.reader.input_height])

    def prediction_file(self, sample: Sample) -> Path | None:
        """Return the file of LPIPS between the prediction and the truth, at the size of their files."""
        if sample.triplet_id not in self.pictures:
            return None
        facts = [stamp(path) for path in self.pictures[sample.triplet_id]]
        return self._file(facts)

    def _file(self, facts: object) -> Path:
        return self.folder / f"{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]}.npy"

    def of_window(self, sample: Sample, window: Window, *, frame: tuple[int, int]) -> Sample:
        """Return a sample with the LPIPS of what ``window`` shows of a frame (height, width), and its proxy level."""
        changed = replace(sample, inputs_lpips=window_mean(np.load(self.inputs_file(sample)), window, frame=frame))
        predicted = self.prediction_file(sample)
        if predicted is None:
            return changed
        level = proxy_level(window_mean(np.load(predicted), window, frame=frame))
        return replace(changed, level=level, distribution=level_distribution({}, level=level))


def window_mean(cells: Cells, window: Window, *, frame: tuple[int, int]) -> float:
    """Return the mean over the cells whose centres lie in ``window``, rows and columns of a frame (height, width).

    The cells cover the frame, whatever size it was measured at.
    """
    inside = []
    for axis in range(2):
        centres = (np.arange(cells.shape[axis]) + 0.5) / cells.shape[axis] * frame[axis]
        inside.append(np.flatnonzero((centres >= window[axis].start) & (centres < window[axis].stop)))
    return float(cells[np.ix_(*inside)].mean(dtype=np.float64))


def measure_places(places: LpipsPlaces, samples: Sequence[Sample], *, device: torch.device | str) -> None:
    """Measure what is not in the folder yet.

    Raises:
        FrameError: A frame cannot be read.
        AssetError: LPIPS's weights are not there and cannot be fetched.
    """
    from dataset_tools.common.progress import track
    from dataset_tools.frames import read_image
    from dataset_tools.prediction.metrics import Lpips

    todo = [sample for sample in samples if not _is_whole(places, sample)]
    if not todo:
        return
    lpips = Lpips(device)
    with track("LPIPS by place", len(todo)) as progress:
        for sample in todo:
            if not (path := places.inputs_file(sample)).exists():
                _save(path, lpips.by_place(*places.reader.pair(sample), cell=CELL))
            predicted = places.prediction_file(sample)
            if predicted is not None and not predicted.exists():
                truth, prediction = (read_image(path) for path in places.pictures[sample.triplet_id])
                _save(predicted, lpips.by_place(prediction, truth, cell=CELL))
            progress.advance()


def _is_whole(places: LpipsPlaces, sample: Sample) -> bool:
    predicted = places.prediction_file(sample)
    return places.inputs_file(sample).exists() and (predicted is None or predicted.exists())


def _save(path: Path, cells: Cells) -> None:
    with atomic_writer(path) as file:
        np.save(file, cells.astype(np.float16))
