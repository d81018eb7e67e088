"""Frame pairs for training and evaluation: reading, cropping, caching, and the order of batches."""

import itertools
import re
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from dataset_tools.common.files import atomic_writer
from dataset_tools.common.remote import File, parse_file
from dataset_tools.common.stores import was_used
from dataset_tools.errors import FrameError
from dataset_tools.frames import Rgb, pixels_sha256, read_image
from dataset_tools.frames.area import resize_area
from dataset_tools.prediction.gains import CELL, cell_grid
from vfidpa_model.networks.backbones import SHALLOW_STRIDE
from vfidpa_model.pairs.augment import Switches, draw_augmentation, draw_crop, generator_for, mirror_pad
from vfidpa_model.pairs.places import LpipsPlaces
from vfidpa_model.pairs.resize import seen_size
from vfidpa_model.pairs.sample import Sample

Batch = dict[str, torch.Tensor]
_RAISED = f"{FrameError.__module__}.{FrameError.__name__}: "
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class FrameReader:
    """Reads frames at the model's height, through a cache of decoded pixels when there is one.

    Attributes:
        input_height: Frames higher than this are brought down to it by area averaging; None keeps their size.
        cache: Folder for decoded frames, one .npy file each, named by the hash of the stored pixels, so that a
            changed frame is never taken from it. They are memory-mapped: a crop reads only its own rows.
    """

    input_height: int | None = None
    cache: Path | None = None

    def pair(self, sample: Sample) -> tuple[Rgb, Rgb]:
        """Return img0 and img1 of a sample, each (height, width, 3).

        Raises:
            FrameError: A file is missing, damaged, or not of the size that the manifest states.
        """
        size = self.size_of(sample)
        first, second = parse_file(sample.img0), parse_file(sample.img1)
        return self._frame(first, sample.img0_sha256, size), self._frame(second, sample.img1_sha256, size)

    def size_of(self, sample: Sample) -> tuple[int, int]:
        """Return width and height that the model sees a sample at."""
        return self._size(sample.width, sample.height)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        return seen_size(width, height, rows=self.input_height)

    def _frame(self, path: File, sha256: str | None, size: tuple[int, int]) -> Rgb:
        stored = None
        if self.cache is not None and sha256 and _SHA256.fullmatch(sha256):  # untrusted, and part of a path here
            stored = self.cache / f"{sha256}-{self.input_height or 'full'}.npy"
        rgb = _load_cached(stored) if stored else None
        if rgb is None:
            whole = read_image(path)
            width, height = self._size(whole.shape[1], whole.shape[0])
            rgb = resize_area(whole, width=width, height=height)
            if stored and pixels_sha256(whole) == sha256:  # a wrong frame would outlive its repair in the cache
                with atomic_writer(stored) as file:
                    np.save(file, rgb)
        if rgb.shape[:2] != (size[1], size[0]):
            raise FrameError(f"{path} has not the size that its manifest states; run dataset_tools.verify")
        return rgb


def _load_cached(path: Path) -> Rgb | None:
    try:
        return np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None


class TrainingPairs(Dataset[Batch]):
    """Augmented square crops, or whole frames. A key is (epoch, index): nothing else but the seed decides."""

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        reader: FrameReader,
        crop: int,
        seed: int,
        switches: Switches = Switches(),
        places: LpipsPlaces | None = None,
    ) -> None:
        """Take the samples.

        Args:
            crop: Side of the crops in pixels at the model's height, 0 for whole frames.
            switches: Which augmentations there are.
            places: Where given, a crop's LPIPS and proxy level are those of what it shows.
        """
        self.samples, self.reader, self.crop, self.seed = samples, reader, crop, seed
        self.switches, self.places = switches, places

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> Batch:
        """Return one sample: img0, img1 uint8 (3, height, width) and its targets, see ``targets_of``.

        Where the sample has ``cell_levels``, they come as ``location_levels`` (ceil(height / 8), ceil(width / 8)):
        the level of the cell that each location of the score map lies in.
        """
        epoch, index = key
        sample = self.samples[index]
        rng = generator_for(self.seed, epoch, index)
        img0, img1 = self.reader.pair(sample)
        height, width = min(img0.shape[0], img1.shape[0]), min(img0.shape[1], img1.shape[1])
        window = draw_crop(rng, height=height, width=width, crop=self.crop or max(height, width))
        sides = (self.crop or height, self.crop or width)
        cropped = [mirror_pad(np.asarray(img[window]), height=sides[0], width=sides[1]) for img in (img0, img1)]
        augmentation = draw_augmentation(rng, keep_shape=not self.crop, switches=self.switches)
        if self.places is not None:
            sample = self.places.of_window(sample, window, frame=(height, width))
        targets = targets_of(sample)
        if sample.cell_levels:
            levels = location_levels(sample, frame=(height, width), window=window, sides=sides)
            targets["location_levels"] = torch.from_numpy(np.ascontiguousarray(augmentation.turn(levels)))
        img0, img1 = augmentation.apply(*cropped)
        return {"img0": _planes(img0), "img1": _planes(img1), **targets}


