"""The engine of ``predict``: reads pairs, interpolates in batches, writes and measures the results, all at once."""

import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from dataset_tools.common.cores import num_cores
from dataset_tools.common.device import select_device
from dataset_tools.common.files import inside
from dataset_tools.common.remote import Folder
from dataset_tools.errors import FrameError, ManifestError, VfiError
from dataset_tools.frames import Rgb, fingerprint, pixels_sha256, read_image, to_rgb, to_tensor, write_image
from dataset_tools.interpolators import Interpolator, create_interpolator
from dataset_tools.prediction.columns import COLUMNS, NEEDED_COLUMNS, ROLES
from dataset_tools.prediction.gains import measure_accurate
from dataset_tools.prediction.metrics import MIN_LPIPS_SIDE, Lpips, mean_motion, psnr, ssim
from dataset_tools.prediction.motion_measures import measure_motion

Row = Mapping[str, Any]
_CUDA_BATCH_PIXELS = 4 * 720 * 1280  # four pairs at 720p: an 8 GB card holds them
_MAX_WORKERS = 8  # a pair at 1080p takes about 1.5 GB


class Predictor:
    """An interpolator and the metrics, ready for many rows.

    Several threads each read a batch, interpolate it, write and measure the result, so that files, network and metrics
    overlap. On a CPU each thread computes one pair alone: that is as fast as all cores on one batch, and the bits then
    depend neither on the number of cores nor on what else is predicted (a convolution of a batch may round otherwise
    than that of a single image). On CUDA one batch of equal sizes at a time is on the device; a restart may compose
    batches otherwise, which can show in the last bit of a few pixels.
    """

    def __init__(
        self,
        name: str = "rife",
        *,
        weights: Path | None = None,
        device: str = "auto",
        backend: str = "torch",
        role: str = "pred",
        num_threads: int | None = None,
    ) -> None:
        """Load the interpolator.

        Args:
            name: As ``list_interpolators()`` names it, or ``module:Class``.
            weights: Weights file; wins over the pinned asset.
            backend: See ``create_interpolator``. What is installed must not decide about a data set's pixels: PyTorch
                by default, and another engine shows in ``name``.
            role: ``pred`` writes the prediction that people judge; ``accurate`` keeps no image and measures what it
                would add to that prediction; ``measures`` measures that prediction and needs no interpolator.
            num_threads: How many pairs at once; by default as many as there are cores, up to 8.

        Raises:
            UsageError: The name, the device or the backend is unknown or not possible, or a weights file is needed.
            AssetError, WeightsError: The weights cannot be fetched or do not fit.
        """
        self.device = select_device(device)
        self.role, self.columns = role, ROLES[role]
        self._interpolator: Interpolator | None = None
        self.name, self.weights_sha256 = "opencv-dis", ""
        if role != "measures":
            self._interpolator = create_interpolator(name, weights=weights, device=self.device, backend=backend)
            self.name, self.weights_sha256 = self._interpolator.name, self._interpolator.weights_sha256
        self._lpips: Lpips | None = None
        self._num_threads = num_threads or min(num_cores(), _MAX_WORKERS)
        self._on_device = threading.Lock()

    def predict(self, rows: Sequence[Row], *, root: Folder) -> Iterator[tuple[int, dict[str, Any] | VfiError]]:
        """Predict rows of a manifest, write the image files, and yield the new columns of each row.

        Args:
            rows: Need ``img0``, ``gt``, ``img1``, the three indices, ``width`` and ``height``, both at least 64.
            root: The data set's folder.

        Yields:
            The position in ``rows``, and either the values of ``columns`` or why this row could not be done. The order
            is fixed: by size, then by position.
        """
        if not rows:
            return
        self._lpips = self._lpips or Lpips(self.device)
        threads_before = torch.get_num_threads()
        pool = ThreadPoolExecutor(self._num_threads, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for done in pool.map(lambda batch: self._do_batch(batch, rows, root), self._batches(rows)):
                yield from done
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads_before)  # the setting of new threads is shared by the process

    def _batches(self, rows: Sequence[Row]) -> list[list[int]]:
        """Return positions grouped by equal image size; singly on a CPU."""
        by_size: dict[tuple[int, int], list[int]] = defaultdict(list)
        for position, row in enumerate(rows):
            by_size[row["width"] or 0, row["height"] or 0].append(position)
        batches = []
        for (width, height), positions in sorted(by_size.items()):
            size = 1 if self.device.type == "cpu" else max(1, _CUDA_BATCH_PIXELS // max(1, width * height))
            batches += [positions[start : start + size] for start in range(0, len(positions), size)]
        return batches

    def _do_batch(
        self, positions: list[int], rows: Sequence[Row], root: Folder
    ) -> list[tuple[int, dict[str, Any] | VfiError]]:
        results: dict[int, dict[str, Any] | VfiError] = {}
        frames: dict[int, tuple[Rgb, Rgb, Rgb]] = {}
        for position in positions:
            try:
                frames[position] = _read_triplet(rows[position], root)
            except VfiError as error:
                results[position] = error
        if frames:
            pairs = [(img0, img1) for img0, _, img1 in frames.values()]
            made = self._interpolate(self._interpolator, pairs) if self._interpolator else [None] * len(pairs)
            for (position, triplet), frame in zip(frames.items(), made, strict=True):
                try:
                    results[position] = self._finish(rows[position], root, triplet, frame)
                except VfiError as error:
                    results[position] = error
        return sorted(results.items())

    def _finish(self, row: Row, root: Folder, triplet: tuple[Rgb, Rgb, Rgb], made: Rgb | None) -> dict[str, Any]:
        if made is None:
            return self._measure(row, root, triplet)
        return self._keep(row, root, triplet, made) if self.role == "pred" else self._compare(row, root, triplet, made)

    def _interpolate(self, interpolator: Interpolator, pairs: list[tuple[Rgb, Rgb]]) -> list[Rgb]:
        img0, img1 = (torch.cat([to_tensor(pair[side]) for pair in pairs]) for side in (0, 1))
        if self.device.type == "cpu":
            return [to_rgb(frame) for frame in interpolator.interpolate(img0, img1)]
        with self._on_device:
            return [to_rgb(frame) for frame in interpolator.interpolate(img0.to(self.device), img1.to(self.device))]

    def _keep(self, row: Row, root: Folder, triplet: tuple[Rgb, Rgb, Rgb], pred: Rgb) -> dict[str, Any]:
        img0, gt, img1 = triplet
        path = prediction_path(row, predictor=self.name, weights_sha256=self.weights_sha256)
        try:
            write_image(inside(root, path), pred)
        except OSError as error:
            if isinstance(root, Path):  # a full disk is the end of the run
                raise
            raise FrameError(f"cannot write {root / path}: {error}") from error
        assert self._lpips is not None
        inputs_lpips, motion = row.get("inputs_lpips"), row.get("motion")
        values = (
            path,
            pixels_sha256(pred),
            fingerprint(pred),
            self.name,
            self.weights_sha256,
            psnr(pred, gt),
            ssim(pred, gt),
            self._lpips(pred, gt),
            self._lpips(img0, img1) if inputs_lpips is None else inputs_lpips,
            mean_motion(img0, img1) if motion is None else motion,
        )
        return dict(zip(COLUMNS, values, strict=True))

    def _compare(self, row: Row, root: Folder, triplet: tuple[Rgb, Rgb, Rgb], accurate: Rgb) -> dict[str, Any]:
        assert self._lpips is not None
        return measure_accurate(
            _read_pred(row, root),
            accurate,
            triplet[1],
            lpips=self._lpips,
            predictor=self.name,
            weights_sha256=self.weights_sha256,
        )

    def _measure(self, row: Row, root: Folder, triplet: tuple[Rgb, Rgb, Rgb]) -> dict[str, Any]:
        img0, gt, img1 = triplet
        assert self._lpips is not None
        return measure_motion(_read_pred(row, root), gt, img0, img1, lpips=self._lpips)


def prediction_path(row: Row, *, predictor: str, weights_sha256: str) -> str:
    """Return where a prediction is kept, relative to the data set; predictors never share a file.

    Example: ``pred/rife-3.9-b234ad8d/videos/dog.mp4/256p/000010-000012-000014.png``.
    """
    folder = PurePosixPath(row["gt"]).parent
    parts = folder.parts[1:] if folder.parts[:1] == ("frames",) else folder.parts
    maker = re.sub(r"[^A-Za-z0-9._-]", "_", f"{predictor}-{weights_sha256[:8]}".rstrip("-"))
    name = "-".join(f"{row[column]:06d}" for column in ("img0_index", "gt_index", "img1_index"))
    return str(PurePosixPath("pred", maker, *parts, f"{name}.png"))


def _read_triplet(row: Row, root: Folder) -> tuple[Rgb, Rgb, Rgb]:
    missing = [name for name in NEEDED_COLUMNS if row[name] is None]
    if missing:
        raise ManifestError(f"{', '.join(missing)} must not be null")
    if min(row["width"], row["height"]) < MIN_LPIPS_SIDE:
        raise FrameError(f"{row['width']}x{row['height']} must be at least {MIN_LPIPS_SIDE} pixels each way for LPIPS")
    img0, gt, img1 = (read_image(inside(root, row[column])) for column in ("img0", "gt", "img1"))
    for column, image in (("img0", img0), ("gt", gt), ("img1", img1)):
        _check_size(image, row, root / row[column])
    return img0, gt, img1


def _read_pred(row: Row, root: Folder) -> Rgb:
    if row["pred"] is None:
        raise ManifestError("it has no prediction to compare with; run dataset_tools.predict without --as first")
    pred = read_image(inside(root, row["pred"]))
    _check_size(pred, row, root / row["pred"])
    return pred


def _check_size(image: Rgb, row: Row, path: Path) -> None:
    if image.shape[:2] != (row["height"], row["width"]):
        size, wanted = f"{image.shape[1]}x{image.shape[0]}", f"{row['width']}x{row['height']}"
        raise FrameError(f"{path} is {size}, must be {wanted} as the manifest says")
