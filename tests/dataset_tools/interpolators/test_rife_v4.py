"""RIFE 4.25 against the numbers of the official module, and the files of RIFE that belong to other networks.

The golden file is the official one less four arrays at 128x128 that 64x128 and the frames cover (flow, mask, flow after
the first block, quarter frame): repositories like files below a megabyte.
"""

import pytest
import torch

from dataset_tools.assets import fetch_asset
from dataset_tools.common.weights import load_weights
from dataset_tools.errors import WeightsError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.rife_v4 import SCALES, RIFEv4
from tests.golden_weights import TOLERANCE, golden, golden_inputs

DOUBLED = tuple(2 * scale for scale in SCALES)


@pytest.fixture(scope="module")
def network():
    return create_interpolator("rife-v4")


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=TOLERANCE)
    assert (actual - expected).abs().mean() < TOLERANCE / 10


@pytest.mark.parametrize(
    ("size", "case", "timestep", "scales"),
    [
        ("64x128", "half_frame", 0.5, SCALES),
        ("64x128", "quarter_frame", 0.25, SCALES),
        ("128x128", "half_frame", 0.5, SCALES),
        ("128x128", "scale_half_frame", 0.5, DOUBLED),
    ],
)
def test_frames_equal_the_official_ones(network, size, case, timestep, scales):
    with torch.inference_mode():
        frame = network(*golden_inputs(size), timestep, scales=scales)
    close(frame, golden("rife_4_25_weights")[0][f"{size}_{case}"])


def test_head_flows_and_mask_equal_the_official_ones(network):
    arrays, meta = golden("rife_4_25_weights")
    img0, img1 = golden_inputs("64x128")
    first = []
    hook = network.block0.register_forward_hook(lambda _, __, found: first.append(found[:, :4]))
    with torch.inference_mode():
        flow, mask_logit, _ = network.estimate(img0, img1)
        close(network.encode(img0), arrays["head_64x128"])
    hook.remove()
    close(torch.nn.functional.interpolate(first[0], scale_factor=16, mode="bilinear") * 16, arrays["64x128_half_flow0"])
    close(flow, arrays["64x128_half_flow"])
    close(mask_logit, arrays["64x128_half_mask_logit"])
    assert network.weights_sha256 == meta["sha256_of_file"]


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("size", [(65, 97), (64, 128), (33, 40)])
def test_any_size_scale_and_time_and_batches(size, scale):
    model = create_interpolator("rife-v4", scale=scale)
    img0, img1 = (torch.nn.functional.interpolate(x, size, mode="bilinear") for x in golden_inputs("64x128"))
    flipped = img0.flip(3), img1.flip(3)
    frame = model.interpolate(torch.cat((img0, flipped[0])), torch.cat((img1, flipped[1])), 0.3)
    assert frame.shape == (2, 3, *size)
    assert 0 <= frame.min() <= frame.max() <= 1
    singles = torch.cat([model.interpolate(img0, img1, 0.3), model.interpolate(*flipped, 0.3)])
    torch.testing.assert_close(frame, singles, rtol=0, atol=1e-5)


def test_time_runs_from_the_first_image_to_the_second(network):
    img0, img1 = golden_inputs("128x128")
    distances = []
    for timestep in (0.125, 0.5, 0.875):
        frame = network.interpolate(img0, img1, timestep)
        distances.append(float((frame - img0).abs().mean() - (frame - img1).abs().mean()))
    assert distances[0] < -0.02 < distances[1] < 0.02 < distances[2]


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_users_file_loads(tmp_path, network, prefix):
    state, _ = load_weights(fetch_asset("rife-4.25"))
    torch.save({prefix + key: value for key, value in state.items()}, tmp_path / "flownet.pkl")
    own = create_interpolator("rife-v4", weights=tmp_path / "flownet.pkl")
    assert torch.equal(own.interpolate(*golden_inputs("64x96")), network.interpolate(*golden_inputs("64x96")))


def tensors(**shapes):
    return {key.replace("__", "."): torch.zeros(shape) for key, shape in shapes.items()}


OTHERS = [
    (tensors(block4__lastconv__0__weight=(24, 52, 4, 4)), "of RIFE 4.25 or 4.26 of another width"),
    (tensors(encode__cnn0__weight=(32, 3, 3, 3), block3__lastconv__0__weight=(64, 24, 4, 4)), "about 4.10 to 4.24"),
    (tensors(encode__0__weight=(16, 3, 3, 3), block3__lastconv__0__weight=(64, 24, 4, 4)), "about 4.7 to 4.9"),
    # The first convolution is that of 3.9, for which such files were taken.
    (tensors(block0__conv0__0__0__weight=(96, 7, 3, 3), block3__lastconv__0__weight=(64, 24, 4, 4)), "about 4.6"),
    (tensors(block0__conv0__0__0__weight=(96, 7, 3, 3), block3__lastconv__weight=(64, 5, 4, 4)), "about 4.0 to 4.5"),
    (tensors(block0__conv0__0__0__weight=(120, 6, 3, 3)), "for interpolator rife-eccv or rife-large"),
    (tensors(block0__conv0__0__0__weight=(120, 7, 3, 3)), "for interpolator rife-m"),
]


@pytest.mark.parametrize(("state", "kind"), OTHERS, ids=[kind for _, kind in OTHERS])
@pytest.mark.parametrize("name", ["rife", "rife-v4"])
def test_files_of_other_versions_are_named(tmp_path, name, state, kind):
    torch.save(state, tmp_path / "flownet.pkl")
    with pytest.raises(WeightsError, match=rf"flownet.pkl does not fit .*it is a file .*{kind}") as caught:
        create_interpolator(name, weights=tmp_path / "flownet.pkl")
    assert "\n" not in str(caught.value)


def test_each_of_the_pinned_files_is_named_to_the_other():
    for name, asset, other in (("rife", "rife-4.25", "rife-v4"), ("rife-v4", "rife-3.9", "rife")):
        with pytest.raises(WeightsError, match=f"it is a file for interpolator {other}$"):
            create_interpolator(name, weights=fetch_asset(asset))


def test_arguments():
    with pytest.raises(ValueError, match=r"scale \(0.3\) must be one of 0.25, 0.5, 1.0"):
        RIFEv4(scale=0.3)
