"""UPR-Net in its three sizes against the official modules' numbers, and how it chooses levels and padding."""

import pytest
import torch
import torch.nn.functional as F

from dataset_tools.errors import WeightsError
from dataset_tools.interpolators import create_interpolator
from dataset_tools.interpolators.upr_net import UPRNet, levels_for
from tests.golden_weights import TOLERANCE, fill_with_golden_weights, golden, golden_inputs

CASES = [
    ("base", 16, "p3"),
    ("base", 16, "p4_t03"),
    ("base", 16, "p5"),
    ("base", 16, "p5_skip2"),
    ("base", 16, "p4_skip1"),
    ("large", 24, "p3"),
    ("llarge", 32, "p3"),
]


@pytest.mark.parametrize(("variant", "width", "tag"), CASES)
def test_frame_and_flow_equal_the_official_ones(variant, width, tag):
    arrays, meta = golden(f"uprnet_{variant}")
    case = meta["cases"][tag]
    model = UPRNet(width=width, levels=case["pyr_level"], skipped=case["nr_lvl_skipped"])
    fill_with_golden_weights(model, multipliers=meta["multipliers"])
    img0, img1 = golden_inputs(case["size"])
    with torch.inference_mode():
        frame, flow = model(img0, img1, case["time_period"], levels=model.levels, skipped=model.skipped)
    torch.testing.assert_close(frame, arrays[tag], atol=TOLERANCE, rtol=0)
    thinned = flow[:, :, 1::4, 1::4] if tag == "p3" else F.avg_pool2d(flow, 4)
    torch.testing.assert_close(thinned, arrays[f"{tag}_flow"], atol=TOLERANCE, rtol=0)
    if img0.shape[-1] % 2 ** (model.levels + 1) == 0 and img0.shape[-2] % 2 ** (model.levels + 1) == 0:
        torch.testing.assert_close(model.interpolate(img0, img1, case["time_period"]), frame, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("width", "levels"), [(64, 3), (448, 3), (449, 4), (1280, 5), (1920, 6), (4096, 7)])
def test_levels_follow_from_the_width(width, levels):
    assert levels_for(width) == levels


def test_the_coarsest_level_cannot_be_skipped():
    frame = torch.rand(1, 3, 64, 64)
    with pytest.raises(ValueError, match=r"skipped \(3\) must be at least 0 and below levels \(3\)"):
        UPRNet(levels=3, skipped=3).interpolate(frame, frame)


@pytest.mark.parametrize("prefix", ["module.", ""])
def test_checkpoints_load_with_and_without_prefix_and_the_fitting_variant_is_named(tmp_path, prefix):
    file = tmp_path / "upr.pkl"
    model = UPRNet(width=24)
    torch.save({prefix + key: value for key, value in model.state_dict().items()}, file)
    loaded = create_interpolator("upr-net-large", weights=file)
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())
    for name in ("upr-net", "upr-net-llarge"):
        with pytest.raises(WeightsError, match="it is a file for interpolator upr-net-large"):
            create_interpolator(name, weights=file)
