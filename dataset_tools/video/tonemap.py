"""HDR pictures (PQ and HLG, BT.2020) as 8-bit BT.709: a stated curve, so that truth and prediction are seen in one way.

Light is linear, relative to 203 cd/m2, the white of ITU-R BT.2408. The largest channel is compressed by the extended
Reinhard curve, x (1 + x / w^2) / (1 + x) with w = 1000 / 203, and the others by the same factor, so that hues stay;
then BT.2020 primaries become BT.709's, and the sRGB curve (IEC 61966-2-1) 8-bit levels.
"""

import functools

import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

from dataset_tools.frames import Rgb
from dataset_tools.video.pyav import PyavFrame, orient

WHITE_NITS = 203.0
PEAK_NITS = 1000.0
_BT2020_TO_BT709 = np.array(  # ITU-R BT.2087
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], np.float32)
_STEPS = 1 << 12


def tone_mapped(rgb: npt.NDArray[np.uint16], transfer: str) -> Rgb:
    """Return 16-bit R'G'B' of BT.2020, (height, width, 3), as 8-bit BT.709.

    Args:
        transfer: ``smpte2084`` (PQ) or ``arib-std-b67`` (HLG).
    """
    light = _linear(transfer)[rgb >> 4]
    if transfer == "arib-std-b67":  # ITU-R BT.2100: the display's gamma of 1.2 at 1000 cd/m2, on luminance
        luminance = np.maximum(light @ _BT2020_LUMA, 1e-6)
        light = light * (luminance**0.2)[..., None] * (PEAK_NITS / WHITE_NITS)
    peak = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    white = PEAK_NITS / WHITE_NITS
    mapped = light * ((1 + peak / white**2) / (1 + peak))
    linear = np.clip(mapped @ _BT2020_TO_BT709.T, 0, 1)
    return _srgb()[np.rint(linear * (_STEPS - 1)).astype(np.uint16)]


def tone_mapped_frame(frame: PyavFrame, transfer: str, reformatter: VideoReformatter) -> Rgb:
    """Return a frame as ``tone_mapped`` shows it, turned as a player would."""
    deep = reformatter.reformat(frame.raw, format="rgb48le", threads=1).to_ndarray()
    return orient(tone_mapped(deep.astype(np.uint16), transfer), frame.matrix)


@functools.cache
def _linear(transfer: str) -> npt.NDArray[np.float32]:
    """Return the linear light of 12-bit signals: PQ relative to ``WHITE_NITS``, HLG as light of the scene, 0 to 1."""
    signal = np.linspace(0, 1, _STEPS)
    if transfer == "smpte2084":
        root = signal ** (1 / 78.84375)
        nits = 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
        return (nits / WHITE_NITS).astype(np.float32)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12).astype(np.float32)


@functools.cache
def _srgb() -> npt.NDArray[np.uint8]:
    linear = np.linspace(0, 1, _STEPS)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * curve).astype(np.uint8)
