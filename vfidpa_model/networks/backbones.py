"""Feature extractors: RGB in [0, 1] to a shallow feature (texture, stride 8) and a deep one (semantics, stride 32).

Swin-T: Liu et al., ICCV 2021; network and ImageNet weights of torchvision (BSD-3). EfficientNet-Lite0: Google, 2020;
network of timm (Apache 2.0), weights of the pinned asset ``efficientnet-lite0``.
"""

import pickle
import re
import socket
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Self
from urllib.error import URLError

import timm
import torch
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torchvision.models import Swin_T_Weights, SwinTransformer

from dataset_tools.common.weights import load_into, load_weights
from dataset_tools.errors import WeightsError
from vfidpa_model.networks.swin_weights import swin_features

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_DOWNLOAD_TIMEOUT_SECONDS = 10.0
SHALLOW_STRIDE, DEEP_STRIDE = 8, 32


class Backbone(nn.Module):
    """What the model needs of a feature extractor.

    Attributes:
        shallow_channels, deep_channels: Channels of the two features.
    """

    shallow_channels: int
    deep_channels: int

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    def normalise(self, images: Tensor) -> Tensor:
        """Return RGB in [0, 1] as the network was trained to see it."""
        return (images - self.get_buffer("mean")) / self.get_buffer("std")

    def load_pretrained(self) -> str:
        """Load ImageNet weights and return a record of where they are from; ``none`` when they cannot be had."""
        raise NotImplementedError

    def load_file(self, path: Path) -> str:
        """Load ImageNet weights from a file a user has, and return a record of it.

        Raises:
            WeightsError: It is missing or damaged, or not of this backbone in a layout that is known.
        """
        raise NotImplementedError


class SwinT(Backbone):
    """Swin-T after stage 2 (192 channels) and stage 4 (768 channels)."""

    shallow_channels, deep_channels = 192, 768

    def __init__(self) -> None:
        super().__init__(_IMAGENET_MEAN, _IMAGENET_STD)
        # No stochastic depth: a random layer drop would make one process and two differ, and small sets noisy.
        self.features = SwinTransformer(
            patch_size=[4, 4],
            embed_dim=96,
            depths=[2, 2, 6, 2],
            num_heads=[3, 6, 12, 24],
            window_size=[7, 7],
            stochastic_depth_prob=0.0,
        ).features

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (shallow, deep) of RGB in [0, 1], (B, 3, H, W), H and W multiples of 32.

        Shapes are (B, 192, H/8, W/8) and (B, 768, H/32, W/32).
        """
        x = self.normalise(images)
        shallow = x = self.features[:4](x)  # patches, stage 1, merging, stage 2
        deep = self.features[4:](x)
        return shallow.permute(0, 3, 1, 2), deep.permute(0, 3, 1, 2)

    def load_pretrained(self) -> str:
        """Load torchvision's ImageNet weights from its cache or by download.

        Returns:
            ``torchvision Swin_T_Weights.IMAGENET1K_V1``, or ``none`` after a warning when they cannot be had.
        """
        choice = Swin_T_Weights.IMAGENET1K_V1
        state = _torch_hub_state(choice.url)
        if state is None:
            return "none"
        path = Path(torch.hub.get_dir(), "checkpoints", Path(choice.url).name)
        self._load(state, path)
        return f"torchvision {choice}"

    def load_file(self, path: Path) -> str:
        """Load a file in torchvision's or timm's layout; see ``Backbone.load_file``."""
        state, sha256 = load_weights(path)
        self._load(state, path)
        return f"file {path.name}, sha256 {sha256[:12]}"

    def _load(self, state: Mapping[str, Tensor], path: Path) -> None:
        own = self.features.state_dict()
        fixed = {name: value for name, value in own.items() if name.endswith("relative_position_index")}
        load_into(self.features, {**fixed, **swin_features(state, path=path)}, path=path)


class EfficientNetLite0(Backbone):
    """EfficientNet-Lite0 after its stages of stride 8 (40 channels) and 32 (320 channels).

    The published weights come from TensorFlow, so the network is timm's ``tf_efficientnet_lite0``: the keys and shapes
    of ``efficientnet_lite0``, with TensorFlow's padding and epsilon. With the plain one a daisy is a lampshade.
    Batch normalisation keeps its stored statistics in training: batches are small, and one process and several must
    give the same result.
    """

    shallow_channels, deep_channels = 40, 320

    def __init__(self) -> None:
        super().__init__((127 / 255,) * 3, (128 / 255,) * 3)
        self.network = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(2, 4))
        _fix_padding(self.network)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return (shallow, deep) of RGB in [0, 1], (B, 3, H, W), H and W multiples of 32.

        Shapes are (B, 40, H/8, W/8) and (B, 320, H/32, W/32).
        """
        shallow, deep = self.network(self.normalise(images))
        return shallow, deep

    def train(self, mode: bool = True) -> Self:
        """Switch to training, batch normalisation excepted."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        return self

    def load_pretrained(self) -> str:
        """Load the pinned ImageNet weights and return ``asset efficientnet-lite0``."""
        from dataset_tools.assets import fetch_asset

        path = fetch_asset("efficientnet-lite0")
        self._load(lite0_state(path), path)
        return "asset efficientnet-lite0"

    def load_file(self, path: Path) -> str:
        """Load a file in timm's layout or that of ``efficientnet_pytorch``; see ``Backbone.load_file``."""
        state, sha256 = load_weights(path)
        self._load(state if "conv_stem.weight" in state else rename_lite0(state), path)
        return f"file {path.name}, sha256 {sha256[:12]}"

    def _load(self, state: Mapping[str, Tensor], path: Path) -> None:
        load_into(self.network, state, path=path, ignore_prefixes=("conv_head.", "bn2.", "classifier."))


