"""Signals that only serve to compare the cascade's own with; see ``vfidpa_model.routing.signals``."""

import numpy as np
import torch.nn.functional as F

from dataset_tools.interpolators.tiles import TILE
from vfidpa_model.routing.signals import evened, tile_means


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
