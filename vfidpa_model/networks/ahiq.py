"""AHIQ, the baseline: a full-reference quality network, here with img0 and img1 for distorted and reference image.

Lao et al., "Attentions Help CNNs See Better", CVPR Workshops 2022 (code MIT). The keys of ``deform_net`` and
``regressor`` are those of the official checkpoints; the two backbones come from timm.
"""

import warnings
from typing import Any, Self

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfidpa_model.networks.deform_net import DeformConv2d
from vfidpa_model.networks.head import weighted_mean

_BLOCKS = 5  # the first five transformer blocks' outputs are the feature
_VIT_WIDTH, _CNN_WIDTH = 768, 256
VIT_CHANNELS, CNN_CHANNELS = _BLOCKS * _VIT_WIDTH, 3 * _CNN_WIDTH


class DeformFusion(nn.Module):
    """Deforms a CNN feature by offsets from the reference's ViT feature and brings it to the ViT's grid."""

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.conv_offset = nn.Conv2d(VIT_CHANNELS, 18, 3, padding=1)
        self.deform = DeformConv2d(CNN_CHANNELS, CNN_CHANNELS)
        last_stride = {8: 1, 16: 2}[patch]
        self.conv1 = nn.Sequential(
            nn.Conv2d(CNN_CHANNELS, 512, 3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv2d(512, CNN_CHANNELS, 3, padding=1, stride=last_stride),
        )

    def offsets(self, cnn: Tensor, reference_vit: Tensor) -> Tensor:
        """Return the offsets (B, 18, H, W) for a CNN feature of that size."""
        return self.conv_offset(F.interpolate(reference_vit, size=cnn.shape[-2:], mode="nearest"))

    def forward(self, cnn: Tensor, reference_vit: Tensor) -> Tensor:
        """Return the fused feature (B, 768, h, w) on the ViT's grid."""
        return self.conv1(self.deform(cnn, self.offsets(cnn, reference_vit)))


class PixelPrediction(nn.Module):
    """Patch-wise prediction from the ViT features and the fused CNN features of both images."""

    def __init__(self) -> None:
        super().__init__()
        self.down_channel = nn.Conv2d(VIT_CHANNELS + CNN_CHANNELS, 256, 1)
        self.feat_smoothing = nn.Sequential(
            nn.Conv2d(3 * 256, 1024, 3, padding=1), nn.ReLU(), nn.Conv2d(1024, 512, 3, padding=1)
        )
        self.conv1 = nn.Sequential(nn.Conv2d(512, 256, 3, padding=1), nn.ReLU())
        self.conv_attent = nn.Sequential(nn.Conv2d(256, 1, 1), nn.Sigmoid())
        self.conv = nn.Sequential(nn.Conv2d(256, 1, 1))

    def maps(self, vit_dis: Tensor, vit_ref: Tensor, cnn_dis: Tensor, cnn_ref: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores and the weights per location, (B, h, w) each."""
        dis = self.down_channel(torch.cat((vit_dis, cnn_dis), dim=1))
        ref = self.down_channel(torch.cat((vit_ref, cnn_ref), dim=1))
        x = self.conv1(self.feat_smoothing(torch.cat((dis - ref, dis, ref), dim=1)))
        return self.conv(x).squeeze(1), self.conv_attent(x).squeeze(1)

    def forward(self, vit_dis: Tensor, vit_ref: Tensor, cnn_dis: Tensor, cnn_ref: Tensor) -> Tensor:
        """Return the weighted mean of the scores, (B, 1)."""
        return weighted_mean(*self.maps(vit_dis, vit_ref, cnn_dis, cnn_ref)).unsqueeze(1)


class AHIQ(nn.Module):
    """The whole baseline: frozen ViT-B and ResNet-50, deformable fusion, patch-wise prediction.

    Attributes:
        stride: Pixels per location of the maps.
        multiple: Both sides of the input must be multiples of it.
    """

    def __init__(self, *, patch: int = 8, whole_backbones: bool = True) -> None:
        """Args:
        patch: 8 or 16, of the ViT.
        whole_backbones: Run the backbones to their end as the official code does; False drops the layers whose
            output is not used, for the same score.
        """
        super().__init__()
        self.stride, self.multiple = patch, 16
        self.whole_backbones = whole_backbones
        # The position embedding is resampled for sizes other than 224.
        self.vit = _timm_model(f"vit_base_patch{patch}_224", dynamic_img_size=True)
        self.resnet50 = _timm_model("resnet50")
        if not whole_backbones:
            self.vit.blocks = self.vit.blocks[:_BLOCKS]
            self.vit.norm, self.resnet50.layer2 = nn.Identity(), nn.Identity()
            self.resnet50.layer3, self.resnet50.layer4 = nn.Identity(), nn.Identity()
        self.vit.requires_grad_(False)
        self.resnet50.requires_grad_(False)
        self.deform_net = DeformFusion(patch)
        self.regressor = PixelPrediction()

    def train(self, mode: bool = True) -> Self:
        """Switch the heads to training; the backbones stay as they are."""
        super().train(mode)
        self.vit.eval()
        self.resnet50.eval()
        return self

    def load_pretrained(self) -> str:
        """Load timm's ImageNet weights into the backbones; returns their record, ``none`` when they cannot be had."""
        vit_name, cnn_name = f"vit_base_patch{self.stride}_224.augreg_in21k_ft_in1k", "resnet50.a1_in1k"
        try:
            vit = _timm_model(vit_name, pretrained=True)
            cnn = _timm_model(cnn_name, pretrained=True)
        except Exception as error:  # the hub client raises its own kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            warnings.warn(
                f"no ImageNet weights for AHIQ's backbones ({reason}): they stay random; timm looks for {vit_name} and "
                f"{cnn_name} in the Hugging Face cache",
                stacklevel=2,
            )
            return "none"
        for own, loaded in ((self.vit, vit), (self.resnet50, cnn)):
            state, names = loaded.state_dict(), own.state_dict().keys()
            own.load_state_dict({name: state[name] for name in names})
        return f"timm {vit_name}, {cnn_name}"

    @torch.no_grad()
    def features(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the ViT's (B, 3840, H/patch, W/patch) and the CNN's (B, 768, H/4, W/4) features of RGB in [0, 1].

        Both backbones get the ViT's normalisation, as in the official code.
        """
        x = (images - 0.5) / 0.5
        # Runs every block there is: all twelve, or with the unused ones dropped, five.
        outputs = self.vit.forward_intermediates(x, indices=list(range(_BLOCKS)), intermediates_only=True)
        return torch.cat(outputs, dim=1), self._cnn_feature(x)

    def _cnn_feature(self, x: Tensor) -> Tensor:
        net = self.resnet50
        x = net.maxpool(net.act1(net.bn1(net.conv1(x))))
        outputs = []
        for block in net.layer1:
            x = block(x)
            outputs.append(x)
        if self.whole_backbones:
            net.layer4(net.layer3(net.layer2(x)))
        return torch.cat(outputs, dim=1)

    def forward(self, img0: Tensor, img1: Tensor) -> tuple[Tensor, Tensor]:
        """Return the raw scores and the weights per location; img0 takes the distorted image's place.

        Args:
            img0, img1: RGB in [0, 1], (B, 3, H, W), H and W multiples of 16.

        Returns:
            (B, H/patch, W/patch) each; AHIQ's own result is their weighted mean, ``predict``.
        """
        vit, cnn = self.features(torch.cat((img0, img1)))
        vit_dis, vit_ref = vit.chunk(2)
        cnn_dis, cnn_ref = cnn.chunk(2)
        fused_dis, fused_ref = self.deform_net(cnn_dis, vit_ref), self.deform_net(cnn_ref, vit_ref)
        return self.regressor.maps(vit_dis, vit_ref, fused_dis, fused_ref)

    def predict(self, img0: Tensor, img1: Tensor) -> Tensor:
        """Return AHIQ's own result for a pair, (B, 1)."""
        return weighted_mean(*self(img0, img1)).unsqueeze(1)


def _timm_model(name: str, **options: Any) -> Any:
    return timm.create_model(name, num_classes=0, **options)
