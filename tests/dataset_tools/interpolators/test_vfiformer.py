"""VFIformer, full and small, against the official modules' numbers: blocks, masks, frames, the given-flow path."""

import hashlib
import zlib

import numpy as np
import pytest
import torch

from dataset_tools.errors import WeightsError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.vfiformer import VFIformer
from dataset_tools.interpolators.vfiformer_blocks import published_mask, shift_mask
from tests.golden_weights import TOLERANCE, fill_with_golden_weights, golden, golden_inputs

WINDOWS = {"full": 8, "small": 4}
SIZES = {"full": "64x128", "small": "64x96"}


@pytest.fixture(scope="module", params=["full", "small"])
def case(request):
    arrays, meta = golden(f"vfiformer_{request.param}")
    model = VFIformer(small=request.param == "small")
    fill_with_golden_weights(model, multipliers=meta["multipliers"])
    return request.param, model, arrays


def close(actual, expected):
    torch.testing.assert_close(actual, expected, atol=TOLERANCE, rtol=0)


def test_flows_and_frame_equal_the_official_ones(case):
    variant, model, arrays = case
    img0, img1 = golden_inputs(SIZES[variant])
    with torch.inference_mode():
        flows = model.flownet(img0, img1)
        result = model(img0, img1)
    close(flows[0], arrays["flownet_F1"])
    close(flows[2], arrays["flownet_F3"])
    close(result.flow, arrays["flow"])
    close(result.raw, arrays["transformer_out"])
    close(result.frame, arrays["pred"])


@pytest.mark.parametrize("kind", ["self", "cross"])
@pytest.mark.parametrize("shifted", [False, True], ids=["plain", "shifted"])
def test_single_blocks_equal_the_official_ones(case, kind, shifted):
    variant, model, _ = case
    arrays, _ = golden("vfiformer_blocks")
    group = model.transformer.layers0[1 if kind == "cross" else 0]
    width = group.conv.out_channels
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(f"input:{variant}:block".encode())))
    tokens = torch.from_numpy(generator.standard_normal((1, 16 * 24, width)).astype(np.float32))
    with torch.inference_mode():
        result = group.residual_group["blocks"][int(shifted)](tokens.view(1, 16, 24, width))
    expected = arrays[f"{variant}_{kind}_{'shift' if shifted else 'noshift'}"]
    close(result.view(1, 16 * 24, width)[:, ::5, ::7], expected)


@pytest.mark.parametrize("variant", ["full", "small"])
def test_masks_equal_the_official_ones(variant):
    arrays, meta = golden("vfiformer_blocks")
    window = WINDOWS[variant]
    for name, (height, width), half_size in [
        ("mask_x_16x24", (16, 24), False),
        ("mask_y_16x24", (16, 24), True),
        ("mask_y_32x48", (32, 48), True),
    ]:
        mask = shift_mask(height, width, window, half_size=half_size)
        assert torch.equal((mask == -100).float(), arrays[f"{variant}_{name}"])
    for name, half_size in (("attn_mask", False), ("attn_mask_y", True)):
        mask = published_mask(window, half_size=half_size).numpy()
        assert hashlib.sha256(mask.tobytes()).hexdigest() == meta["sha256_float32_masks_192"][f"{variant}_{name}"]


def test_snu_film_path_equals_the_official_one_and_works_for_the_small_model(case):
    variant, model, arrays = case
    img0, img1 = golden_inputs("128x128")
    with torch.inference_mode():
        halves = [torch.nn.functional.interpolate(x, scale_factor=0.5, mode="bilinear") for x in (img0, img1)]
        half_flow = model.estimate_flow(*halves)
    model.half_flow = True
    frame = model.interpolate(img0.flip(1), img1.flip(1)).flip(1)  # the network itself takes blue first
    model.half_flow = False
    assert frame.shape == img0.shape
    if variant == "full":
        close(half_flow, arrays["film_flow_half"])
        close(frame, arrays["film_pred_128x128"])


def test_checkpoints_load_without_their_masks_and_the_fitting_variant_is_named(tmp_path, case):
    variant, model, _ = case
    names = {"full": "vfiformer", "small": "vfiformer-small"}
    state = model.state_dict()
    file = tmp_path / "net_220.pth"
    torch.save({key: value for key, value in state.items() if "mask" not in key}, file)
    loaded = create_interpolator(names[variant], weights=file)
    frames = [frame[..., :50] for frame in golden_inputs("64x96")]
    close(loaded.interpolate(*frames), model.interpolate(*frames))
    other = names["small" if variant == "full" else "full"]
    with pytest.raises(WeightsError, match=f"it is a file for interpolator {names[variant]}$"):
        create_interpolator(other, weights=file)


def test_only_the_middle_frame():
    frame = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"timestep 0\.5 only, not 0\.25"):
        VFIformer(small=True).interpolate(frame, frame, 0.25)
