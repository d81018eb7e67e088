"""VFI-DPA on one page: two frames in, a difficulty score with its maps out.

After "Dynamic Video Frame Interpolator with Integrated Difficulty Pre-Assessment" (ICASSP 2024). What the paper
leaves open is a field of ``ModelConfig``; ``docs/model.md`` has the figure.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_tools.errors import FrameError, WeightsError
from vfidpa_model.networks.ahiq import AHIQ
from vfidpa_model.networks.backbones import DEEP_STRIDE, SHALLOW_STRIDE, create_backbone
from vfidpa_model.networks.config import SMALLEST_SIDE, ModelConfig
from vfidpa_model.networks.deform_net import DeformNet
from vfidpa_model.networks.head import LinearScale, OrdinalScale, PatchHead, weighted_mean

CROP_SIDE = 224  # pixels, AHIQ's
Body = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # padded frames to raw scores and weights


class FrameSizeError(FrameError, ValueError):
    """Frames are smaller than a model can look at."""


class Assessment(NamedTuple):
    """What a model says about a batch of frame pairs.

    Attributes:
        score: (B,), on the level scale: 1 easy to 4 failed; higher is harder.
        score_map: (B, h, w), the score per location, on the same scale; h = ceil(H / 8), w = ceil(W / 8)
            (16 in place of 8 for AHIQ with patches of 16).
        weight_map: (B, h, w), in (0, 1): how much a location counts.
        level_logits: (B, 4), log-probabilities of the levels (ordinal head), else None.
    """

    score: Tensor
    score_map: Tensor
    weight_map: Tensor
    level_logits: Tensor | None


class SiameseBody(nn.Module):
    """Backbone, DeformNet and head: a frame pair, sides multiples of 32, to raw scores and weights per location."""

    stride = SHALLOW_STRIDE
    multiple = DEEP_STRIDE

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.has_temporal = config.temporal_difference
        self.is_absolute = config.difference_form == "absolute"
        self.is_of_fused = config.difference_of == "fused"
        self.backbone = create_backbone(config.backbone)
        self.deform_net = DeformNet(
            self.backbone.shallow_channels,
            self.backbone.deep_channels,
            shallow=config.shallow_width,
            deep=config.deep_width,
            factor=DEEP_STRIDE // SHALLOW_STRIDE,
            upsample=config.upsample,
            form=config.deform_form,
        )
        both, width = config.shallow_width + config.deep_width, config.fusion_width
        self.spatial = nn.Conv2d(both, width, 1)
        if self.has_temporal and not self.is_of_fused:
            self.temporal = nn.Conv2d(both, width, 1)
        self.head = PatchHead(width * (3 if self.has_temporal else 2), config.head_widths, form=config.head_form)

    def forward(self, img0: Tensor, img1: Tensor) -> tuple[Tensor, Tensor]:
        """Return the raw scores and the weights, (B, H/8, W/8) each."""
        B = img0.shape[0]
        shallow, deep = self.deform_net(*self.backbone(torch.cat((img0, img1))))  # both frames in one batch
        both = torch.cat((deep, shallow), dim=1)
        spatial = self.spatial(both)
        parts = [spatial[:B], spatial[B:]]  # not chunk: an exporter would fix the batch size
        if self.has_temporal:
            compared = spatial if self.is_of_fused else both
            change = compared[:B] - compared[B:]
            change = change.abs() if self.is_absolute else change
            parts.insert(0, change if self.is_of_fused else self.temporal(change))
        raw, weights = self.head(torch.cat(parts, dim=1))
        return raw, weights


class VFIDPA(nn.Module):
    """Predicts how hard a frame pair is to interpolate, without interpolating."""

    def __init__(self, config: ModelConfig | None = None) -> None:
        """Build the model with random weights; ``create_model`` loads ImageNet's into the backbone."""
        super().__init__()
        self.config = config or ModelConfig()
        self.body: AHIQ | SiameseBody
        if self.config.backbone == "ahiq":
            self.body = AHIQ(patch=self.config.ahiq_patch, whole_backbones=False)
        else:
            self.body = SiameseBody(self.config)
        self.scale: LinearScale | OrdinalScale = OrdinalScale() if self.config.head == "ordinal" else LinearScale()

    def forward(self, img0: Tensor, img1: Tensor) -> Assessment:
        """Assess a batch of frame pairs.

        Args:
            img0, img1: RGB in [0, 1], float32, (B, 3, H, W); any H and W >= 64: padding happens inside, and padded
                locations are left out of the maps and so of the weighted mean.

        Raises:
            ValueError: The shapes differ, are not (B, 3, H, W), or a side is below 64.
        """
        return self.assess_with(self.body, img0, img1)

    def assess_with(self, body: Body, img0: Tensor, img1: Tensor) -> Assessment:
        """Do what ``forward`` does with another ``body``, such as an exported copy of this model's."""
        if img0.shape != img1.shape or img0.dim() != 4 or img0.shape[1] != 3:
            raise ValueError(f"img0 {tuple(img0.shape)} and img1 {tuple(img1.shape)} must be (B, 3, H, W) and equal")
        H, W = img0.shape[-2:]
        if min(H, W) < SMALLEST_SIDE:
            raise FrameSizeError(f"frame size ({W}x{H}) must be at least {SMALLEST_SIDE} a side")
        if self.config.crops and max(H, W) > CROP_SIDE:
            return self._assess_crops(body, img0, img1)
        multiple, stride = self.body.multiple, self.body.stride
        padding = (0, -W % multiple, 0, -H % multiple)
        if any(padding):
            # Repeating the edge keeps the content's statistics; zeros would be an edge of their own.
            img0, img1 = F.pad(img0, padding, mode="replicate"), F.pad(img1, padding, mode="replicate")
        raw, weights = body(img0, img1)
        rows, columns = -(-H // stride), -(-W // stride)
        return self.conclude(raw[:, :rows, :columns], weights[:, :rows, :columns])

    def _assess_crops(self, body: Body, img0: Tensor, img1: Tensor) -> Assessment:
        """Return the mean score of five crops, corners and centre, and their maps put together.

        Where crops overlap the maps hold means; where none lies, the pair's score, with weight 0.
        """
        (B, _, H, W), stride = img0.shape, self.body.stride
        windows = crop_windows(H, W)
        parts = [self.assess_with(body, img0[..., y, x], img1[..., y, x]) for y, x in windows]
        score = torch.stack([part.score for part in parts]).mean(0)
        score_map, weight_map = img0.new_zeros((2, B, -(-H // stride), -(-W // stride)), dtype=score.dtype)
        count = torch.zeros_like(score_map)
        for part, (y, x) in zip(parts, windows, strict=True):
            h, w = part.score_map.shape[1:]
            top, left = min(y.start // stride, count.shape[1] - h), min(x.start // stride, count.shape[2] - w)
            place = (slice(None), slice(top, top + h), slice(left, left + w))
            score_map[place] += part.score_map
            weight_map[place] += part.weight_map
            count[place] += 1
        seen = count.clamp_min(1)
        score_map = torch.where(count > 0, score_map / seen, score.view(B, 1, 1))
        logits = [part.level_logits for part in parts if part.level_logits is not None]
        log_probabilities = torch.stack(logits).exp().mean(0).log() if logits else None
        return Assessment(score, score_map, weight_map / seen, log_probabilities)

    def conclude(self, raw: Tensor, weights: Tensor) -> Assessment:
        """Return the assessment that follows from raw scores and weights per location, (B, h, w) each."""
        latent = weighted_mean(raw, weights)
        log_probabilities = self.scale.log_probabilities(latent) if isinstance(self.scale, OrdinalScale) else None
        return Assessment(self.scale(latent), self.scale(raw), weights, log_probabilities)


def crop_windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of AHIQ's five crops, corners and centre; a side below 224 is taken whole."""
    down, right = max(0, height - CROP_SIDE), max(0, width - CROP_SIDE)
    corners = [(0, 0), (0, right), (down, 0), (down, right), (down // 2, right // 2)]
    return [
        (slice(top, min(top + CROP_SIDE, height)), slice(left, min(left + CROP_SIDE, width))) for top, left in corners
    ]


def is_finite(model: nn.Module) -> bool:
    """Return whether every weight is a number: those of a training that diverged are not."""
    return all(bool(torch.isfinite(value).all()) for value in model.parameters())


def create_model(config: ModelConfig, *, pretrained: bool | str | Path = True) -> VFIDPA:
    """Return a new model for training; its config records what the backbone started from.

    Args:
        pretrained: True or ``auto`` takes ImageNet's weights where they can be had, ``required`` fails where not, False
            or ``none`` starts from random ones, and a path names a file that a user has.

    Raises:
        WeightsError: The weights are required and cannot be had, or a file does not fit.
    """
    model = VFIDPA(config)
    if pretrained in (False, "none"):
        return model
    if pretrained in (True, "auto", "required"):
        record = model.body.load_pretrained() if isinstance(model.body, AHIQ) else model.body.backbone.load_pretrained()
    elif isinstance(model.body, AHIQ):
        raise WeightsError("AHIQ's two backbones take no single file; put timm's weights into its cache")
    else:
        record = model.body.backbone.load_file(Path(str(pretrained)))
    if pretrained == "required" and record == "none":
        raise WeightsError(f"no ImageNet weights for {config.backbone} could be had; give --pretrained FILE, or none")
    model.config = replace(config, pretrained=record)
    return model
