"""Backbones: the published weights recognise photographs, and features are the library networks' own."""

import os
import pickle
import re
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import skimage.data
import sklearn.datasets
import timm
import torch
from PIL import Image
from torchvision.models import swin_t

from dataset_tools.assets import fetch_asset
from dataset_tools.errors import WeightsError
from vfidpa_model.networks.backbones import EfficientNetLite0, SwinT, lite0_state, rename_lite0
from vfidpa_model.networks.config import ModelConfig
from vfidpa_model.networks.vfidpa import create_model

PHOTOGRAPHS = [
    (Path(skimage.data.__file__).parent / "coffee.png", {967}),  # espresso
    (Path(skimage.data.__file__).parent / "chelsea.png", {281, 282, 285}),  # tabby, tiger cat, Egyptian cat
    (Path(sklearn.datasets.__file__).parent / "images" / "flower.jpg", {985}),  # daisy
]


@pytest.fixture(scope="module")
def classifier() -> torch.nn.Module:
    """timm's whole network with the pinned weights under mapped names."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    network.load_state_dict(lite0_state(fetch_asset("efficientnet-lite0")))
    return network


def photograph(path: Path) -> torch.Tensor:
    """Return the middle 7/8 of an image at 224 x 224, in [0, 1]."""
    image = Image.open(path).convert("RGB")
    side = int(min(image.size) * 0.875)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255


@pytest.mark.parametrize(("path", "classes"), PHOTOGRAPHS, ids=["coffee", "cat", "daisy"])
def test_mapped_weights_recognise_a_photograph(classifier, path, classes):
    with torch.inference_mode():
        probabilities = classifier(EfficientNetLite0().normalise(photograph(path))).softmax(1)[0]
    assert int(probabilities.argmax()) in classes
    assert (
        probabilities[list(classes)].sum() > 0.3
    )  # 0.33 to 0.95; with ImageNet's mean and deviation 0.10 for the daisy


def test_lite0_features_are_timms(classifier):
    backbone = EfficientNetLite0()
    assert backbone.load_pretrained() == "asset efficientnet-lite0"
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        expected = classifier.forward_intermediates(backbone.normalise(images), intermediates_only=True)
        shallow, deep = backbone.eval()(images)
    torch.testing.assert_close(shallow, expected[2])
    torch.testing.assert_close(deep, expected[4])
    assert shallow.shape == (1, 40, 8, 12)
    assert deep.shape == (1, 320, 2, 3)


def test_training_leaves_the_statistics_of_batch_normalisation_alone():
    backbone = EfficientNetLite0().train()
    before = backbone.network.bn1.running_mean.clone()
    backbone(torch.rand(2, 3, 64, 64))
    assert torch.equal(backbone.network.bn1.running_mean, before)
    assert backbone.training


@pytest.mark.parametrize("name", ["_blocks.16._bn1.weight", "_blocks.0._expand_conv.weight", "features.0.weight"])
def test_foreign_weights_are_refused(name):
    with pytest.raises(WeightsError, match="not part of EfficientNet-Lite0"):
        rename_lite0({name: torch.zeros(1)})


def test_damaged_weights_are_refused(tmp_path):
    (tmp_path / "lite0.pth").write_bytes(b"no weights")
    with pytest.raises(WeightsError, match="not a plain state dict"):
        lite0_state(tmp_path / "lite0.pth")


def test_swin_features_are_those_of_torchvisions_stages_2_and_4(monkeypatch):
    torch.manual_seed(0)
    reference = swin_t().eval()
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *args, **options: reference.state_dict())
    backbone = SwinT()
    assert backbone.load_pretrained() == "torchvision Swin_T_Weights.IMAGENET1K_V1"
    stages: dict[int, torch.Tensor] = {}
    for number in (3, 7):
        reference.features[number].register_forward_hook(lambda _, __, out, at=number: stages.update({at: out}))
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        reference(backbone.normalise(images))
        shallow, deep = backbone.eval()(images)
    torch.testing.assert_close(shallow, stages[3].permute(0, 3, 1, 2))
    torch.testing.assert_close(deep, stages[7].permute(0, 3, 1, 2))
    assert shallow.shape == (1, 192, 8, 12)
    assert deep.shape == (1, 768, 2, 3)


def test_without_imagenet_weights_training_starts_from_scratch_with_a_warning(monkeypatch):
    def refuse(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.warns(UserWarning, match=r"no ImageNet weights for Swin-T.*put the file"):
        assert SwinT().load_pretrained() == "none"


@pytest.mark.parametrize("layout", ["torchvision", "timm", "older timm"])
def test_swin_takes_a_users_file_in_either_layout(tmp_path, layout):
    torch.manual_seed(1)
    if layout == "torchvision":
        state = swin_t().state_dict()
    else:
        network = timm.create_model("swin_tiny_patch4_window7_224").eval()
        state = network.state_dict()
        images = torch.rand(1, 3, 224, 224)
    if layout == "older timm":
        state = {
            re.sub(r"layers\.(\d)\.down", lambda found: f"layers.{int(found[1]) - 1}.down", name): value
            for name, value in state.items()
        }
    torch.save(state, tmp_path / "swin.pth")
    backbone = SwinT().eval()
    assert backbone.load_file(tmp_path / "swin.pth").startswith("file swin.pth, sha256 ")
    if layout == "torchvision":
        assert torch.equal(backbone.features[1][0].mlp[3].weight, state["features.1.0.mlp.3.weight"])
        return
    with torch.inference_mode():
        expected = network.forward_intermediates(backbone.normalise(images), intermediates_only=True)
        shallow, deep = backbone(images)
    torch.testing.assert_close(shallow, expected[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(deep, expected[3], atol=1e-4, rtol=1e-4)


def test_lite0_takes_a_users_file_of_timm(tmp_path, classifier):
    torch.save(classifier.state_dict(), tmp_path / "lite0.pth")
    backbone, known = EfficientNetLite0(), EfficientNetLite0()
    known.load_pretrained()
    backbone.load_file(tmp_path / "lite0.pth")
    for one, other in zip(backbone.state_dict().values(), known.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ({"a": torch.zeros(1)}, "in torchvision's layout .* or in timm's .*; its first name is 'a'"),
        ({"features.0.0.weight": torch.zeros(1)}, "does not fit SwinTransformer|does not fit Sequential"),
        ({"patch_embed.proj.weight": torch.zeros(1), "stem.x": torch.zeros(1)}, "holds 'stem.x', which is not part of"),
    ],
)
def test_a_file_of_something_else_is_refused_in_one_line(tmp_path, state, says):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=says):
        SwinT().load_file(tmp_path / "other.pth")


@pytest.mark.parametrize("content", [b"no weights", pickle.dumps({"run": os.system})])
def test_a_wrong_file_in_the_cache_is_named_and_never_advised_to_be_run(tmp_path, monkeypatch, content):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "swin_t-704ceda3.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="is damaged or not a plain state dict; remove it") as caught:
        SwinT().load_pretrained()
    assert "weights_only" not in str(caught.value)


def test_required_weights_that_cannot_be_had_end_the_training(monkeypatch):
    def refuse(*args, **options):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    with pytest.warns(UserWarning, match="no ImageNet weights"), pytest.raises(WeightsError, match="could be had"):
        create_model(ModelConfig(), pretrained="required")
    assert create_model(ModelConfig(), pretrained="none").config.pretrained == "none"
