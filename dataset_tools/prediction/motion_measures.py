"""Measures made for interpolation: FloLPIPS and PSNR_DIV, which weigh an error by what the motion does where it is.

Both rest on optical flow. Here it is OpenCV's DIS (medium preset, grey levels), where the papers take PWC-Net and
Farneback: values order predictions, and are not the published ones.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from dataset_tools.frames import Rgb
from dataset_tools.prediction.columns import MEASURE_COLUMNS
from dataset_tools.prediction.metrics import PSNR_OF_IDENTICAL, Lpips, optical_flow

Flow = npt.NDArray[np.float32]  # (height, width, 2), pixels, x first

_SINGULAR = 0.01  # of the largest divergence: what the authors' program counts as singular
_LUMA_BT709 = np.array([0.2126, 0.7152, 0.0722])


def measure_motion(pred: Rgb, gt: Rgb, img0: Rgb, img1: Rgb, *, lpips: Lpips) -> dict[str, Any]:
    """Return the values of ``MEASURE_COLUMNS`` for one triplet; all frames are (height, width, 3), uint8.

    Raises:
        ValueError: Shapes differ, or a side is shorter than 64 pixels.
    """
    seen, true = ([optical_flow(frame, img) for img in (img0, img1)] for frame in (pred, gt))
    differences = [a - b for a, b in zip(seen, true, strict=True)]
    values = (flolpips(pred, gt, differences, lpips=lpips), psnr_div(pred, gt, seen[1]))
    return dict(zip(MEASURE_COLUMNS, values, strict=True))


def flolpips(pred: Rgb, gt: Rgb, flow_differences: Sequence[Flow], *, lpips: Lpips) -> float:
    """Return FloLPIPS of a middle frame: LPIPS whose means over each layer weigh places by how wrong the motion is.

    "FloLPIPS: A Bespoke Video Quality Metric for Frame Interpolation" (PCS 2022), in the form that its authors give
    for triplets: the mean over both neighbours. For each, the difference of two flows is resized to a layer
    (bilinear), its length there, divided by the sum, is the weight. Where both flows are equal everywhere nothing
    stands out: all places weigh the same, which is LPIPS.

    Args:
        flow_differences: For each neighbour, the flow from ``pred`` to it minus the flow from ``gt`` to it.

    Returns:
        0 for identical frames, seldom above 1.
    """
    layers = lpips.layers(pred, gt)
    found = [sum(_weighted_mean(layer, difference) for layer in layers) for difference in flow_differences]
    return float(sum(found) / len(found))


def _weighted_mean(layer: torch.Tensor, difference: Flow) -> float:
    """Return the mean of a layer's distances, (1, 1, h, w), weighted by the length of a flow, (H, W, 2)."""
    planes = torch.from_numpy(difference).to(layer).permute(2, 0, 1)[None]
    small = torch.nn.functional.interpolate(planes, layer.shape[-2:], mode="bilinear", align_corners=False)
    weight = small.square().sum(1, keepdim=True).sqrt()
    total = weight.sum()
    return float((layer * weight).sum() / total) if total > 0 else float(layer.mean())


def psnr_div(pred: Rgb, gt: Rgb, flow: Flow) -> float:
    """Return PSNR_DIV: the PSNR of luma where the motion field of the made video is singular, in dB; at most 100.

    "An Efficient Quality Metric for Video Frame Interpolation Based on Motion-Field Divergence" (QoMEX 2025), as its
    authors' program has it: pixels count whose absolute divergence is above a hundredth of the frame's largest. That
    program differentiates along the array's axes the other way round; here divergence is what the word says. Without
    any divergence nothing stands out, and all pixels count.

    Args:
        flow: From ``pred`` to the next frame.

    Raises:
        ValueError: Shapes differ.
    """
    if not pred.shape == gt.shape == (*flow.shape[:2], 3):
        raise ValueError(f"pred {pred.shape}, gt {gt.shape} and flow {flow.shape} must have one size")
    divergence = np.abs(np.gradient(flow[..., 0], axis=1) + np.gradient(flow[..., 1], axis=0))
    is_singular = divergence > _SINGULAR * divergence.max()
    error = np.square((pred.astype(np.float64) - gt) @ _LUMA_BT709)
    mean = float(error[is_singular].mean() if is_singular.any() else error.mean())
    return PSNR_OF_IDENTICAL if mean == 0 else min(PSNR_OF_IDENTICAL, 10 * math.log10(255**2 / mean))