def location_levels(
    sample: Sample, *, frame: tuple[int, int], window: tuple[slice, slice], sides: tuple[int, int]
) -> npt.NDArray[np.float32]:
    """Return the level of the 64-pixel cell under each location of a crop's score map, (h, w).

    Args:
        frame: Height and width the model sees the whole frame at.
        window: Rows and columns of it that the crop shows.
        sides: Height and width of the crop, grown by mirroring where the frame is smaller.
    """
    cells = np.asarray(sample.cell_levels, dtype=np.float32).reshape(cell_grid(sample.width, sample.height))
    places = []
    for axis, stored in enumerate((sample.height, sample.width)):
        pixels = np.arange(SHALLOW_STRIDE // 2, sides[axis] + SHALLOW_STRIDE // 2, SHALLOW_STRIDE)
        pixels = np.minimum(pixels, sides[axis] - 1)  # the last location may see less than half a stride
        shown = window[axis].stop - window[axis].start
        folded = pixels % (2 * shown)  # mirroring repeats after twice the shown side
        pixels = window[axis].start + np.where(folded < shown, folded, 2 * shown - 1 - folded)
        scaled = (pixels + 0.5) * stored / frame[axis]
        places.append(np.minimum(scaled.astype(np.int64) // CELL, cells.shape[axis] - 1))
    return cells[np.ix_(*places)]


class WholePairs(Dataset[Batch]):
    """Whole frames, unchanged, for validation and testing. A key is an index."""

    def __init__(self, samples: Sequence[Sample], *, reader: FrameReader) -> None:
        self.samples, self.reader = samples, reader

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Batch:
        """Return one sample: img0, img1 uint8 (3, H, W), its index, and its targets."""
        sample = self.samples[index]
        img0, img1 = self.reader.pair(sample)
        return {"img0": _planes(img0), "img1": _planes(img1), "index": torch.tensor(index), **targets_of(sample)}


def targets_of(sample: Sample) -> Batch:
    """Return ``level`` (), ``distribution`` (4,) and ``inputs_lpips`` () (NaN where unknown), all float32."""
    return {
        "level": torch.tensor(sample.level, dtype=torch.float32),
        "distribution": torch.tensor(sample.distribution, dtype=torch.float32),
        "inputs_lpips": torch.tensor(sample.inputs_lpips, dtype=torch.float32),
    }


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return the batch on ``device`` with frames as float32 in [0, 1]; 8-bit frames travel, four times smaller."""
    moved = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
    return {**moved, "img0": moved["img0"].float().div_(255), "img1": moved["img1"].float().div_(255)}


def epoch_order(num_samples: int, *, seed: int, epoch: int) -> list[int]:
    """Return the order of an epoch, a permutation of range(num_samples)."""
    order: list[int] = np.random.default_rng((seed, epoch)).permutation(num_samples).tolist()
    return order


def epoch_batches(
    num_samples: int, *, batch: int, seed: int, epoch: int, shapes: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Return the batches of an epoch, each of ``batch`` indices in range(num_samples).

    Without ``shapes`` the last, smaller batch is left out, other samples each epoch. With them, one for each sample, a
    batch holds one shape only; a shape's last batch is filled up with its first samples, so that a rare shape counts.
    """
    order = epoch_order(num_samples, seed=seed, epoch=epoch)
    if shapes is None:
        return [order[start : start + batch] for start in range(0, num_samples - batch + 1, batch)]
    by_shape: dict[Hashable, list[int]] = defaultdict(list)
    for index in order:
        by_shape[shapes[index]].append(index)
    found = []
    for group in by_shape.values():
        filled = list(itertools.islice(itertools.cycle(group), -(-len(group) // batch) * batch))
        found += [filled[start : start + batch] for start in range(0, len(filled), batch)]
    return [found[place] for place in epoch_order(len(found), seed=seed, epoch=epoch)]


def batches_from(
    first_step: int,
    *,
    num_steps: int,
    num_samples: int,
    batch: int,
    seed: int,
    rank: int = 0,
    world: int = 1,
    shapes: Sequence[Hashable] | None = None,
) -> Iterator[list[tuple[int, int]]]:
    """Yield this process's keys of every step from ``first_step`` to ``num_steps``, across epochs.

    Step s is batch s mod k of epoch s // k, where k is the number of ``epoch_batches``. Process ``rank`` takes every
    ``world``-th key, so that all processes together see the batch that one process would, with equal shares.
    """
    epoch, found = -1, epoch_batches(num_samples, batch=batch, seed=seed, epoch=0, shapes=shapes)
    for step in range(first_step, num_steps):
        if step // len(found) != epoch:
            epoch = step // len(found)
            found = epoch_batches(num_samples, batch=batch, seed=seed, epoch=epoch, shapes=shapes)
        yield [(epoch, index) for index in found[step % len(found)]][rank::world]


def shape_batches(samples: Sequence[Sample], indices: Sequence[int], *, batch: int) -> list[list[int]]:
    """Return ``indices`` in groups of at most ``batch``, each of one frame size, so that they can be stacked."""
    by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in indices:
        by_shape[samples[index].height, samples[index].width].append(index)
    groups = (group for _, group in sorted(by_shape.items()))
    return [group[start : start + batch] for group in groups for start in range(0, len(group), batch)]


def make_loader(dataset: Dataset[Batch], batches: Any, *, workers: int) -> DataLoader[Batch]:
    """Return a loader over given batches of keys.

    It has a random generator of its own: iterating must not touch the global one, or a resumed run would differ.
    """
    return DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=workers,
        # A process that has spoken to an object store cannot be forked.
        multiprocessing_context="spawn" if workers and was_used() else None,
        generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(),
        persistent_workers=False,
        prefetch_factor=4 if workers else None,
    )


def read_batches(dataset: Dataset[Batch], batches: Any, *, workers: int) -> Iterator[Batch]:
    """Yield given batches of keys.

    Raises:
        FrameError: A frame cannot be read; one line, also when a worker process found it.
    """
    try:
        yield from make_loader(dataset, batches, workers=workers)
    except FrameError as error:
        # PyTorch puts the worker's traceback into the message; the error itself is its last line.
        raise FrameError(str(error).strip().splitlines()[-1].removeprefix(_RAISED)) from error


def _planes(rgb: Rgb) -> torch.Tensor:
    return torch.from_numpy(np.array(rgb.transpose(2, 0, 1)))
