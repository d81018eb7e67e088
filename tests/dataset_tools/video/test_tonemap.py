"""The curve that HDR video is shown by: known points, no hue turned, nothing grey made coloured."""

import numpy as np
import pytest

from dataset_tools.video.tonemap import PEAK_NITS, WHITE_NITS, tone_mapped


def pq_signal(nits):
    """SMPTE ST 2084, the inverse way."""
    y = (nits / 10000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg_signal(light):
    """ITU-R BT.2100: the OETF."""
    return np.sqrt(3 * light) if light <= 1 / 12 else 0.17883277 * np.log(12 * light - 0.28466892) + 0.55991073


def grey(signal):
    return np.full((2, 2, 3), round(signal * 65535), np.uint16)


def expected_level(nits):
    x, w = nits / WHITE_NITS, PEAK_NITS / WHITE_NITS
    linear = min(x * (1 + x / w**2) / (1 + x), 1.0)
    return 255 * (12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("nits", [0, 0.5, 5, 50, 100, 203, 500, 1000, 4000])
def test_grey_in_pq(nits):
    found = tone_mapped(grey(pq_signal(nits)), "smpte2084")
    assert np.ptp(found) <= 1  # stays grey
    assert found[0, 0, 0] == pytest.approx(expected_level(nits), abs=2)


@pytest.mark.parametrize("light", [0, 0.01, 0.1, 0.265, 0.5, 1.0])
def test_grey_in_hlg(light):
    """Light of the scene; the display makes 1000 cd/m2 times its 1.2th power of it (BT.2100)."""
    found = tone_mapped(grey(hlg_signal(light)), "arib-std-b67")
    assert np.ptp(found) <= 1
    assert found[0, 0, 0] == pytest.approx(expected_level(1000 * light**1.2), abs=2)


def test_it_rises_and_a_colour_keeps_its_order():
    ramp = np.repeat(np.linspace(0, 65535, 200).astype(np.uint16)[None, :, None], 3, axis=2)
    assert (np.diff(tone_mapped(ramp, "smpte2084")[0, :, 1].astype(int)) >= 0).all()
    orange = np.array([[[pq_signal(300), pq_signal(120), pq_signal(20)]]]) * 65535
    red, green, blue = tone_mapped(orange.astype(np.uint16), "smpte2084")[0, 0].astype(int)
    assert red > green > blue
