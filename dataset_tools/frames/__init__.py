"""Lossless image files, hash and fingerprint of their pixels, and the sizes of the tiers."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from dataset_tools.common.files import write_bytes
from dataset_tools.common.remote import File, parse_file
from dataset_tools.errors import FrameError
from dataset_tools.frames.png import encode_png

if TYPE_CHECKING:  # decoding workers start in a fraction of the time without torch
    import torch

Rgb = npt.NDArray[np.uint8]  # (height, width, 3), red first

RESOLUTION_HEIGHTS = {"256p": 256, "720p": 720, "1080p": 1080}
FINGERPRINT_GRID = 4  # cells each way
FINGERPRINT_BYTES = FINGERPRINT_GRID**2 * 3 * 2
ROUNDED_ASPECT = 0.015  # writers that scale to even sizes say 1975:1986 or 640:639 and mean square pixels
MAX_PIXELS = 8192 * 8192  # a PNG of a few kB can ask for gigabytes; larger frames than 8K are not video


def pixels_sha256(rgb: Rgb) -> str:
    """Return the SHA-256 of 8-bit RGB pixels, row by row: the identity of a frame, whatever file holds it."""
    return hashlib.sha256(np.ascontiguousarray(rgb, dtype=np.uint8).data).hexdigest()


def fingerprint(rgb: Rgb) -> bytes:
    """Return the mean of each cell of a 4x4 grid, which tells by how much pixels differ when their hash does.

    Cell (i, j) of H x W pixels holds rows ``i*H//4`` to ``(i+1)*H//4`` and columns alike, end excluded but never empty.
    Its mean is ``floor(256 * sum / count + 1/2)``, in whole numbers throughout: the bits are the same everywhere.

    Returns:
        96 bytes: 16-bit little-endian numbers by row, column and channel, in units of 1/256 level of 255.
    """
    rows, columns = (_cells(length) for length in rgb.shape[:2])
    means = np.empty((FINGERPRINT_GRID, FINGERPRINT_GRID, 3), "<u2")
    for i, (top, bottom) in enumerate(rows):
        for j, (left, right) in enumerate(columns):
            count = (bottom - top) * (right - left)
            sums = cv2.sumElems(rgb[top:bottom, left:right])[:3]  # whole numbers, exact in the doubles they come in
            means[i, j] = [(512 * int(total) + count) // (2 * count) for total in sums]
    return means.tobytes()


def _cells(length: int) -> list[tuple[int, int]]:
    starts = [i * length // FINGERPRINT_GRID for i in range(FINGERPRINT_GRID)]
    ends = [(i + 1) * length // FINGERPRINT_GRID for i in range(FINGERPRINT_GRID)]
    return [(start, max(start + 1, end)) for start, end in zip(starts, ends, strict=True)]


def fingerprint_difference(a: bytes, b: bytes) -> float:
    """Return the largest difference between two fingerprints, in levels of 255: 0 to 255.

    Raises:
        FrameError: One of them is not a fingerprint.
    """
    for value in (a, b):
        if len(value) != FINGERPRINT_BYTES:
            raise FrameError(f"a fingerprint of {len(value)} bytes must have {FINGERPRINT_BYTES}")
    first, second = (np.frombuffer(value, "<u2").astype(np.int32) for value in (a, b))
    return float(np.abs(first - second).max()) / 256


def write_image(path: File, rgb: Rgb) -> None:
    """Write ``rgb`` losslessly and atomically to ``path`` (PNG).

    Raises:
        OSError: The place cannot be written to.
    """
    if isinstance(path, Path):
        write_bytes(path, encode_png(rgb))
    else:
        path.write_bytes(encode_png(rgb))


def read_picture(path: File) -> bytes:
    """Return an image file as it is, to be handed on: only if it begins as one, wherever a manifest may point.

    Raises:
        FrameError: It cannot be read, or is no PNG, JPEG or WebP.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FrameError(f"cannot read {path}: no such file") from None
    except OSError as error:
        raise FrameError(f"cannot read {path}: {error.strerror or error}") from error
    if not data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")) and data[8:12] != b"WEBP":
        raise FrameError(f"cannot hand on {path}: it must be a PNG, JPEG or WebP")
    return data


def read_image(path: File | str) -> Rgb:
    """Return the pixels of an image file as 8-bit RGB, shape (height, width, 3), turned as its EXIF tag says.

    Args:
        path: Of a folder or an object store; as text it may be a URL.

    Raises:
        FrameError: The file is missing, damaged, truncated, larger than 8K, or not an 8-bit image.
    """
    path = parse_file(path) if isinstance(path, str) else path
    try:
        with Image.open(path if isinstance(path, Path) else io.BytesIO(path.read_bytes())) as image:
            if _bits_of_png(image) == 16:  # Pillow would drop the lower half of each value without a word
                raise FrameError(f"cannot read {path}: 16 bits per channel must be 8; convert it first")
            if image.width * image.height > MAX_PIXELS:
                raise FrameError(f"cannot read {path}: {image.width}x{image.height} exceeds {MAX_PIXELS} pixels")
            if image.mode not in ("RGB", "RGBA", "L", "P"):
                raise FrameError(f"cannot read {path}: mode {image.mode!r} must be 8-bit RGB or grey")
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    except FileNotFoundError:
        raise FrameError(f"cannot read {path}: no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FrameError(f"cannot read {path}: {error}") from error


def _bits_of_png(image: ImageFile.ImageFile) -> int | None:
    """Return the bits per channel of a PNG, from its header; None for other formats."""
    if image.format != "PNG" or image.fp is None:
        return None
    place = image.fp.tell()
    image.fp.seek(24)  # signature, then the header's length, name, width and height
    bits = image.fp.read(1)
    image.fp.seek(place)
    return bits[0]


def fit_height(width: int, height: int, *, target_height: int) -> tuple[int, int]:
    """Return the (width, height) of a frame brought down to ``target_height``: same aspect ratio, both even.

    A frame whose height is ``target_height`` keeps its size, an odd width included: its pixels are not touched.

    Raises:
        ValueError: ``target_height`` exceeds ``height``: frames are never enlarged.
    """
    if target_height > height:
        raise ValueError(f"target_height ({target_height}) must be at most height ({height}): never enlarged")
    if target_height == height:
        return width, height
    return max(2, round(width * target_height / height / 2) * 2), target_height


def square_size(width: int, height: int, *, pixel_aspect: float | None) -> tuple[int, int]:
    """Return the (width, height) of a frame with square pixels: the side that is too long is made shorter.

    Args:
        pixel_aspect: Width over height of a pixel; ``None`` for square ones.
    """
    if not pixel_aspect or abs(pixel_aspect - 1) <= ROUNDED_ASPECT:
        return width, height
    if pixel_aspect > 1:
        return width, max(1, round(height / pixel_aspect))
    return max(1, round(width * pixel_aspect)), height


def to_tensor(rgb: Rgb) -> "torch.Tensor":
    """Return 8-bit RGB pixels as float32 in [0, 1], shape (1, 3, height, width)."""
    import torch

    return torch.from_numpy(np.array(rgb.transpose(2, 0, 1))).float().div_(255).unsqueeze_(0)


def to_rgb(frame: "torch.Tensor") -> Rgb:
    """Return one frame, (3, H, W) or (1, 3, H, W) in [0, 1], clamped and rounded to 8-bit RGB pixels."""
    if frame.dim() == 4:
        frame = frame.squeeze(0)
    levels = frame.detach().float().clamp(0, 1).mul(255).round().byte()
    return levels.permute(1, 2, 0).contiguous().cpu().numpy()
