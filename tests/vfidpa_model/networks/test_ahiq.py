"""AHIQ: the official heads' keys and numbers, and the whole network."""

import zlib

import numpy as np
import pytest
import torch

from tests.golden_weights import FOLDER, TOLERANCE, fill_with_golden_weights, golden
from vfidpa_model.networks.ahiq import AHIQ, DeformFusion, PixelPrediction
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import VFIDPA


def feature(which: str, tag: str, channels: int) -> torch.Tensor:
    """Return a made-up feature map as the golden file's ``meta`` says."""
    size = int(tag.split("_v")[1].split("_c")[0]) if which.startswith("vit") else int(tag.split("_c")[1])
    shape = (1 if "_v28" in tag else 2, channels, size, size)
    noise = np.random.Generator(np.random.PCG64(zlib.crc32(f"input:{which}:{tag}".encode()))).standard_normal(shape)
    return torch.from_numpy((0.5 * noise).astype(np.float32))


@pytest.fixture(scope="module")
def heads() -> dict[int, tuple[DeformFusion, PixelPrediction]]:
    """Patch size -> the two heads, filled with the golden weights."""
    multipliers = golden("ahiq_heads")[1]["multipliers"]
    regressor = PixelPrediction()
    fill_with_golden_weights(regressor, multipliers=multipliers, prefix="regressor.")
    made = {}
    for patch in (8, 16):
        fusion = DeformFusion(patch)
        if made:
            fusion.load_state_dict(made[8][0].state_dict())
        else:
            fill_with_golden_weights(
                fusion,
                multipliers={key.removeprefix("deform_net."): value for key, value in multipliers.items()},
                prefix="deform_net.",
            )
        made[patch] = (fusion, regressor)
    return made


@pytest.mark.parametrize("tag", ["p8_v7_c14", "p16_v7_c28", "p8_v28_c56"])
def test_heads_equal_the_official_ones(heads, tag):
    arrays, _ = golden("ahiq_heads")
    fusion, regressor = heads[int(tag[1:].split("_")[0])]
    vit_dis, vit_ref = feature("vit_dis", tag, 3840), feature("vit_ref", tag, 3840)
    cnn_dis, cnn_ref = feature("cnn_dis", tag, 768), feature("cnn_ref", tag, 768)
    with torch.inference_mode():
        fused_dis, fused_ref = fusion(cnn_dis, vit_ref), fusion(cnn_ref, vit_ref)
        found = {
            "offset": fusion.offsets(cnn_dis, vit_ref)[:, :, ::4, ::4],
            "fused_dis": fused_dis[:, ::24, ::3, ::3],
            "fused_ref": fused_ref[:, ::24, ::3, ::3],
            "pred": regressor(vit_dis, vit_ref, fused_dis, fused_ref),
        }
    for name, value in found.items():
        assert (value - arrays[f"{tag}_{name}"]).abs().max() <= TOLERANCE, name


@pytest.mark.parametrize("name", ["deform_net", "regressor"])
def test_keys_are_those_of_the_official_checkpoint(heads, name):
    module = heads[8][("deform_net", "regressor").index(name)]
    lines = (FOLDER / "checkpoints" / f"ahiq_{name}.tsv").read_text().splitlines()[1:]
    official = {key: shape for key, shape, _ in (line.split("\t") for line in lines)}
    assert {key: "x".join(map(str, value.shape)) for key, value in module.state_dict().items()} == official


def test_whole_network_runs_and_its_unused_layers_change_nothing(monkeypatch):
    whole = AHIQ(patch=16).eval()
    lean = VFIDPA(ModelConfig(backbone="ahiq", ahiq_patch=16)).eval()
    lean.body.deform_net, lean.body.regressor = whole.deform_net, whole.regressor
    backbones = {"vit": whole.vit, "res": whole.resnet50}
    monkeypatch.setattr("vfidpa_model.networks.ahiq._timm_model", lambda name, pretrained: backbones[name[:3]])
    assert lean.body.load_pretrained() == "timm vit_base_patch16_224.augreg_in21k_ft_in1k, resnet50.a1_in1k"
    img0, img1 = torch.rand(2, 1, 3, 64, 80)
    with torch.inference_mode():
        score, result = whole.predict(img0, img1), lean(img0, img1)
    assert score.shape == (1, 1)
    assert result.score_map.shape == (1, 4, 5)
    torch.testing.assert_close(result.score, score[0] + 2.5, atol=1e-5, rtol=0)
    trained = {name.split(".")[0] for name, value in whole.named_parameters() if value.requires_grad}
    assert trained == {"deform_net", "regressor"}
    assert not whole.train().vit.training

    monkeypatch.setattr(
        "vfidpa_model.networks.ahiq._timm_model", lambda name, pretrained: 1 / 0
    )  # no network, empty cache
    with pytest.warns(UserWarning, match="no ImageNet weights for AHIQ's backbones"):
        assert lean.body.load_pretrained() == "none"
