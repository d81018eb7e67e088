"""DeformNet: the deformable convolution against torchvision's, and the two ways of upsampling."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import conv2d
from torchvision.ops import deform_conv2d

from vfidpa_model.networks.deform_net import DeformConv2d, DeformNet, deform_conv3x3


@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(2, 9), st.integers(2, 11)),
    reach=st.sampled_from([0.0, 0.3, 2.0, 30.0]),  # of the offsets, in locations; 30 is outside
    seed=st.integers(0, 2**16),
)
@settings(max_examples=40, deadline=None)
def test_sampling_equals_torchvisions_operator(shape, reach, seed):
    generator = torch.Generator().manual_seed(seed)
    B, C, H, W = shape
    x = torch.randn(shape, generator=generator)
    offset = torch.randn(B, 18, H, W, generator=generator) * reach
    weight, bias = torch.randn(4, C, 3, 3, generator=generator), torch.randn(4, generator=generator)
    expected = deform_conv2d(x, offset, weight, bias, padding=1)
    torch.testing.assert_close(deform_conv3x3(x, offset, weight, bias), expected, atol=2e-4, rtol=1e-4)


def test_gradients_equal_torchvisions():
    generator = torch.Generator().manual_seed(0)
    parts = [torch.randn(shape, generator=generator) for shape in ((2, 3, 6, 7), (2, 18, 6, 7), (4, 3, 3, 3), (4,))]
    found = []
    for operator in (deform_conv3x3, lambda *tensors: deform_conv2d(*tensors, padding=1)):
        leaves = [part.clone().requires_grad_() for part in parts]
        operator(*leaves).square().sum().backward()
        found.append([leaf.grad for leaf in leaves])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3, rtol=1e-4)


def test_mixed_precision_keeps_the_locations_apart():
    layer = DeformConv2d(3, 4)
    x, offset = torch.randn(1, 3, 4, 400), torch.full((1, 18, 4, 400), 0.25)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x, offset.bfloat16())
    torch.testing.assert_close(found.float(), layer(x, offset), atol=0.05, rtol=0.05)


def test_native_switch_changes_nothing():
    layer = DeformConv2d(3, 5)
    x, offset = torch.randn(1, 3, 8, 8), torch.randn(1, 18, 8, 8)
    sampled = layer(x, offset)
    layer.native = True
    torch.testing.assert_close(layer(x, offset), sampled, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("upsample", "deep"), [("pixelshuffle", 2), ("pixelshuffle", 6), ("nearest", 6)])
def test_deep_feature_gets_the_shallow_ones_size_and_starts_as_a_plain_convolution(upsample, deep):
    net = DeformNet(12, 32, shallow=10, deep=deep, factor=4, upsample=upsample)
    x = torch.randn(2, 12, 8, 12)
    shallow, raised = net(x, torch.randn(2, 32, 2, 3))
    assert shallow.shape == (2, 10, 8, 12)
    assert raised.shape == (2, deep, 8, 12)
    plain = conv2d(net.norm_shallow(x), net.deform.weight, net.deform.bias, padding=1).relu()
    torch.testing.assert_close(shallow, plain, atol=1e-5, rtol=1e-5)
