"""How pixels compare to a manifest, and what is accepted where another machine made them."""

from dataclasses import dataclass, field

import numpy as np

from dataset_tools.frames import Rgb, fingerprint, fingerprint_difference

# The conversion from YUV to RGB may round differently on another CPU; everything else about a frame is exact.
MAX_FRAME_DIFFERENCE = 1.0  # of 255: any pixel, or the mean of any block
# A network's sums come in another order on another CPU or on a GPU.
MAX_PREDICTION_DIFFERENCE = 0.1  # of 255: the mean over the picture, or that of any block


@dataclass(frozen=True)
class Difference:
    """By how much pixels differ from those that a manifest means.

    Attributes:
        levels: Of 255.
        measure: What they are, with a place for the number.
    """

    levels: float
    measure: str

    def __str__(self) -> str:
        return self.measure.format(f"{self.levels:.4g}/255")

    def judge(self, accepted: float) -> tuple[bool, str]:
        """Return whether at most ``accepted`` levels differ, and a clause that says so."""
        is_accepted = self.levels <= accepted
        return is_accepted, f"differs by {self}" + ("" if is_accepted else f", at most {accepted:g}/255 is accepted")


def largest_difference(a: Rgb, b: Rgb) -> Difference:
    """Return how far apart any two pixels of equally large pictures are."""
    return Difference(float(np.abs(a.astype(np.int16) - b).max()), "up to {}")


def mean_difference(a: Rgb, b: Rgb) -> Difference:
    """Return how far apart the pixels of equally large pictures are on average."""
    return Difference(float(np.abs(a.astype(np.int16) - b).mean()), "a mean of {}")


def block_difference(stored: bytes | None, rgb: Rgb) -> Difference | None:
    """Return how far ``rgb`` is from a manifest's fingerprint, ``None`` without one.

    Block means are less strict than pixels: they tell another machine's rounding from another picture, but neither
    from a neighbouring frame in which next to nothing moved, nor from a fault of a few pixels.

    Raises:
        FrameError: ``stored`` is not a fingerprint.
    """
    if stored is None:
        return None
    return Difference(fingerprint_difference(stored, fingerprint(rgb)), "up to {} in block means")


@dataclass
class Check:
    """What was compared.

    Attributes:
        num_equal: Files with the manifest's hash.
        accepted: One line per file that differs, by no more than is accepted.
        faults: One line per file or clip that is wrong, cannot be judged or cannot be made.
    """

    num_equal: int = 0
    accepted: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def add(self, file: str, *, is_equal: bool, difference: Difference | None, accepted: float) -> None:
        """Count one file.

        Args:
            difference: To the manifest's pixels, as far as they are known; ``None`` when nothing is.
            accepted: Levels of 255.
        """
        if is_equal:
            self.num_equal += 1
        elif difference is None:
            self.faults.append(f"{file}: differs, and neither original nor fingerprint is there to tell by how much")
        else:
            is_accepted, clause = difference.judge(accepted)
            (self.accepted if is_accepted else self.faults).append(f"{file}: {clause}")
