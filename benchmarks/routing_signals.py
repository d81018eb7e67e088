"""Signals that only serve to compare the cascade's own with; see ``vfidpa_model.routing.signals``."""

import numpy as np
import torch
import torch.nn.functional as F

from dataset_tools.interpolators.tiles import TILE
from vfidpa_model.routing.signals import DecidedDifference, WarpedDifference, evened, tile_means


class FrameDifference:
    """The squared difference of the two frames as they are."""

    name = "frame difference"

    def tiles(self, img0, img1, begun):
        return evened(tile_means((img0 - img1).square()), 0.5)


class FlowTiles:
    """How far the fast model's flow goes."""

    name = "flow magnitude, tiles"

    def tiles(self, img0, img1, begun):
        flow = begun.padding.crop(begun.flow)
        return tile_means(flow[:, :2].norm(dim=1, keepdim=True) + flow[:, 2:].norm(dim=1, keepdim=True))


class RandomTiles:
    """A number drawn for each tile."""

    name = "random tiles"

    def __init__(self, seed=0):
        self._seed = seed

    def tiles(self, img0, img1, begun):
        seen = int(img0.double().sum().item() * 1000) % 2**32  # the same after a break
        rows, columns = (-(-length // TILE) for length in img0.shape[-2:])
        return np.random.default_rng([self._seed, seen]).random((len(img0), rows, columns))


class ScoreMap:
    """What VFI-DPA says about each place, without interpolating."""

    def __init__(self, name, assessor):
        self.name, self._assessor = f"{name}, score map", assessor

    def tiles(self, img0, img1, begun):
        found = self._assessor.assess(img0, img1)
        rows, columns = (-(-length // TILE) for length in img0.shape[-2:])
        scores = F.interpolate(found.score_map[:, None].float().cpu(), (rows, columns), mode="area")[:, 0]
        return scores.double().numpy() - float(scores.min()) + 1e-6 if (scores <= 0).any() else scores.double().numpy()


class OracleTiles:
    """The error that refinement removes from each tile: the best that choosing single tiles could do."""

    name = "oracle, tiles"

    def tell(self, fast, accurate, truth):
        """Take both frames and the true one, each (1, 3, H, W)."""
        self._gain = tile_means((fast - truth).square() - (accurate - truth).square())

    def tiles(self, img0, img1, begun):
        return self._gain


class GradientDifference:
    """How much the gradients of both warped images differ."""

    name = "gradient difference"

    def tiles(self, img0, img1, begun):
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:]).mean(1, keepdim=True)
        across, down = difference.diff(dim=-1).square(), difference.diff(dim=-2).square()
        return tile_means(F.pad(across, (0, 1)) + F.pad(down, (0, 0, 0, 1)))


class FineDifference:
    """The warped difference without what is coarser than some pixels."""

    name = "fine difference"

    def tiles(self, img0, img1, begun):
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:])
        return tile_means((difference - F.avg_pool2d(difference, 9, 1, 4)).square())


class CoarseDifference:
    """The warped difference of blurred images."""

    name = "coarse difference"

    def tiles(self, img0, img1, begun):
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:])
        return tile_means(F.avg_pool2d(difference, 9, 1, 4).square())


class LargestDifference:
    """The largest mean of the warped difference over 16 pixels in a tile."""

    name = "largest difference"

    def tiles(self, img0, img1, begun):
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:]).square()
        height, width = difference.shape[-2:]
        padded = F.pad(difference.mean(1, keepdim=True), (0, -width % TILE, 0, -height % TILE))
        return F.max_pool2d(F.avg_pool2d(padded, 16), TILE // 16)[:, 0].double().cpu().numpy()


class UndecidedDifference:
    """The warped difference where the mask blends both images."""

    name = "difference where both are blended"

    def tiles(self, img0, img1, begun):
        difference = begun.padding.crop(begun.warped[:, :3] - begun.warped[:, 3:]).square()
        mask = begun.padding.crop(begun.mask_logit).sigmoid()
        return tile_means(difference * 4 * mask * (1 - mask))


class CensusDifference:
    """How much the signs of the steps to the eight neighbours differ."""

    name = "census difference"

    def tiles(self, img0, img1, begun):
        warped = begun.padding.crop(begun.warped)
        first, second = (_census(part.mean(1, keepdim=True)) for part in (warped[:, :3], warped[:, 3:]))
        return tile_means((first - second).square())


def _census(grey):
    height, width = grey.shape[-2:]
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    around = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3) if (y, x) != (1, 1)]
    steps = torch.cat(around, 1) - grey
    return steps / (steps.square() + 0.04**2).sqrt()


COMPARED = [
    *(WarpedDifference(evenness) for evenness in (0.5, 0, 1)),
    *(DecidedDifference(evenness) for evenness in (0, 0.25, 0.5)),
    FrameDifference(),
    FlowTiles(),
    GradientDifference(),
    FineDifference(),
    CoarseDifference(),
    LargestDifference(),
    UndecidedDifference(),
    CensusDifference(),
]
