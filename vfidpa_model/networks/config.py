"""What a model is and how it was trained: two frozen dataclasses that travel in every checkpoint.

The paper leaves much open (widths, norms, what is subtracted); each such choice is a field here, with its default's
reason beside it. ``docs/model.md`` lists them.
"""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.levels import NUM_LEVELS

BACKBONES = ("swin_t", "efficientnet_lite0", "ahiq")
TIERS = (*RESOLUTION_HEIGHTS, "all")
SMALLEST_SIDE = 64  # pixels of a frame; Swin's deep feature has 2 x 2 locations there
_LARGEST_WIDTH = 4096  # a checkpoint is untrusted: it may not ask for terabytes

MODEL_CHOICES: dict[str, tuple[Any, ...]] = {
    "backbone": BACKBONES,
    "upsample": ("pixelshuffle", "nearest"),
    "deform_form": ("normed", "ahiq"),
    "difference_form": ("signed", "absolute"),
    "difference_of": ("features", "fused"),
    "head_form": ("relu", "ahiq"),
    "head": ("regression", "ordinal"),
    "tier": TIERS,
    "crops": (0, 5),
    "ahiq_patch": (8, 16),
}
# Fields that older checkpoints and runs carry, with the one value that is still built.
RETIRED_FIELDS = {"difference": "both", "num_levels": NUM_LEVELS, "score_range": "linear"}
# backbone -> (deep_width, shallow_width, fusion_width, head_widths). Swin-T: 768 / 4^2 = 48 is what PixelShuffle gives,
# 192 is stage 2; the head has a fifth of AHIQ's widths, so that it costs less than the backbone. Lite0: in proportion.
_WIDTHS: dict[str, tuple[int, int, int, tuple[int, int, int]]] = {
    "swin_t": (48, 192, 128, (256, 128, 64)),
    "efficientnet_lite0": (20, 40, 48, (64, 64, 32)),
    "ahiq": (3840, 768, 256, (1024, 512, 256)),  # AHIQ's own layers, section 4 of its description; not free
}
WIDTH_NAMES = ("deep_width", "shallow_width", "fusion_width", "head_widths")


