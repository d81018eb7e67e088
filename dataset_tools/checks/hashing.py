"""Numbers that stand for text, so that millions of names and hashes can be sorted and compared (pure)."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

_HEX_DIGITS = 64
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so no power of it is 0 in 64 bits


def first_64_bits(sha256: pa.Array) -> npt.NDArray[np.uint64]:
    """Return the number that the first 16 hex digits of each value make.

    Args:
        sha256: Strings of 64 hex digits, none null.
    """
    if not len(sha256):
        return np.empty(0, np.uint64)
    start = np.frombuffer(sha256.buffers()[1], np.int32)[sha256.offset]
    data = np.frombuffer(sha256.buffers()[2], np.uint8)
    digits = data[start : start + _HEX_DIGITS * len(sha256)].reshape(-1, _HEX_DIGITS)[:, :16]
    values = np.where(digits >= ord("a"), digits - (ord("a") - 10), digits - ord("0")) & 15
    high, low = values[:, ::2].astype(np.uint8), values[:, 1::2].astype(np.uint8)
    return np.ascontiguousarray((high << 4) | low).view(">u8").reshape(-1).astype(np.uint64)


def hash_strings(strings: pa.Array) -> npt.NDArray[np.uint64]:
    """Return a 64-bit number for each string, the same for equal ones; two different ones hardly ever share one.

    Args:
        strings: None null.
    """
    if not len(strings):
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(strings.buffers()[1], np.int32)[strings.offset : strings.offset + len(strings) + 1]
    lengths = np.diff(offsets)
    data = np.frombuffer(strings.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _FACTOR))
    places = np.arange(len(data), dtype=np.int64) - np.repeat(offsets[:-1].astype(np.int64) - offsets[0], lengths)
    terms = (data.astype(np.uint64) + np.uint64(1)) * powers[places]
    sums = np.append(np.uint64(0), np.cumsum(terms))
    ends = offsets - offsets[0]
    return mix(sums[ends[1:]] - sums[ends[:-1]])


def mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return numbers in which every bit depends on every bit of ``values``."""
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
