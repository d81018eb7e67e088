"""Forward splatting, correlation and backward warping against golden numbers and slow, plain references."""

import pytest
import torch

from dataset_tools.interpolators.warp import backward_warp, correlation, resize, splat, warp_small
from tests.golden_weights import golden


def test_splat_equals_the_official_operator():
    arrays, _ = golden("operators")
    moved = splat(arrays["input"], arrays["flow"])
    torch.testing.assert_close(moved, arrays["splat_average"], atol=1e-5, rtol=1e-5)


def test_correlation_and_backward_warp_equal_the_official_operators():
    arrays, _ = golden("operators")
    torch.testing.assert_close(correlation(arrays["input"], arrays["second"]), arrays["corr81"], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(backward_warp(arrays["input"], arrays["flow"]), arrays["backwarp"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("flow_x", "flow_y", "expected"),
    [
        (0.0, 0.0, [[1, 2, 3], [4, 5, 6]]),
        (1.0, 0.0, [[0, 1, 2], [0, 4, 5]]),
        (-2.0, 0.0, [[3, 0, 0], [6, 0, 0]]),
        (0.0, 1.0, [[0, 0, 0], [1, 2, 3]]),
        (0.5, 0.0, [[1, 1.5, 2.5], [4, 4.5, 5.5]]),
        (100.0, -1e9, [[0, 0, 0], [0, 0, 0]]),
    ],
)
def test_average_splat_moves_pixels_and_leaves_exact_zeros(flow_x, flow_y, expected):
    img = torch.tensor([[[[1.0, 2, 3], [4, 5, 6]]]])
    flow = torch.tensor([flow_x, flow_y]).view(1, 2, 1, 1).expand(1, 2, 2, 3)
    assert splat(img, flow)[0, 0].tolist() == expected


@pytest.mark.parametrize(("size", "channels"), [((5, 7), 3), ((9, 16), 1), ((3, 33), 4)])
def test_correlation_equals_81_shifted_products(size, channels):
    a, b = torch.rand(2, channels, *size), torch.rand(2, channels, *size)
    padded = torch.nn.functional.pad(b, (4, 4, 4, 4))
    H, W = size
    products = [(a * padded[:, :, k // 9 : k // 9 + H, k % 9 : k % 9 + W]).mean(1) for k in range(81)]
    torch.testing.assert_close(correlation(a, b), torch.stack(products, 1))


def test_a_batch_of_several_tensors_gives_what_single_calls_give():
    img, flow = torch.rand(3, 5, 12, 10), torch.randn(3, 2, 12, 10) * 4
    single = [splat(img[i : i + 1, c : c + 1], flow[i : i + 1]) for i in range(3) for c in range(5)]
    torch.testing.assert_close(splat(img, flow).reshape(15, 1, 1, 12, 10), torch.stack(single))


def test_operators_are_differentiable():
    generator = torch.Generator().manual_seed(1)
    img, flow = (torch.rand(1, 2, 4, 5, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2))
    assert torch.autograd.gradcheck(splat, (img, flow))
    assert torch.autograd.gradcheck(correlation, (img, img.detach().flip(3).requires_grad_()))


@pytest.mark.parametrize("divisor", [1, 2, 4, 8, 16, 2.5])
def test_a_small_warp_is_the_resized_whole_one(divisor):
    generator = torch.Generator().manual_seed(3)
    img, flow = torch.rand(2, 5, 80, 160, generator=generator), 9 * torch.randn(2, 2, 80, 160, generator=generator)
    expected = resize(backward_warp(img, flow), 1 / divisor)
    torch.testing.assert_close(warp_small(img, flow, divisor), expected, rtol=0, atol=1e-6)