@dataclass(frozen=True)
class ModelConfig:
    """The architecture of one VFI-DPA model.

    Attributes:
        backbone: ``swin_t`` (the paper's), ``efficientnet_lite0`` (the light variant), ``ahiq`` (the baseline whole).
        upsample: How the deep feature reaches the shallow one's size: ``pixelshuffle`` (source) or ``nearest``.
        temporal_difference: Whether the difference of the two frames' features, deep and shallow as in AHIQ, joins the
            representation.
        deform_form: ``normed`` (both features normalised, offsets start at zero, ReLU after the deformable convolution)
            or ``ahiq`` (none of these; AHIQ's two convolutions after the deformable one).
        difference_form: ``absolute`` (the change has no direction, so swapping the frames is nothing to be learned) or
            ``signed`` (plain subtraction, the paper's word).
        difference_of: ``features`` (the frames' features are subtracted, then brought to ``fusion_width``) or ``fused``
            (a 1x1 convolution that all share comes first, as in AHIQ).
        head_form: ``relu`` (after each of the three convolutions) or ``ahiq`` (none after the second).
        head: ``regression`` (source) or ``ordinal`` (trained on the votes' distribution).
        deep_width, shallow_width: Channels of the upsampled deep and of the deformed shallow feature; 0 takes the
            backbone's default, and the stored config holds the number.
        fusion_width: Channels of one frame's fused feature before the frames are compared; 0 as above.
        head_widths: Channels of the head's three 3x3 convolutions; empty as above.
        tier: Resolution whose labels the model was trained for, ``all`` for a mixture.
        input_height: Rows the model sees; higher frames are area-averaged down to it. 0 takes the tier's height
            (own size for ``all``). Less than the tier makes the assessment of large frames cheap.
        crops: 0 scores whole frames; 5 takes the mean score of five crops of 224 pixels, corners and centre, as AHIQ
            does in validation.
        ahiq_patch: Patch size of the ViT of backbone ``ahiq``.
        pretrained: Record of what the backbone started from; ``none`` is random.
    """

    backbone: str = "swin_t"
    upsample: str = "pixelshuffle"
    temporal_difference: bool = True
    deform_form: str = "normed"
    difference_form: str = "absolute"
    difference_of: str = "features"
    head_form: str = "relu"
    head: str = "regression"
    deep_width: int = 0
    shallow_width: int = 0
    fusion_width: int = 0
    head_widths: tuple[int, ...] = ()
    tier: str = "256p"
    input_height: int = 0
    crops: int = 0
    ahiq_patch: int = 8
    pretrained: str = "none"

    def __post_init__(self) -> None:
        """Check every value and fill the widths that were left to the backbone.

        Raises:
            ValueError: A value is not one of its choices or out of range.
        """
        check_choices(self, MODEL_CHOICES)
        for name, default in default_widths(self.backbone).items():
            object.__setattr__(self, name, getattr(self, name) or default)
        object.__setattr__(self, "head_widths", tuple(self.head_widths))
        if len(self.head_widths) != 3:
            raise ValueError(f"head_widths ({self.head_widths}) must be three numbers")
        for width in (self.deep_width, self.shallow_width, self.fusion_width, *self.head_widths):
            if not isinstance(width, int) or not 1 <= width <= _LARGEST_WIDTH:
                raise ValueError(f"width ({width!r}) must be a whole number from 1 to {_LARGEST_WIDTH}")
        if self.input_height != 0 and not 64 <= self.input_height <= 8192:
            raise ValueError(f"input_height ({self.input_height}) must be 0 or from 64 to 8192")

    @property
    def rows(self) -> int | None:
        """Height the model's input is brought down to, in pixels; None keeps the frames' own size."""
        return self.input_height or RESOLUTION_HEIGHTS.get(self.tier)

    @property
    def is_light(self) -> bool:
        """Whether this is the light variant, for CPUs and real time."""
        return self.backbone == "efficientnet_lite0"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "head_widths": list(self.head_widths)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the config of ``to_dict``; missing fields take their defaults, retired ones are left out.

        Raises:
            ValueError: An unknown field (the file is newer), a value of a wrong type or out of range, or another value
                of a retired field than the one that is still built.
        """
        return cls(**checked_fields(cls, without_retired(values, RETIRED_FIELDS)))


def default_widths(backbone: str) -> dict[str, Any]:
    """Return field name -> width of a backbone's default layers."""
    return dict(zip(WIDTH_NAMES, _WIDTHS[backbone], strict=True))


def check_choices(config: Any, choices: Mapping[str, tuple[Any, ...]]) -> None:
    for name, allowed in choices.items():
        if getattr(config, name) not in allowed:
            raise ValueError(f"{name} ({getattr(config, name)!r}) must be one of {', '.join(map(str, allowed))}")


def without_retired(values: Mapping[str, Any], retired: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` without the names in ``retired``, which maps each to the one value that is still accepted.

    Raises:
        ValueError: A retired name has another value.
    """
    for name, accepted in retired.items():
        if name in values and values[name] != accepted:
            raise ValueError(f"{name} ({values[name]!r}) must be {accepted!r}: the choice was removed; train again")
    return {name: value for name, value in values.items() if name not in retired}


def checked_fields(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` as a config's fields: lists as tuples, whole numbers as floats where a float is wanted.

    Text that is a number counts as one: to YAML 1.1 ``1e-4`` is text.

    Raises:
        ValueError: An unknown field, or a value of another type than the field's default has.
    """
    defaults = {field.name: field.default for field in fields(config)}
    checked = {}
    for name, value in values.items():
        if name not in defaults:
            near = difflib.get_close_matches(str(name), defaults, n=1)
            raise ValueError(
                f"unknown field {name!r}: " + (f"did you mean {near[0]}?" if near else "written by a newer version")
            )
        checked[name] = _as_type_of(defaults[name], value, name=name)
    return checked


def _as_type_of(default: Any, value: Any, *, name: str) -> Any:
    wanted = type(default)
    try:
        if wanted is tuple and isinstance(value, list | tuple):
            return tuple(value)
        if wanted is float and isinstance(value, int | float | str) and not isinstance(value, bool):
            return float(value)
    except ValueError:
        pass  # text that is no number
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        kind = "list" if wanted is tuple else wanted.__name__
        raise ValueError(f"{name} ({value!r}) must be a {kind}")
    return value
