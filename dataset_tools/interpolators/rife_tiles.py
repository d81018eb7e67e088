"""RIFE's refinement on parts of a frame: rectangles with a margin, context only where they need it, no seams."""

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from dataset_tools.interpolators.refinable import Begun
from dataset_tools.interpolators.rife_refinement import Contextnet, Sides, Unet
from dataset_tools.interpolators.tiles import FADE, MARGIN, Rect, TilePlan

_BATCH_PIXELS = 1_000_000  # of parts of one size that are computed together


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
    frames, residual, weight = begun.merged.clone(), torch.zeros_like(begun.merged), torch.zeros_like(begun.mask_logit)
    parts = _Parts(contextnet, unet, begun)
    for group in _groups(tiles, begun.size):
        for (pair, rect), part in zip(group, parts.residuals(group), strict=True):
            area = rect.grown(FADE, begun.size)
            window = _window(rect, area, begun.size, part)
            place = (slice(area.top, area.bottom), slice(area.left, area.right))
            residual[(pair, slice(None), *place)] += part * window
            weight[(pair, 0, *place)] += window
    for pair, plan in enumerate(tiles):
        for rect in plan.rects:
            area = rect.grown(FADE, begun.size)
            rows, columns = slice(area.top, area.bottom), slice(area.left, area.right)
            inside = (pair, slice(None), rows, columns)
            total = weight[inside]
            refined = begun.merged[inside] + residual[inside] / total.clamp(min=1)  # where some overlap: their mean
            frames[inside] = torch.where(total > 0, refined.clamp(0, 1), frames[inside])
    return frames


def _residual_of_whole(contextnet: Contextnet, unet: Unet, begun: Begun) -> Tensor:
    context0 = contextnet(begun.img0, begun.flow[:, :2])
    context1 = contextnet(begun.img1, begun.flow[:, 2:])
    images = torch.cat((begun.img0, begun.img1, begun.warped, begun.mask_logit), 1)
    residual: Tensor = unet(images, begun.flow, context0, context1)
    return residual


class _Parts:
    """The residual of rectangles; all of a call have one size, margin included."""

    def __init__(self, contextnet: Contextnet, unet: Unet, begun: Begun) -> None:
        self._contextnet, self._unet, self._begun, self._size = contextnet, unet, begun, begun.size
        self._whole: dict[int, tuple[Sequence[Tensor], Sequence[Tensor]]] = {}  # features of both images of a pair

    def residuals(self, group: Sequence[tuple[int, Rect]]) -> Tensor:
        """Return (B, 3, h, w) of the rectangles grown by ``FADE``."""
        begun = self._begun
        areas = [(pair, rect.grown(MARGIN, self._size)) for pair, rect in group]
        flow = _cut(begun.flow, areas)
        images = [_cut(part, areas) for part in (begun.img0, begun.img1, begun.warped, begun.mask_logit)]
        context0, context1 = self._contexts(areas, flow)
        sides = _sides(group[0][1], self._size)
        return self._unet.of_part(torch.cat((*images, flow), 1), context0, context1, sides, margin=MARGIN, keep=FADE)

    def _contexts(self, areas: Sequence[tuple[int, Rect]], flow: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the warped features of both images in all areas, from no more of the images than they need."""
        sources = _sources([area for _, area in areas] * 2, torch.cat((flow[:, :2], flow[:, 2:])), self._size)
        if len(areas) * sources[0].area < self._size[0] * self._size[1]:
            return self._contexts_of_sources(areas, flow, sources)
        members = [self._contexts_of_whole(pair, area, flow[i : i + 1]) for i, (pair, area) in enumerate(areas)]
        first, second = ([torch.cat(level) for level in zip(*side, strict=True)] for side in zip(*members, strict=True))
        return first, second

    def _contexts_of_sources(
        self, areas: Sequence[tuple[int, Rect]], flow: Tensor, sources: Sequence[Rect]
    ) -> tuple[list[Tensor], list[Tensor]]:
        count = len(areas)
        pairs = [pair for pair, _ in areas]
        first = _cut(self._begun.img0, list(zip(pairs, sources[:count], strict=True)))
        second = _cut(self._begun.img1, list(zip(pairs, sources[count:], strict=True)))
        features = self._contextnet.convolutions(torch.cat((first, second)))
        targets = [area for _, area in areas] * 2
        corners = flow.new_tensor([(a.left - s.left, a.top - s.top) for a, s in zip(targets, sources, strict=True)])
        found = self._contextnet.of_parts(features, torch.cat((flow[:, :2], flow[:, 2:])), corners)
        return [feature[:count] for feature in found], [feature[count:] for feature in found]

    def _contexts_of_whole(self, pair: int, area: Rect, flow: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        if pair not in self._whole:
            img0, img1 = (image[pair : pair + 1] for image in (self._begun.img0, self._begun.img1))
            self._whole[pair] = self._contextnet.convolutions(img0), self._contextnet.convolutions(img1)
        corner = flow.new_tensor([(area.left, area.top)])
        left, right = flow.chunk(2, 1)
        first, second = self._whole[pair]
        return self._contextnet.of_parts(first, left, corner), self._contextnet.of_parts(second, right, corner)


def _sources(areas: Sequence[Rect], flow: Tensor, size: tuple[int, int]) -> list[Rect]:
    """Return the parts of an image that the flow (B, 2, h, w) of the areas points to; all have the same size."""
    lowest, highest = (of(flow.flatten(2), 2).tolist() for of in (torch.amin, torch.amax))
    parts = []
    for area, (left, top), (right, bottom) in zip(areas, lowest, highest, strict=True):
        rows = _reached(area.top + top, area.bottom + bottom, size[0])
        columns = _reached(area.left + left, area.right + right, size[1])
        parts.append((*rows, *columns))
    height = max(bottom - top for top, bottom, _, _ in parts)
    width = max(right - left for _, _, left, right in parts)
    starts = [(min(top, size[0] - height), min(left, size[1] - width)) for top, _, left, _ in parts]
    return [Rect(top, left, top + height, left + width) for top, left in starts]


def _reached(first: float, last: float, length: int) -> tuple[int, int]:
    """Return an interval inside of the frame that covers what is seen of another one, in steps of ``MARGIN``."""
    start = min(max(0, int(first // MARGIN) * MARGIN), length - MARGIN)
    end = max(min(length, -int(-last // MARGIN) * MARGIN), start + MARGIN)
    return start, end


def _sides(rect: Rect, size: tuple[int, int]) -> Sides:
    """Return on which sides a rectangle has a margin."""
    return Sides(*(rect.top > 0, rect.left > 0, rect.bottom < size[0], rect.right < size[1]))


def _groups(tiles: Sequence[TilePlan], size: tuple[int, int]) -> list[list[tuple[int, Rect]]]:
    """Return (pair, rectangle) in batches of one size, with margins on the same sides."""
    by_shape = defaultdict(list)
    for pair, plan in enumerate(tiles):
        for rect in plan.rects:
            by_shape[rect.bottom - rect.top, rect.right - rect.left, _sides(rect, size)].append((pair, rect))
    groups = []
    for members in by_shape.values():
        at_once = max(1, _BATCH_PIXELS // members[0][1].grown(MARGIN, size).area)
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
        return ((torch.minimum(before, after) + FADE) / (2 * FADE)).clamp(0, 1)

    rows = ramp(rect.top, rect.bottom, area.top, area.bottom, size[0])
    columns = ramp(rect.left, rect.right, area.left, area.right, size[1])
    return (rows[:, None] * columns[None, :]).to(like.dtype)
