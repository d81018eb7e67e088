"""RIFE HDv3 against the numbers of the official module, and its rule for large motion decided pair by pair."""

import pytest
import torch

from dataset_tools.assets import fetch_asset
from dataset_tools.common.weights import load_weights
from dataset_tools.errors import WeightsError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.rife import RIFE
from dataset_tools.interpolators.warp import backward_warp
from tests.golden_weights import TOLERANCE, fill_with_golden_weights, golden, golden_inputs

SEEDED, TRAINED = "rife_hdv3_seeded", "rife_hdv3_vsrife200_weights"
DOUBLED = (16, 8, 4, 2)


def network(file, *, multipliers="multipliers", **options):
    if file == TRAINED:
        return RIFE.from_weights(fetch_asset("rife-3.9"), **options)
    model = RIFE(**options)
    fill_with_golden_weights(model, multipliers=golden(file)[1][multipliers])
    return model


def test_backward_warp():
    arrays, _ = golden("operators")
    torch.testing.assert_close(backward_warp(arrays["input"], arrays["flow"]), arrays["backwarp"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("file", [SEEDED, TRAINED])
@pytest.mark.parametrize(
    ("case", "options", "call"),
    [
        ("fast", {}, {}),
        ("full", {"refine": True}, {}),
        ("ens", {"ensemble": True}, {}),
        ("full_ens_t025", {"refine": True, "ensemble": True}, {"timestep": 0.25}),
        ("fast_scale05", {}, {"scales": DOUBLED}),
    ],
)
def test_equals_the_official_module(file, case, options, call):
    with torch.inference_mode():
        frame = network(file, **options)(*golden_inputs("64x128"), **call)
    assert (frame - golden(file)[0][case]).abs().max() <= TOLERANCE


@pytest.mark.parametrize("file", [SEEDED, TRAINED])
def test_flow_and_mask(file):
    with torch.inference_mode():
        found = network(file).estimate(*golden_inputs("64x128"))
    assert (found.flow - golden(file)[0]["flow3"]).abs().max() <= TOLERANCE
    assert (found.mask - golden(file)[0]["mask3"]).abs().max() <= TOLERANCE


def test_large_motion_doubles_the_scales():
    model = network(SEEDED, multipliers="dyn_multipliers")
    scales = [8.0, 4.0, 2.0, 1.0]
    with torch.inference_mode():
        frame = model(*golden_inputs("64x128"), scales=scales)
    assert (frame - golden(SEEDED)[0]["dyn_fast"]).abs().max() <= TOLERANCE
    assert scales == [8.0, 4.0, 2.0, 1.0]  # the original changes the caller's list


@pytest.mark.parametrize("ensemble", [False, True])
def test_large_motion_is_decided_pair_by_pair(ensemble):
    model = RIFE(ensemble=ensemble)
    fill_with_golden_weights(model, multipliers={"block1.lastconv.weight": 26.0})  # 69 pixels, and 29 for a flat pair
    calls = []
    model.block0.register_forward_hook(lambda _, arguments, __: calls.append((len(arguments[0][0]), arguments[2])))
    far = golden_inputs("64x128")
    near = (torch.zeros_like(far[0]), torch.zeros_like(far[1]))
    passes = [(2, 8.0)] * (2 if ensemble else 1)
    with torch.inference_mode():
        both = model(torch.cat((near[0], far[0])), torch.cat((near[1], far[1])))
        assert calls == [*passes, (1, 16.0)]
        singles = torch.cat([model(*near), model(*far)])
    torch.testing.assert_close(both, singles, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("size", [(65, 97), (64, 128), (33, 40)])
def test_any_size_and_batches(size):
    model = create_interpolator("rife")
    img0, img1 = (torch.nn.functional.interpolate(x, size, mode="bilinear") for x in golden_inputs("64x128"))
    flipped = img0.flip(3), img1.flip(3)
    frame = model.interpolate(torch.cat((img0, flipped[0])), torch.cat((img1, flipped[1])))
    assert frame.shape == (2, 3, *size)
    assert 0 <= frame.min() <= frame.max() <= 1
    singles = torch.cat([model.interpolate(img0, img1), model.interpolate(*flipped)])
    torch.testing.assert_close(frame, singles, rtol=0, atol=1e-5)


@pytest.mark.parametrize("refine", [False, True])
def test_mixed_precision_keeps_flow_and_frames_whole(refine):
    model, (img0, img1) = network(TRAINED, refine=refine), golden_inputs("64x128")
    with torch.inference_mode():
        frame = model(img0, img1)
        with torch.autocast("cpu", torch.bfloat16):  # stands in for CUDA's half precision, and is coarser
            found, mixed = model.estimate(img0, img1), model(img0, img1)
    assert (found.flow.dtype, mixed.dtype) == (torch.float32, torch.float32)
    assert (frame - mixed).abs().mean() < 0.002


def test_registry_names_and_options():
    model = create_interpolator("rife-full", scale=0.5)
    assert (model.name, model.refine, model.ensemble, model.scale) == ("rife-3.9-refined-ensemble", True, True, 0.5)
    assert model.weights_sha256 == "b234ad8d0acfcb6d9eaf2791eb7ddebdaab58bd862b229c703f8073e56d99c29"
    assert not model.training
    assert model.interpolate(*golden_inputs("64x96")).shape == (1, 3, 64, 96)  # padded to 128 at scale 0.5


def test_arguments():
    model = RIFE()
    frame = torch.zeros(1, 3, 64, 64)
    for arguments, says in [
        ((frame[0], frame[0]), r"must be \(B, 3, H, W\)"),
        ((frame, frame[..., 1:]), "must be that of img0"),
        ((frame, frame, 1.0), r"timestep \(1.0\) must be in \(0, 1\)"),
    ]:
        with pytest.raises(ValueError, match=says):
            model.interpolate(*arguments)
    with pytest.raises(ValueError, match=r"scale \(0\) must be in"):
        RIFE(scale=0)


def test_weights_with_and_without_prefix_and_of_another_model(tmp_path):
    state, _ = load_weights(fetch_asset("rife-3.9"))
    torch.save(state, tmp_path / "flownet.pkl")
    assert torch.equal(
        RIFE.from_weights(tmp_path / "flownet.pkl").block0.lastconv.weight, state["block0.lastconv.weight"]
    )
    torch.save({"block0.conv0.0.0.weight": torch.zeros(120, 6, 3, 3)}, tmp_path / "paper.pkl")
    with pytest.raises(WeightsError, match=r"paper.pkl does not fit RIFE: .* for interpolator rife-eccv"):
        RIFE.from_weights(tmp_path / "paper.pkl")