class _HalvingConv2d(nn.Conv2d):
    """A convolution of stride 2 with TensorFlow's padding for even sizes: one more pixel after than before.

    timm's own computes the padding from the size in every call, which an exporter with free sizes cannot follow.
    """

    def forward(self, x: Tensor) -> Tensor:
        total = self.kernel_size[0] - 2
        before, after = total // 2, total - total // 2
        return super().forward(F.pad(x, (before, after, before, after)))


def _fix_padding(network: nn.Module) -> None:
    for module in list(network.modules()):
        for name, old in module.named_children():
            if isinstance(old, Conv2dSame):
                new = _HalvingConv2d(
                    old.in_channels, old.out_channels, old.kernel_size[0], stride=2, groups=old.groups, bias=False
                )
                new.weight = old.weight
                setattr(module, name, new)


def create_backbone(name: str) -> Backbone:
    """Return the backbone ``swin_t`` or ``efficientnet_lite0`` with random weights."""
    return {"swin_t": SwinT, "efficientnet_lite0": EfficientNetLite0}[name]()


def lite0_state(path: Path) -> dict[str, Tensor]:
    """Return the weights of a file in ``efficientnet_pytorch`` form under timm's names.

    Raises:
        WeightsError: The file is missing, damaged, or not such a state dict.
    """
    return rename_lite0(load_weights(path)[0])


def rename_lite0(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict of ``efficientnet_pytorch`` form under the names of timm's ``efficientnet_lite0``.

    There the blocks are counted through, here they are grouped in stages; and the convolutions of the first block,
    which does not expand, take other numbers.
    """
    stage_of: list[str] = [f"{stage}.{place}" for stage, depth in enumerate(_LITE0_DEPTHS) for place in range(depth)]
    renamed = {}
    for name, value in state.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+?)\.(\w+)", name)
        if block is None:
            head, _, leaf = name.partition(".")
            if head not in _LITE0_OUTER:
                raise WeightsError(f"weights hold {name!r}, which is not part of EfficientNet-Lite0")
            renamed[f"{_LITE0_OUTER[head]}.{leaf}"] = value
            continue
        number, layer, leaf = int(block[1]), block[2], block[3]
        names = _LITE0_FIRST if number == 0 else _LITE0_INNER
        if number >= len(stage_of) or layer not in names:
            raise WeightsError(f"weights hold {name!r}, which is not part of EfficientNet-Lite0")
        renamed[f"blocks.{stage_of[number]}.{names[layer]}.{leaf}"] = value
    return renamed


_LITE0_DEPTHS = (1, 2, 2, 3, 3, 4, 1)
_LITE0_OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_LITE0_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_LITE0_INNER = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _torch_hub_state(url: str) -> dict[str, Tensor] | None:
    """Return the weights at ``url`` from PyTorch's cache or by download; None, with a warning, when neither works.

    Raises:
        WeightsError: The file that lies in the cache is not a whole state dict.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_DOWNLOAD_TIMEOUT_SECONDS)  # without it a firewall that drops packets hangs the training
    try:
        return torch.hub.load_state_dict_from_url(url, map_location="cpu", check_hash=True, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:  # PyTorch's words give bad advice
        raise WeightsError(
            f"weights file {path} is damaged or not a plain state dict; remove it, or train with --pretrained none"
        ) from error
    except (URLError, OSError) as error:
        warnings.warn(
            f"no ImageNet weights for Swin-T ({error}): training starts from random ones. To use them, put the file "
            f"of {url} into {path.parent}, or train with --pretrained FILE",
            stacklevel=2,
        )
        return None
    finally:
        socket.setdefaulttimeout(previous)
