"""How far two frames are apart: PSNR, SSIM, LPIPS, and how much moves between them."""

import math
import warnings
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import torch

from dataset_tools.assets import fetch_asset
from dataset_tools.common.weights import load_numpy_pickle
from dataset_tools.frames import Rgb, to_tensor

Image = npt.NDArray[np.uint8] | npt.NDArray[np.float32]  # (height, width, 3): 8-bit levels, or float in [0, 1]

PSNR_OF_IDENTICAL = 100.0  # dB; the true value is infinite, which no mean survives
MIN_LPIPS_SIDE = 64  # AlexNet's last features would be empty below about 63 pixels
_LEAST_FLOW_SIDE = 32  # with fewer rows OpenCV 5.0's flow fails, gives NaN, or crashes the process
_WINDOW, _SIGMA = 11, 1.5
_BORDER = _WINDOW // 2


def psnr(a: Image, b: Image) -> float:
    """Return the peak signal-to-noise ratio over all pixels and channels, in dB; 100 for identical images.

    Raises:
        ValueError: Shapes or types differ.
    """
    peak = _peak(a, b)
    # uint8 differences do not fit uint8; float64 sums keep every digit
    error = float(np.square(np.subtract(a, b, dtype=np.float32)).mean(dtype=np.float64))
    return PSNR_OF_IDENTICAL if error == 0 else min(PSNR_OF_IDENTICAL, 10 * math.log10(peak**2 / error))


def ssim(a: Image, b: Image) -> float:
    """Return the structural similarity in [-1, 1]: 11x11 Gaussian window, sigma 1.5, per channel, then the mean.

    Only windows that lie inside the image count, as in the original and in scikit-image (``gaussian_weights``,
    ``use_sample_covariance=False``), from which it differs by 1e-7 at a fifth of the time.

    Raises:
        ValueError: Shapes or types differ, or a side is shorter than the window.
    """
    peak = _peak(a, b)
    if min(a.shape[:2]) < _WINDOW:
        raise ValueError(f"image size {a.shape[1]}x{a.shape[0]} must be at least {_WINDOW}x{_WINDOW}")
    inner = slice(_BORDER, -_BORDER)
    return _mean_ssim(a, b, peak, lambda image: _blur(image)[inner, inner])


def ssim_matlab(a: Image, b: Image) -> float:
    """Return the "ssim_matlab" of the RIFE, VFIformer and UPR-Net evaluations, in [-1, 1].

    The image is a volume: the Gaussian window is 11x11x11, its third axis runs over the channels, borders are
    repeated on all axes. Needed for comparison with published numbers; elsewhere ``ssim`` is the better known.

    Raises:
        ValueError: Shapes or types differ.
    """
    taps = cv2.getGaussianKernel(_WINDOW, _SIGMA).ravel()
    over_channels = np.zeros((3, 3), np.float32)
    for to in range(3):
        for offset, tap in enumerate(taps, start=-_BORDER):
            over_channels[to, min(2, max(0, to + offset))] += tap
    return _mean_ssim(a, b, _peak(a, b), lambda image: cv2.transform(_blur(image), over_channels))


