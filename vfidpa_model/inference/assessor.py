"""The Assessor: a loaded model that takes frames of any size and kind.

``create_assessor("light")(img0, img1)`` gives the difficulty of a frame pair.
"""

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from dataset_tools.common.device import select_device
from dataset_tools.common.files import write_bytes
from dataset_tools.errors import UsageError
from dataset_tools.frames import read_image
from dataset_tools.levels import LEVELS
from vfidpa_model.inference.card import to_card
from vfidpa_model.inference.checkpoint import CheckpointError, load_model, read_checkpoint, save_checkpoint
from vfidpa_model.inference.hub import CARD_NAME, fetch_checkpoint, is_hub_id, push_checkpoint
from vfidpa_model.inference.score_scale import ScoreScale
from vfidpa_model.networks.vfidpa import VFIDPA, Assessment, Body
from vfidpa_model.pairs.resize import shrink_to_height

BACKENDS = ("torch", "auto", "onnx", "openvino")
_BATCH = 8  # pairs of one size per pass of ``Assessor.predict``
Images = npt.NDArray[np.uint8] | Image.Image | Tensor | Path | str | Sequence[Any]


class Assessor:
    """A loaded model that takes frames of any size and kind.

    Attributes:
        config: The model's architecture and tier.
        meta: What the training recorded.
        weights_sha256: Of the checkpoint's weights file; empty for a model that never was in one.
        backend: What computes: ``torch``, ``onnx`` or ``openvino``.
        score_scale: The map onto the level scale that was fitted on validation; None leaves the raw scores.
        folder: Of the checkpoint; None for a model that never was in one.
    """

    def __init__(
        self,
        model: VFIDPA,
        *,
        meta: Mapping[str, Any] | None = None,
        weights_sha256: str = "",
        folder: Path | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.model = model.to(device).eval()
        self.config = model.config
        self.meta = dict(meta or {})
        self.weights_sha256, self.folder = weights_sha256, folder
        self.device = torch.device(device)
        self.backend = "torch"
        self.score_scale = _score_scale(self.meta)
        self._body: Body = self.model.body

    def use_body(self, body: Body, *, backend: str) -> None:
        """Let ``body``, an exported copy of the model's, do the work from now on."""
        self._body, self.backend = body, backend

    @property
    def tier_height(self) -> int | None:
        """Rows the model sees; higher frames are brought down to it. None: frames keep their size."""
        return self.config.rows

    def assess(self, img0: Tensor, img1: Tensor) -> Assessment:
        """Return score and maps of a batch. Identical frames are level 1 everywhere: there is nothing to interpolate.

        Args:
            img0, img1: RGB, float in [0, 1] or uint8, (B, 3, H, W), any size from 64 a side once brought down to
                ``tier_height`` (area averaging, never up).

        Raises:
            ValueError: The shapes do not fit, or a value is not in [0, 1].
        """
        if img0.shape != img1.shape or img0.dim() != 4:
            raise ValueError(f"img0 {tuple(img0.shape)} and img1 {tuple(img1.shape)} must be (B, 3, H, W) and equal")
        for name, images in (("img0", img0), ("img1", img1)):
            _check_values(images, name)
        with torch.inference_mode():
            small0 = shrink_to_height(img0.to(self.device), self.tier_height)
            small1 = shrink_to_height(img1.to(self.device), self.tier_height)
            found = self.model.assess_with(self._body, small0, small1)
            if self.score_scale is not None:
                score, score_map = self.score_scale(found.score), self.score_scale(found.score_map)
                found = found._replace(score=score, score_map=score_map)
            same = (img0 == img1).flatten(1).all(dim=1).to(self.device)
            if not same.any():
                return found
            easiest = float(LEVELS[0])
            return found._replace(
                score=found.score.masked_fill(same, easiest),
                score_map=found.score_map.masked_fill(same[:, None, None], easiest),
            )

    def predict(self, img0: Images, img1: Images) -> npt.NDArray[np.float32]:
        """Return the score of each pair, (B,); (1,) for a single pair. Calling the assessor does the same.

        Args:
            img0, img1: Arrays (H, W, 3) or (B, H, W, 3), uint8 RGB; PIL images; paths of image files; tensors (3, H, W)
                or (B, 3, H, W), uint8 or float in [0, 1]; or a sequence of such, of any sizes.

        Raises:
            ValueError: Something is none of these, or the two frames of a pair differ in size or kind.
            FrameError: A file cannot be read.
        """
        firsts, seconds = as_frames(img0), as_frames(img1)
        if len(firsts) != len(seconds):
            raise ValueError(f"img0 and img1 must hold equally many frames, not {len(firsts)} and {len(seconds)}")
        alike: dict[Any, list[int]] = defaultdict(list)
        for number, (first, second) in enumerate(zip(firsts, seconds, strict=True)):
            if (first.shape, first.dtype) != (second.shape, second.dtype):
                kinds = [f"{tuple(frame.shape[1:])} {frame.dtype}" for frame in (first, second)]
                raise ValueError(f"pair {number}: frames must have one size and kind, not {' and '.join(kinds)}")
            alike[first.shape, first.dtype].append(number)
        scores = np.zeros(len(firsts), dtype=np.float32)
        for numbers in alike.values():
            for start in range(0, len(numbers), _BATCH):
                part = numbers[start : start + _BATCH]
                stacked = (torch.stack([frames[number] for number in part]) for frames in (firsts, seconds))
                scores[part] = self.assess(*stacked).score.float().cpu().numpy()
        return scores

    __call__ = predict

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str = "cpu", revision: str | None = None) -> Self:
        """Return the assessor of a run, a checkpoint, ``light``, or a model of the Hugging Face Hub (``owner/name``).

        Raises:
            CheckpointError: There is none, or it is damaged.
        """
        folder = fetch_checkpoint(name, revision=revision) if isinstance(name, str) and is_hub_id(name) else Path(name)
        model, stored = load_model(folder, device=device)
        return cls(model, meta=stored.meta, weights_sha256=stored.weights_sha256, folder=stored.folder, device=device)

    def push_to_hub(self, repo_id: str, *, private: bool = False, message: str = "Upload VFI-DPA") -> str:
        """Put checkpoint and model card into a repository of the Hugging Face Hub and return its address.

        Raises:
            CheckpointError: The hub cannot be reached or says no.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = self.folder
            if folder is None or not (folder / CARD_NAME).exists():
                folder = Path(temporary)
                save_checkpoint(folder, self.model, meta=self.meta)
                write_bytes(folder / CARD_NAME, to_card(self.config, self.meta).encode())
            return push_checkpoint(folder, repo_id, private=private, message=message)


def _score_scale(meta: Mapping[str, Any]) -> ScoreScale | None:
    stored = meta.get("score_scale")
    if stored is None:
        return None
    try:
        return ScoreScale.from_dict(stored)
    except ValueError as error:
        raise CheckpointError(f"checkpoint.json: {error}") from error


def _check_values(images: Tensor, name: str) -> None:
    """Refuse what would give a score without meaning: 0..255 as floats, -1..1, NaN."""
    if not images.is_floating_point() or images.numel() == 0:
        return
    low, high = (float(value) for value in images.aminmax())
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise ValueError(f"{name} holds values from {low:g} to {high:g}; floats must be in [0, 1], or take uint8")


def as_frames(images: Images) -> list[Tensor]:
    """Return images of any kind ``Assessor.predict`` takes as tensors (3, H, W), uint8 or float in [0, 1]."""
    if isinstance(images, Sequence) and not isinstance(images, str) and images:
        return [frame for image in images for frame in as_frames(image)]
    return list(as_batch(images))


def as_batch(images: Images) -> Tensor:
    """Return images of one size as one tensor (B, 3, H, W), uint8 or float in [0, 1]."""
    if isinstance(images, str | Path):
        return as_batch(read_image(Path(images)))
    if isinstance(images, Tensor):
        batch = images.unsqueeze(0) if images.dim() == 3 else images
        if batch.dim() != 4 or batch.shape[1] != 3 or not (batch.is_floating_point() or batch.dtype == torch.uint8):
            raise ValueError(f"tensor {tuple(images.shape)} {images.dtype} must be (3, H, W) or (B, 3, H, W) RGB")
        return batch
    if isinstance(images, Image.Image):
        return as_batch(np.asarray(images.convert("RGB")))
    if isinstance(images, np.ndarray):
        if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[-1] != 3:
            raise ValueError(f"array {images.shape} {images.dtype} must be uint8 RGB, (H, W, 3) or (B, H, W, 3)")
        tensor = torch.from_numpy(np.array(images))  # a copy: PyTorch warns about read-only memory
        return as_batch(tensor.movedim(-1, -3))
    if not isinstance(images, Sequence) or not images:
        kind = type(images).__name__
        raise ValueError(f"images ({kind}) must be arrays, PIL images, tensors, paths or a sequence of them")
    batches = [as_batch(image) for image in images]
    shapes = {(tuple(batch.shape[1:]), batch.dtype) for batch in batches}
    if len(shapes) > 1:
        raise ValueError(f"images of one call must have one size and kind, found {sorted(map(str, shapes))}")
    return torch.cat(batches)


def load_checkpoint(path: Path | str, *, device: torch.device | str = "cpu", backend: str = "torch") -> Assessor:
    """Return an Assessor for the checkpoint at ``path``.

    Args:
        path: A training run (its best checkpoint is taken), a checkpoint folder, ``light``, the model that comes with
            the toolkit, or, as text, ``owner/name`` of a model on the Hugging Face Hub.
        backend: ``torch``; ``onnx`` or ``openvino`` for a file written by ``vfidpa_model.export``; ``auto`` takes on
            a CPU the fastest one that has been exported, by the times the export measured, and PyTorch elsewhere.

    Raises:
        CheckpointError: As ``load_model``, or the exported file is missing or of other weights.
        UsageError: The backend is unknown, not installed, or cannot run on the device.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend ({backend!r}) must be one of {', '.join(BACKENDS)}")
    from vfidpa_model.inference.backends import choose_backend, load_body

    assessor = Assessor.from_pretrained(path, device=str(device))
    if backend == "torch":
        return assessor
    assert assessor.folder is not None
    checkpoint = read_checkpoint(assessor.folder)
    chosen = choose_backend(checkpoint, assessor.device) if backend == "auto" else backend
    if chosen != "torch":
        if assessor.device.type != "cpu":
            raise UsageError(f"backend {chosen!r} runs on the CPU; use --backend torch on {assessor.device}")
        assessor.use_body(load_body(checkpoint, chosen, fallback=assessor.model.body), backend=chosen)
    return assessor


load_assessor = load_checkpoint  # the name for what comes back; load_checkpoint is the older one


def create_assessor(name: str | Path = "light", *, device: str = "auto") -> Assessor:
    """Return an assessor to be called as a metric is: ``create_assessor("light")(img0, img1)``.

    Args:
        name: As ``load_assessor`` takes it.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Raises:
        CheckpointError, UsageError: There is no such model or device.
    """
    return load_checkpoint(name, device=select_device(device))
