"""Metrics against independent implementations, the official evaluation code's numbers, and the published LPIPS."""

from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from dataset_tools.frames import read_image
from dataset_tools.prediction.metrics import Lpips, mean_motion, psnr, ssim, ssim_matlab
from tests.golden_weights import golden, golden_inputs

OFFICIAL_PAIRS = Path(__file__).parents[3] / ".." / "shared" / "reference" / "lpips"  # may not be distributed


@pytest.fixture(scope="module")
def lpips():
    return Lpips()


def frames(size):
    return [np.round(x[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8) for x in golden_inputs(size)]


def test_equals_the_official_evaluation():
    arrays, _ = golden("operators")
    a, b = (arrays[name][0].permute(1, 2, 0).numpy().copy() for name in ("ssim_a", "ssim_b"))
    assert ssim_matlab(a, b) == pytest.approx(float(arrays["ssim_matlab"]), abs=1e-5)
    assert psnr(a, b) == pytest.approx(float(arrays["psnr"]), abs=1e-4)


@pytest.mark.parametrize("size", ["64x96", "128x128"])
def test_equals_scikit_image(size):
    a, b = frames(size)
    options = {"gaussian_weights": True, "sigma": 1.5, "truncate": 3.5, "use_sample_covariance": False}
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, channel_axis=2, **options), abs=1e-6)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-6)


def test_identical_images(lpips):
    a, _ = frames("128x128")
    assert (psnr(a, a), ssim(a, a), ssim_matlab(a, a), lpips(a, a), mean_motion(a, a)) == (100, 1, 1, 0, 0)
    large = np.zeros((1080, 1920, 3), np.uint8)
    one_off = large.copy()
    one_off[0, 0, 0] = 1  # 116 dB by the formula
    assert psnr(large, one_off) == 100


def test_lpips_keeps_its_value(lpips):
    """The value was computed when the two official pairs, checked here where they are at hand, gave 0.722 and 0.138."""
    a, b = frames("128x128")
    assert lpips(a, b) == pytest.approx(0.130500, abs=1e-4)
    assert lpips(a, b) == pytest.approx(lpips(b, a), abs=1e-6)
    for other, published in (("ex_p0.png", 0.722), ("ex_p1.png", 0.138)) if OFFICIAL_PAIRS.is_dir() else ():
        pair = read_image(OFFICIAL_PAIRS / "ex_ref.png"), read_image(OFFICIAL_PAIRS / other)
        assert lpips(*pair) == pytest.approx(published, abs=5e-4)


@pytest.mark.parametrize("shift", [2, 6])
def test_motion_is_in_pixels(shift):
    rng = np.random.default_rng(5)
    scene = np.kron(rng.integers(0, 256, (40, 60, 3), dtype=np.uint8), np.ones((4, 4, 1), np.uint8))
    assert mean_motion(scene[:, shift:], scene[:, :-shift]) == pytest.approx(shift, rel=0.15)


@pytest.mark.parametrize("size", [(1, 1), (8, 48), (12, 64), (16, 512), (24, 1600), (200, 2)])
def test_motion_of_tiny_and_narrow_frames_is_a_number(size):  # OpenCV fails, gives NaN or crashes on these
    a = np.random.default_rng(5).integers(0, 256, (*size, 3), dtype=np.uint8)
    assert mean_motion(a, a) == 0
    assert np.isfinite(mean_motion(a, np.roll(a, 3, 1)))


def test_rejects_what_cannot_be_compared(lpips):
    a = np.zeros((70, 70, 3), np.uint8)
    for function in (psnr, ssim, ssim_matlab, mean_motion, lpips):
        with pytest.raises(ValueError, match="must have one shape and type"):
            function(a, a[1:])
        with pytest.raises(ValueError, match=r"must be \(height, width, 3\)"):
            function(a[..., 0], a[..., 0])
    with pytest.raises(ValueError, match="at least 11x11"):
        ssim(a[:10], a[:10])
    with pytest.raises(ValueError, match="at least 64 pixels"):
        lpips(a[:63], a[:63])
