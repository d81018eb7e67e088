"""How the three official codes evaluate: padding and rounding. One protocol holds for every model of a run.

Numbers of different codes differ by up to some tenths of a dB for these reasons alone, so a table names its protocol.
"""

from dataclasses import dataclass
from typing import Any

from dataset_tools.interpolators.padding import Padding

_LEARNT_SIZE_SETS = ("vimeo90k", "ucf101")  # 448x256 and 256x256: nobody pads
_FOUR_K_SETS = ("xiph-2k", "xiph-4k")
_MIDDLEBURY_CANVAS = (480, 640)  # height and width RIFE places every image in


@dataclass(frozen=True)
class Protocol:
    """Padding and rounding of one official code.

    Attributes:
        is_rounded: PSNR and SSIM are taken of the output rounded to 8 bits.
        value: Of padded pixels.
        multiple: Sizes are padded right and bottom to multiples of it.
        multiple_4k: The same on Xiph.
    """

    name: str
    is_rounded: bool
    value: float
    multiple: int
    multiple_4k: int

    def padding(self, set_name: str, height: int, width: int) -> Padding:
        """Return the padding of frames of this size in a set; a model may add its own."""
        if set_name in _LEARNT_SIZE_SETS:
            return Padding(0, 0, 0, 0)
        if set_name == "middlebury" and self.name == "rife":
            rows, columns = _MIDDLEBURY_CANVAS
            return Padding(0, max(0, columns - width), 0, max(0, rows - height))
        multiple = self.multiple_4k if set_name in _FOUR_K_SETS else self.multiple
        is_centred = set_name == "middlebury" and self.name == "vfiformer"
        return Padding.to_multiple(height, width, multiple, centred=is_centred)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol("upr", is_rounded=False, value=0.5, multiple=64, multiple_4k=256),
        Protocol("rife", is_rounded=True, value=0.0, multiple=32, multiple_4k=32),
        Protocol("vfiformer", is_rounded=True, value=0.0, multiple=64, multiple_4k=64),
    )
}


def model_options(model: str, set_name: str) -> dict[str, Any]:
    """Return the options the authors of ``model`` use on a set: pyramid levels, flow on halved images."""
    if model.startswith("upr-net"):
        if set_name in _LEARNT_SIZE_SETS:
            return {"levels": 3}
        if set_name in _FOUR_K_SETS:
            return {"levels": 7, "skipped": 2}
        return {"levels": 5} if set_name == "snu-film" else {}
    if model.startswith("vfiformer") and set_name == "snu-film":
        return {"half_flow": True}
    return {}
