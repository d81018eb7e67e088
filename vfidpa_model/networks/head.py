"""Patch-wise prediction: a score and a weight per location, and how outputs become levels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dataset_tools.levels import LEVELS, NUM_LEVELS

SMALLEST_WEIGHT_SUM = 1e-6  # all weights may underflow to 0 in half precision


class PatchHead(nn.Module):
    """AHIQ's prediction layers with free widths: three 3x3 convolutions, then a score and a weight per location.

    Form ``relu`` has a ReLU after each of the three, ``ahiq`` none after the second, as there.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], *, form: str = "relu") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for place, (before, after) in enumerate(zip((in_channels, *widths[:-1]), widths, strict=True)):
            layers += [nn.Conv2d(before, after, 3, padding=1)]
            layers += [] if form == "ahiq" and place == 1 else [nn.ReLU()]
        self.smooth = nn.Sequential(*layers)
        self.score = nn.Conv2d(widths[-1], 1, 1)
        self.attention = nn.Conv2d(widths[-1], 1, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the raw scores and the weights in (0, 1), (B, h, w) each."""
        x = self.smooth(x)
        return self.score(x).squeeze(1), torch.sigmoid(self.attention(x)).squeeze(1)


def weighted_mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return sum(values * weights) / sum(weights) over the locations: (B, h, w) each to (B,)."""
    total = weights.sum(dim=(1, 2)).clamp_min(SMALLEST_WEIGHT_SUM)
    return (values * weights).sum(dim=(1, 2)) / total


class LinearScale(nn.Module):
    """Level = middle of the scale + output. Unbounded: every error has a gradient, order goes on beyond the ends."""

    middle = (LEVELS[0] + LEVELS[-1]) / 2

    def forward(self, raw: Tensor) -> Tensor:
        """Return levels for raw outputs of any shape."""
        return raw + self.middle


class OrdinalScale(nn.Module):
    """A cumulative-link model: P(level > k) = sigmoid(output - threshold k), the thresholds learned and increasing.

    The expected level is increasing in the output, so one number per location still orders the pairs, and the
    distribution over levels can be fitted to the distribution of votes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.tensor(-(NUM_LEVELS - 2.0)))
        # Steps of softplus(1.855) = 2: the outer levels of four begin with 12 % each side of an output of 0.
        self.steps = nn.Parameter(torch.full((NUM_LEVELS - 2,), 1.855))

    def thresholds(self) -> Tensor:
        """Return the three thresholds between the four levels, increasing."""
        return torch.cat((self.first.view(1), self.first + F.softplus(self.steps).cumsum(0)))

    def forward(self, raw: Tensor) -> Tensor:
        """Return expected levels, in [1, 4], for raw outputs of any shape."""
        return 1 + torch.sigmoid(raw.unsqueeze(-1) - self.thresholds()).sum(-1)

    def log_probabilities(self, raw: Tensor) -> Tensor:
        """Return the logarithm of each level's probability: (B,) to (B, 4); exp sums to 1."""
        distance = raw.unsqueeze(-1) - self.thresholds()
        above, below = F.logsigmoid(distance), F.logsigmoid(-distance)  # log P(level > k), log P(level <= k)
        # P(k-1 < level <= k) = sigmoid(a) - sigmoid(b) = sigmoid(a) * sigmoid(-b) * (1 - exp(b - a)), with a > b
        gap = distance[..., :-1] - distance[..., 1:]
        inner = above[..., :-1] + below[..., 1:] + torch.log(-torch.expm1(-gap))
        return torch.cat((below[..., :1], inner, above[..., -1:]), dim=-1)
