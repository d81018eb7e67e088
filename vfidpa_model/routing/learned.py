"""A signal that has learned where refinement makes frames look better: LPIPS gains elsewhere than the error does.

Tiles with the largest error are often lost: refinement makes them smoother, which halves the error and looks no better.
What it mends for the eye is texture that the fast model blurs. A small network sees what the fast one found and says
how much of LPIPS refining each tile would remove.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from dataset_tools.interpolators import Interpolator
from dataset_tools.interpolators.refinable import Begun
from dataset_tools.interpolators.tiles import TILE
from vfidpa_model.routing.signals import DecidedDifference, Scores, Signal

WEIGHTS = Path(__file__).parents[1] / "pretrained" / "gain" / "model.safetensors"
LPIPS_UNIT = 0.01  # the network counts in hundredths of LPIPS, the mean over a tile
_LEARNED_FROM = "rife-3.9"  # with any engine
NETWORK_TILE = 64  # pixels a side that the network gives a number for
_CELL = 4  # pixels a side that features are averaged over
_CHANNELS, _WIDTH = 15, 16
_LEAST = 1e-5  # squared differences below a level count as none
_EVENNESS = 0.25
# What both parts are worth to each other. The first number brings the difference to a mean of 1 over tiles of the clips
# that the network learned from; the second was chosen for error, LPIPS and decibels together (docs/results.md).
_DIFFERENCE_WEIGHT, _LPIPS_WEIGHT = 356.0, 0.2


class LpipsGain(nn.Module):
    """How much of LPIPS refinement removes from each tile, from what the fast model found."""

    def __init__(self) -> None:
        super().__init__()
        widths = [(_CHANNELS, 2), (_WIDTH, 1), (_WIDTH, 2), (_WIDTH, 2), (_WIDTH, 2)]
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(width, _WIDTH, 3, stride, 1), nn.PReLU(_WIDTH))
                for width, stride in widths
            )
        )  # fmt: skip
        self.last = nn.Conv2d(_WIDTH, 1, 1)
        self.skip = nn.Conv2d(_CHANNELS, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return (B, rows, columns) of ``NETWORK_TILE``, in ``LPIPS_UNIT``, for ``features_of`` frames."""
        gains: Tensor = self.last(self.body(features)) + self.skip(F.avg_pool2d(features, NETWORK_TILE // _CELL))
        return gains[:, 0]


class ExpectedGain:
    """Where refinement is expected to remove error and to look better, both counted.

    For ``rife`` and ``rife-refined`` at 256 rows, which the network learned from; see its card in ``pretrained/gain``.
    """

    def __init__(self, lpips_weight: float = _LPIPS_WEIGHT) -> None:
        """Count the expected LPIPS gain ``lpips_weight`` times; 0 leaves the difference alone."""
        self._weight, self._difference = lpips_weight, DecidedDifference(_EVENNESS)
        self.name = f"expected gain, LPIPS {lpips_weight:g}"

    def tiles(self, img0: Tensor, img1: Tensor, begun: Begun) -> Scores:
        """Return the expected gain per tile; see ``Signal.tiles``."""
        differences = self._difference.tiles(img0, img1, begun)
        gains = load_network(begun.warped.device)(features_of(begun)).cpu().double().numpy()
        gains = gains.repeat(NETWORK_TILE // TILE, 1).repeat(NETWORK_TILE // TILE, 2)
        gains = gains[:, : differences.shape[1], : differences.shape[2]]  # padding may be more than a tile
        seen = (differences != 0).astype(float)  # where both views agree to half a level, there is nothing to refine
        scores: Scores = seen * (_DIFFERENCE_WEIGHT * differences + self._weight * gains)
        return scores


def default_signal(fast: Interpolator, *, goes_on: bool) -> Signal:
    """Return what tells where: what has learned from ``rife`` for ``rife``, for others what needs no learning.

    Args:
        goes_on: The accurate model goes on from ``fast``.
    """
    return ExpectedGain() if goes_on and fast.name.startswith(_LEARNED_FROM) else DecidedDifference()


@cache
def load_network(device: torch.device) -> LpipsGain:
    """Return the network with the weights that come with the toolkit."""
    network = LpipsGain()
    network.load_state_dict({name: value.float() for name, value in load_file(WEIGHTS).items()})
    return network.to(device).eval().requires_grad_(False)


def features_of(begun: Begun) -> Tensor:
    """Return what the network sees, (B, 15, H / 4, W / 4) for frames padded to whole tiles.

    A quarter of the pixels is looked at, of what is smooth a sixteenth: reading all would take a twentieth of the fast
    model's time.
    """
    warped, blend = _whole_tiles(begun.warped), _whole_tiles(begun.merged)
    logit, flow = (_whole_tiles(x)[..., 1::_CELL, 1::_CELL] for x in (begun.mask_logit, begun.flow))
    mask = logit.sigmoid()
    sample = warped[..., ::2, ::2]
    difference = sample[:, :3] - sample[:, 3:]
    squared = _cells(difference.square()).mean(1, keepdim=True)
    flow0, flow1 = flow[:, :2], flow[:, 2:]
    length0, length1 = (torch.hypot(x[:, :1], x[:, 1:]) for x in (flow0, flow1))  # norm takes ten times as long
    bend = (flow0[:, :1] * flow1[:, 1:] - flow0[:, 1:] * flow1[:, :1]).abs() / (length0 + length1 + 1)
    frames = _whole_tiles(begun.img0[..., ::2, ::2] - begun.img1[..., ::2, ::2], NETWORK_TILE // 2)
    parts = [
        10 * squared.sqrt(),
        _log(squared),
        _log(_cells(difference).square().mean(1, keepdim=True)),
        _log(_steps(warped, lambda x: x[:, :3] - x[:, 3:])),
        _log(_steps(blend, lambda x: x)),
        _cells(blend[..., ::2, ::2]) - 0.5,
        mask - 0.5,
        4 * mask * (1 - mask),
        torch.log1p(length0),
        torch.log1p(length1),
        torch.log1p(10 * bend),
        _log(_gradient(flow), least=1e-3),
        _log(_cells(frames.square()).mean(1, keepdim=True)),
    ]
    return torch.cat(parts, 1)


def _whole_tiles(x: Tensor, tile: int = NETWORK_TILE) -> Tensor:
    height, width = x.shape[-2:]
    return F.pad(x, (0, -width % tile, 0, -height % tile)).float() if height % tile or width % tile else x.float()


def _cells(sample: Tensor) -> Tensor:
    """Return the mean per cell of every second pixel of every second row."""
    return _means(sample, _CELL // 2, _CELL // 2)


def _means(x: Tensor, rows: int, columns: int) -> Tensor:
    """Return the means over cells of so many rows and columns; pooling takes three times as long on a CPU."""
    if rows > 1:
        x = x.unflatten(-2, (-1, rows)).mean(-2)
    total = x[..., ::columns]
    for start in range(1, columns):
        total = total + x[..., start::columns]
    return total / columns


def _steps(images: Tensor, take: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean squared step in brightness to the next pixel, of a row and of a column per cell."""
    row, column = (take(x).mean(1, keepdim=True) for x in (images[..., 1::_CELL, :], images[..., 1::_CELL]))
    across = F.pad(row[..., 1:] - row[..., :-1], (0, 1)).square()
    down = F.pad(column[..., 1:, :] - column[..., :-1, :], (0, 0, 0, 1)).square()
    return _means(across, 1, _CELL) + _means(down, _CELL, 1)


def _gradient(flow: Tensor) -> Tensor:
    """Return the mean squared step of a flow from cell to cell."""
    across = F.pad((flow[..., :, 1:] - flow[..., :, :-1]).square().mean(1, keepdim=True), (0, 1))
    down = F.pad((flow[..., 1:, :] - flow[..., :-1, :]).square().mean(1, keepdim=True), (0, 0, 0, 1))
    return across + down


def _log(x: Tensor, *, least: float = _LEAST) -> Tensor:
    """Return a logarithm that is 0 at 0."""
    return torch.log1p(x / least) / 3