def mean_motion(img0: Rgb, img1: Rgb) -> float:
    """Return the mean length of the optical flow from ``img0`` to ``img1`` (OpenCV's DIS, fast preset), in pixels.

    Raises:
        ValueError: Shapes or types differ.
    """
    flow = optical_flow(img0, img1, preset=cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return float(np.sqrt(np.square(flow).sum(axis=2)).mean(dtype=np.float64))


def optical_flow(img0: Rgb, img1: Rgb, *, preset: int = cv2.DISOPTICAL_FLOW_PRESET_MEDIUM) -> npt.NDArray[np.float32]:
    """Return where each pixel of ``img0`` goes in ``img1``: (height, width, 2), pixels, x first; OpenCV's DIS on grey.

    Raises:
        ValueError: Shapes or types differ.
    """
    _peak(img0, img1)
    height, width = img0.shape[:2]
    below, beside = (max(0, _LEAST_FLOW_SIDE - side) for side in (height, width))
    grey0, grey1 = (
        cv2.copyMakeBorder(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 0, below, 0, beside, cv2.BORDER_REPLICATE)
        for image in (img0, img1)
    )
    flow = cv2.DISOpticalFlow.create(preset).calc(grey0, grey1, None)  # type: ignore[call-overload]
    return flow[:height, :width]


class Lpips:
    """LPIPS, version 0.1, AlexNet: the ``lpips`` package with its own linear weights and the pinned features.

    The package would take the features from torchvision's site; the pinned file holds the same numbers and gives
    the published 0.722 and 0.138 on the authors' example pairs.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        """Load the network.

        Raises:
            AssetError: The features are not in the cache and cannot be fetched.
        """
        import lpips

        with warnings.catch_warnings():  # the package still calls torchvision's old constructor
            warnings.simplefilter("ignore")
            self._network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
        layers = load_numpy_pickle(fetch_asset("lpips-alexnet"))["AlexNet_0"]
        convolutions = [part for part in self._network.net.modules() if isinstance(part, torch.nn.Conv2d)]
        for number, convolution in enumerate(convolutions):
            kernel, bias = (torch.from_numpy(layers[f"Conv_{number}"][part]) for part in ("kernel", "bias"))
            with torch.no_grad():
                convolution.weight.copy_(kernel.permute(3, 2, 0, 1))  # stored as height, width, in, out
                convolution.bias.copy_(bias)  # type: ignore[union-attr]
        self._device = torch.device(device)
        # Channels last saves a sixth of the time on a CPU.
        self._network.requires_grad_(False).to(self._device).to(memory_format=torch.channels_last).eval()

    def __call__(self, a: Rgb, b: Rgb) -> float:
        """Return the perceptual distance of two 8-bit images: 0 for identical ones, seldom above 1.

        Raises:
            ValueError: Shapes or types differ, or a side is shorter than 64 pixels.
        """
        first, second = self._tensors(a, b)
        with torch.inference_mode():
            return float(self._network(first, second, normalize=True))

    def layers(self, a: Rgb, b: Rgb) -> list[torch.Tensor]:
        """Return the distance at each place of each of the five layers, (1, 1, h, w); the sum of their means is LPIPS.

        Raises:
            ValueError: As ``__call__``.
        """
        from lpips import normalize_tensor

        network = self._network
        with torch.inference_mode():
            features = [network.net(network.scaling_layer(2 * image - 1)) for image in self._tensors(a, b)]
            return [
                line(torch.square(normalize_tensor(first) - normalize_tensor(second)))
                for first, second, line in zip(*features, network.lins, strict=True)
            ]

    def by_place(self, a: Rgb, b: Rgb, *, cell: int) -> npt.NDArray[np.float32]:
        """Return the distance per cell of ``cell`` pixels, (ceil(height / cell), ceil(width / cell)).

        The mean over a window's cells stands for LPIPS of the window alone; they differ by what lies around it, which
        the deeper layers see. The mean over all cells is ``__call__`` up to how the layers are brought to one size.

        Raises:
            ValueError: As ``__call__``.
        """
        first, second = self._tensors(a, b)
        with torch.inference_mode():
            self._network.spatial = True
            try:
                found = self._network(first, second, normalize=True)
            finally:
                self._network.spatial = False
            cells = torch.nn.functional.avg_pool2d(found, cell, ceil_mode=True, count_include_pad=False)
        return cells[0, 0].float().cpu().numpy()

    def _tensors(self, a: Rgb, b: Rgb) -> tuple[torch.Tensor, torch.Tensor]:
        _peak(a, b)
        if min(a.shape[:2]) < MIN_LPIPS_SIDE:
            raise ValueError(f"image size {a.shape[1]}x{a.shape[0]} must be at least {MIN_LPIPS_SIDE} pixels each way")
        return to_tensor(a).to(self._device), to_tensor(b).to(self._device)


def _peak(a: Image, b: Image) -> float:
    """Return the largest possible value, after checking that two images can be compared."""
    if a.shape != b.shape or a.dtype != b.dtype:
        raise ValueError(f"images {a.shape} {a.dtype} and {b.shape} {b.dtype} must have one shape and type")
    if a.ndim != 3 or a.shape[2] != 3:
        raise ValueError(f"images have shape {a.shape}, must be (height, width, 3)")
    return 255.0 if a.dtype == np.uint8 else 1.0


def _blur(image: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(image, (_WINDOW, _WINDOW), _SIGMA, borderType=cv2.BORDER_REPLICATE)


def _mean_ssim(a: Image, b: Image, peak: float, blur: Callable[[np.ndarray], np.ndarray]) -> float:
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    x, y = a.astype(np.float32), b.astype(np.float32)
    mean_x, mean_y = blur(x), blur(y)
    xx, yy, xy = mean_x * mean_x, mean_y * mean_y, mean_x * mean_y
    variance_x, variance_y, covariance = blur(x * x) - xx, blur(y * y) - yy, blur(x * y) - xy
    similarity = ((2 * xy + c1) * (2 * covariance + c2)) / ((xx + yy + c1) * (variance_x + variance_y + c2))
    return float(similarity.mean(dtype=np.float64))
