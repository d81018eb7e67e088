"""RIFE's refinement on parts of a frame: rectangles with a margin, context only where they need it, no seams."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from dataset_tools.interpolators.refinable import Begun
from dataset_tools.interpolators.rife_refinement import Contextnet, Unet
from dataset_tools.interpolators.tiles import MARGIN, Rect, TilePlan

_BLEND = 12  # pixels on either side of a border over which the residual fades: with 4, edges of three levels remained
_HALO = 16  # pixels of image around a rectangle that its context comes from: of 45 that count, all but 0.2 levels
_BATCH_PIXELS = 1_000_000  # of rectangles of one size that are computed together

Context = tuple[list[Tensor], list[Tensor]]


def refine(contextnet: Contextnet, unet: Unet, begun: Begun, tiles: Sequence[TilePlan] | None = None) -> Tensor:
    """Return the refined frames of the padded size, (B, 3, H', W'), clamped to [0, 1] where refined.

    Args:
        tiles: One plan per pair, or None for whole frames.

    Raises:
        ValueError: There is not one plan per pair, or one is for another size.
    """
    if tiles is None or all(plan.is_whole for plan in tiles):
        return (begun.merged + _residual_of_whole(contextnet, unet, begun)).clamp(0, 1)
    if len(tiles) != len(begun.merged) or any(plan.size != begun.size for plan in tiles):
        raise ValueError(f"tiles must be {len(begun.merged)} plans for frames of {begun.size}, see Begun.size")
    residual, weight = torch.zeros_like(begun.merged), torch.zeros_like(begun.mask_logit)
    contexts = {pair: _Contexts(contextnet, begun, pair, plan) for pair, plan in enumerate(tiles) if plan.rects}
    for group in _groups(tiles, begun.size):
        areas = [(pair, rect.grown(MARGIN, begun.size)) for pair, rect in group]
        found = [contexts[pair].of(area) for pair, area in areas]
        context0, context1 = (
            [torch.cat(level) for level in zip(*side, strict=True)] for side in zip(*found, strict=True)
        )
        images = torch.cat([_cut(part, areas) for part in (begun.img0, begun.img1, begun.warped, begun.mask_logit)], 1)
        made = unet(images, _cut(begun.flow, areas), context0, context1)
        for (pair, rect), (_, area), part in zip(group, areas, made, strict=True):
            window = _window(rect, area, begun.size, part)
            place = (slice(area.top, area.bottom), slice(area.left, area.right))
            residual[(pair, slice(None), *place)] += part * window
            weight[(pair, 0, *place)] += window
    refined = begun.merged + residual / weight.clamp(min=1)  # rectangles that overlap are averaged
    return torch.where(weight > 0, refined.clamp(0, 1), begun.merged)


def _residual_of_whole(contextnet: Contextnet, unet: Unet, begun: Begun) -> Tensor:
    context0 = contextnet(begun.img0, begun.flow[:, :2])
    context1 = contextnet(begun.img1, begun.flow[:, 2:])
    images = torch.cat((begun.img0, begun.img1, begun.warped, begun.mask_logit), 1)
    residual: Tensor = unet(images, begun.flow, context0, context1)
    return residual


class _Contexts:
    """The context of one pair's rectangles: from all of an image where that is cheaper than from parts of it."""

    def __init__(self, contextnet: Contextnet, begun: Begun, pair: int, plan: TilePlan) -> None:
        self._net, self._size = contextnet, begun.size
        one = slice(pair, pair + 1)
        self._sides = ((begun.img0[one], begun.flow[one, :2]), (begun.img1[one], begun.flow[one, 2:]))
        areas = [rect.grown(MARGIN, begun.size) for rect in plan.rects]
        self._whole: list[list[Tensor] | None] = []
        for image, flow in self._sides:
            needed = sum(_source(area, flow, begun.size).area for area in areas)
            cheaper = needed >= begun.size[0] * begun.size[1]
            self._whole.append(contextnet(image, flow) if cheaper else None)

    def of(self, area: Rect) -> Context:
        """Return the features of both images in ``area``, at four sizes each."""
        first, second = (self._side(number, area) for number in (0, 1))
        return first, second

    def _side(self, number: int, area: Rect) -> list[Tensor]:
        whole, source = self._whole[number], Rect(0, 0, *self._size)
        if whole is None:
            image, flow = self._sides[number]
            source = _source(area, flow, self._size)
            whole = self._net(*(x[..., source.top : source.bottom, source.left : source.right] for x in (image, flow)))
        features = []
        for feature in whole:
            step = (source.bottom - source.top) // feature.shape[-2]
            top, left = (area.top - source.top) // step, (area.left - source.left) // step
            height, width = (area.bottom - area.top) // step, (area.right - area.left) // step
            features.append(feature[..., top : top + height, left : left + width])
        return features


def _source(area: Rect, flow: Tensor, size: tuple[int, int]) -> Rect:
    """Return the part of an image that the context of ``area`` comes from: as far as the flow reaches, and a halo."""
    reach = flow[..., area.top : area.bottom, area.left : area.right].abs().amax().item()
    return area.grown(-(-int(reach + _HALO) // MARGIN) * MARGIN, size)


def _groups(tiles: Sequence[TilePlan], size: tuple[int, int]) -> list[list[tuple[int, Rect]]]:
    """Return (pair, rectangle) in batches of one size with their margins."""
    by_shape = defaultdict(list)
    for pair, plan in enumerate(tiles):
        for rect in plan.rects:
            area = rect.grown(MARGIN, size)
            by_shape[area.bottom - area.top, area.right - area.left].append((pair, rect))
    groups = []
    for (height, width), members in by_shape.items():
        at_once = max(1, _BATCH_PIXELS // (height * width))
        groups += [members[start : start + at_once] for start in range(0, len(members), at_once)]
    return groups


def _cut(images: Tensor, areas: Sequence[tuple[int, Rect]]) -> Tensor:
    return torch.stack([images[pair, :, a.top : a.bottom, a.left : a.right] for pair, a in areas])


def _window(rect: Rect, area: Rect, size: tuple[int, int], like: Tensor) -> Tensor:
    """Return the weight of each pixel of ``area``: 1 in ``rect``, fading to 0 over its border, but not at the frame's.

    Two windows that share a border sum to 1 along it.
    """

    def ramp(first: int, last: int, start: int, end: int, length: int) -> Tensor:
        at = torch.arange(start, end, device=like.device, dtype=torch.float32) + 0.5
        before = torch.full_like(at, torch.inf) if first == 0 else at - first
        after = torch.full_like(at, torch.inf) if last == length else last - at
        return ((torch.minimum(before, after) + _BLEND) / (2 * _BLEND)).clamp(0, 1)

    rows = ramp(rect.top, rect.bottom, area.top, area.bottom, size[0])
    columns = ramp(rect.left, rect.right, area.left, area.right, size[1])
    return (rows[:, None] * columns[None, :]).to(like.dtype)
