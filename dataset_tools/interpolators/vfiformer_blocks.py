"""VFIformer's transformer blocks: attention in shifted windows, plain and across two scales, and their masks.

"Video Frame Interpolation with Transformer" (Lu et al., CVPR 2022), section 3.2; the windows are Swin's.
"""

from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_HEADS = 2
_MLP_RATIO = 2
_SLOPE = 0.2
_BLOCKED = -100.0  # added to the attention between strips that the shift wrapped around
_CHECKPOINT_SIDE = 192  # published checkpoints hold the masks of a 192x192 grid
_WINDOWS_AT_ONCE = 1024  # bounds the memory of the attention at any image size


def windows(x: Tensor, window: int) -> Tensor:
    """Return the windows of a map (B, H, W, C), row by row: (B * windows, window * window, C)."""
    B, H, W, C = x.shape
    x = x.view(B, H // window, window, W // window, window, C)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, C)


def half_size_windows(x: Tensor, window: int) -> Tensor:
    """Return, for each window of a map (B, H, W, C), the window of the HALVED map that is centred on it.

    The halved map (bilinear) is continued by reflection by a quarter window.
    """
    C = x.shape[-1]
    half = F.interpolate(x.permute(0, 3, 1, 2), scale_factor=0.5, mode="bilinear", align_corners=False)
    padded = F.pad(half, (window // 4,) * 4, mode="reflect")
    seen = padded.unfold(2, window, window // 2).unfold(3, window, window // 2)  # (B, C, rows, columns, window, window)
    return seen.permute(0, 2, 3, 4, 5, 1).reshape(-1, window * window, C)


@lru_cache(maxsize=32)
def shift_labels(height: int, width: int, window: int, device: torch.device, *, half_size: bool) -> Tensor:
    """Return the region of each pixel of a shifted map, window by window: (windows, window * window), float.

    A shift by half a window wraps strips around; pixels of different regions do not belong together. With
    ``half_size`` the labels are those of ``half_size_windows``: between regions they are fractions, which equal none.
    """
    with torch.inference_mode(False):  # labels cached in inference mode could not be used in training
        cuts = (slice(0, -window), slice(-window, -(window // 2)), slice(-(window // 2), None))
        labels = torch.zeros(1, height, width, 1)
        for row, rows in enumerate(cuts):
            for column, columns in enumerate(cuts):
                labels[:, rows, columns] = 3 * row + column
        split = half_size_windows if half_size else windows
        return split(labels, window).squeeze(-1).to(device)


def shift_mask(height: int, width: int, window: int, *, half_size: bool) -> Tensor:
    """Return what is added to the attention of a shifted map: 0 or -100, (windows, queries, keys)."""
    cpu = torch.device("cpu")
    queries = shift_labels(height, width, window, cpu, half_size=False)
    keys = shift_labels(height, width, window, cpu, half_size=half_size)
    return _mask(queries, keys)


def _mask(queries: Tensor, keys: Tensor) -> Tensor:
    return torch.where(queries.unsqueeze(2) == keys.unsqueeze(1), 0.0, _BLOCKED)


class WindowAttention(nn.Module):
    """Attention inside windows; with ``cross``, also to the half-size map around each window."""

    relative_position_index: Tensor

    def __init__(self, width: int, window: int, *, cross: bool) -> None:
        super().__init__()
        self.cross = cross
        self.tables = ("x", "y") if cross else ("",)
        for table in self.tables:
            name = f"relative_position_bias_table{'_' if table else ''}{table}"
            self.register_parameter(name, nn.Parameter(torch.zeros((2 * window - 1) ** 2, _HEADS)))
        self.register_buffer("relative_position_index", _position_index(window))
        self.qkv = nn.Linear(width, 3 * width)
        if cross:
            self.kv = nn.Linear(width, 2 * width)
            self.merge1 = nn.Linear(2 * width, width)
            self.merge2 = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, around: Tensor | None, labels: tuple[Tensor, Tensor] | None) -> Tensor:
        """Return the attended windows.

        Args:
            x: (N, window * window, C).
            around: ``half_size_windows`` for the same windows, when ``cross``.
            labels: ``shift_labels`` of these windows, full and half size, when the map is shifted.
        """
        q, k, v = self.qkv(x).unflatten(-1, (3, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        q = q * q.shape[-1] ** -0.5
        mask = None if labels is None else _mask(labels[0], labels[0])
        if not self.cross:
            plain: Tensor = self.proj(self._attend(q, k, v, "relative_position_bias_table", mask))
            return plain
        near = self._attend(q, k, v, "relative_position_bias_table_x", mask)
        k, v = self.kv(around).unflatten(-1, (2, _HEADS, -1)).permute(2, 0, 3, 1, 4)
        mask = None if labels is None else _mask(*labels)
        far = self._attend(q, k, v, "relative_position_bias_table_y", mask)
        merged = self.merge2(F.leaky_relu(self.merge1(torch.cat((near, far), -1)), _SLOPE))
        result: Tensor = self.proj(near + merged)
        return result

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, table: str, mask: Tensor | None) -> Tensor:
        tokens = q.shape[-2]
        bias = self.get_parameter(table)[self.relative_position_index.view(-1)].view(tokens, tokens, _HEADS)
        scores = q @ k.transpose(-2, -1) + bias.permute(2, 0, 1)
        if mask is not None:
            scores = scores + mask.unsqueeze(1).to(scores.dtype)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, _MLP_RATIO * width)
        self.fc2 = nn.Linear(_MLP_RATIO * width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return result


class Block(nn.Module):
    """Window attention and an MLP, each added to its input.

    The state dict holds the masks of a 192x192 grid, as published checkpoints do. They follow from the sizes alone,
    so they are made when they are asked for, and neither kept nor read.
    """

    def __init__(self, width: int, window: int, *, shifted: bool, cross: bool) -> None:
        super().__init__()
        self.window, self.shift, self.cross = window, window // 2 if shifted else 0, cross
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, window, cross=cross)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map (B, H, W, C) after the block; both sizes must divide by the window."""
        x = x + self._attention(self.norm1(x))
        result: Tensor = x + self.mlp(self.norm2(x))
        return result

    def _attention(self, x: Tensor) -> Tensor:
        B, H, W, C = x.shape
        window = self.window
        x = x.roll((-self.shift, -self.shift), (1, 2)) if self.shift else x
        queries = windows(x, window)
        around = half_size_windows(x, window) if self.cross else None
        labels = None
        if self.shift:
            full = shift_labels(H, W, window, x.device, half_size=False).repeat(B, 1)
            half = shift_labels(H, W, window, x.device, half_size=True).repeat(B, 1) if self.cross else full
            labels = (full, half)
        attended = []
        for start in range(0, len(queries), _WINDOWS_AT_ONCE):
            part = slice(start, start + _WINDOWS_AT_ONCE)
            attended.append(
                self.attn(
                    queries[part],
                    None if around is None else around[part],
                    None if labels is None else (labels[0][part], labels[1][part]),
                )
            )
        x = torch.cat(attended).view(B, H // window, W // window, window, window, C)
        x = x.permute(0, 1, 3, 2, 4, 5).reshape(B, H, W, C)
        return x.roll((self.shift, self.shift), (1, 2)) if self.shift else x

    def _published_masks(self) -> dict[str, Tensor]:
        if not self.shift:
            return {}
        names = {"attn_mask_x": False, "attn_mask_y": True} if self.cross else {"attn_mask": False}
        return {name: published_mask(self.window, half_size=half_size) for name, half_size in names.items()}

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination.update({prefix + name: mask for name, mask in self._published_masks().items()})

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("attn_mask", "attn_mask_x", "attn_mask_y"):
            state_dict.pop(prefix + name, None)
        super()._load_from_state_dict(state_dict, prefix, *rest)


@lru_cache(maxsize=4)
def published_mask(window: int, *, half_size: bool) -> Tensor:
    """Return the mask that published checkpoints hold; shared, not to be written to."""
    return shift_mask(_CHECKPOINT_SIDE, _CHECKPOINT_SIDE, window, half_size=half_size)


class Group(nn.Module):
    """Blocks, the middle one shifted, and a convolution; added to the input."""

    def __init__(self, width: int, window: int, *, depth: int, cross: bool) -> None:
        super().__init__()
        blocks = nn.ModuleList(Block(width, window, shifted=index % 2 == 1, cross=cross) for index in range(depth))
        self.residual_group = nn.ModuleDict({"blocks": blocks})
        self.conv = nn.Conv2d(width, width, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the map (B, H, W, C) after the group."""
        y = x
        for block in self.residual_group["blocks"].children():
            y = block(y)
        return self.conv(y.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) + x


def _position_index(window: int) -> Tensor:
    """Return which entry of the bias table belongs to (query, key): (window^2, window^2), int64."""
    y, x = torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")
    rows = y.flatten()[:, None] - y.flatten()[None, :] + window - 1
    columns = x.flatten()[:, None] - x.flatten()[None, :] + window - 1
    return rows * (2 * window - 1) + columns
