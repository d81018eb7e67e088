"""Spatial-wise routing: tiles by the score map, no seams, and the frame of one model when all tiles agree."""

import pytest
import torch

from tests.vfidpa_model import miniatures
from vfidpa_model.networks.vfidpa import Assessment
from vfidpa_model.routing.spatial import SpatialInterpolator, tile_scores


class Shifted:
    """An interpolator that adds a constant, so that its part of a frame can be seen."""

    name, weights_sha256 = "shifted", ""

    def __init__(self, offset):
        self.offset, self.pixels = offset, 0

    def interpolate(self, img0, img1, timestep=0.5):
        self.pixels += img0.shape[0] * img0.shape[2] * img0.shape[3]
        return (img0 + img1) / 2 + self.offset


class Map:
    """An assessor with a given score map."""

    def __init__(self, score_map):
        self.score_map = score_map

    def assess(self, img0, img1):
        weights = torch.ones_like(self.score_map)
        return Assessment(self.score_map.mean((1, 2)), self.score_map, weights, None)


@pytest.fixture(scope="module")
def frames(demo_clips):
    pictures = miniatures.clip_frames(demo_clips / "bikes.mp4", count=3, height=200, width=300)
    stack = torch.stack([torch.from_numpy(rgb).permute(2, 0, 1).float() / 255 for rgb in pictures])
    return stack[:1], stack[2:]


def left_half_is_hard(rows=25, columns=38):
    scores = torch.full((1, rows, columns), 1.0)
    scores[:, :, : columns // 2] = 4.0
    return Map(scores)


def test_hard_tiles_are_accurate_easy_ones_fast_and_the_change_is_gradual(frames):
    fast, accurate = Shifted(0.0), Shifted(1.0)
    spatial = SpatialInterpolator(left_half_is_hard(), fast, accurate, 2.5, tile=96, overlap=32)
    made = spatial.interpolate(*frames) - (frames[0] + frames[1]) / 2
    torch.testing.assert_close(made[..., :64], torch.ones_like(made[..., :64]))
    torch.testing.assert_close(made[..., -64:], torch.zeros_like(made[..., -64:]), atol=1e-6, rtol=0)
    steps = made.diff(dim=-1).abs().max()
    assert steps < 0.06  # 1 over 32 pixels of overlap, no jump
    assert made.diff(dim=-2).abs().max() < 1e-5
    assert 0.3 < spatial.accurate_share < 0.7
    assert accurate.pixels < 1.2 * frames[0].shape[-2] * frames[0].shape[-1]


@pytest.mark.parametrize(("threshold", "offset"), [(9.0, 0.0), (-9.0, 1.0)])
@pytest.mark.parametrize(("tile", "overlap"), [(96, 0), (96, 48), (256, 64), (512, 64)])
def test_one_route_everywhere_is_that_model_without_seams(frames, threshold, offset, tile, overlap):
    fast, accurate = Shifted(0.0), Shifted(1.0)
    spatial = SpatialInterpolator(left_half_is_hard(), fast, accurate, threshold, tile=tile, overlap=overlap)
    torch.testing.assert_close(spatial.interpolate(*frames), (frames[0] + frames[1]) / 2 + offset)
    assert spatial.accurate_share == offset


def test_a_batch_gives_what_single_calls_give(frames):
    both = [torch.cat((image, image.flip(3))) for image in frames]
    maps = torch.cat((left_half_is_hard().score_map, torch.full((1, 25, 38), 1.0)))
    batch = SpatialInterpolator(Map(maps), Shifted(0), Shifted(1), tile=128, overlap=16).interpolate(*both)
    for index in range(2):
        one = slice(index, index + 1)
        alone = SpatialInterpolator(Map(maps[one]), Shifted(0), Shifted(1), tile=128, overlap=16)
        torch.testing.assert_close(batch[one], alone.interpolate(*(images[one] for images in both)))


def test_tile_scores_are_weighted_means_of_the_map_under_each_tile():
    scores = torch.tensor([[[1.0, 3.0], [2.0, 4.0]]])
    weights = torch.tensor([[[1.0, 1.0], [3.0, 1.0]]])
    assessment = Assessment(scores.mean((1, 2)), scores, weights, None)
    found = tile_scores(assessment, [(0, 0), (0, 8), (0, 4)], (16, 8), (16, 16))
    assert found.tolist() == [[1.75, 3.5, pytest.approx(14 / 6)]]


@pytest.mark.parametrize("overlap", [-1, 65])
def test_overlap_has_limits(overlap):
    with pytest.raises(ValueError, match="half of tile"):
        SpatialInterpolator(left_half_is_hard(), Shifted(0), Shifted(1), tile=128, overlap=overlap)
