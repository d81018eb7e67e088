"""How frames and predictions made again compare to a manifest."""

from dataclasses import dataclass, field

# The conversion from YUV to RGB may round differently on another CPU; everything else about a frame is exact.
MAX_FRAME_DIFFERENCE = 1  # of 255, any pixel
# A network's sums come in another order on another CPU or on a GPU.
MAX_MEAN_PREDICTION_DIFFERENCE = 0.1  # of 255, mean over the picture


@dataclass
class Check:
    """Counts, and a line for each fault.

    Attributes:
        num_equal: Files with the manifest's hash.
        num_within: Files that differ, by no more than is accepted.
        faults: One line per file or clip that is wrong, cannot be judged or cannot be made.
    """

    num_equal: int = 0
    num_within: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, file: str, *, is_equal: bool, difference: float | None, accepted: float, kind: str) -> None:
        """Count one file.

        Args:
            difference: To the original, in levels of 255; ``None`` when the original is not there.
            kind: What ``difference`` is, e.g. ``"up to"``.
        """
        if is_equal:
            self.num_equal += 1
        elif difference is None:
            self.faults.append(f"{file}: differs, and its original is not there to tell by how much")
        elif difference > accepted:
            self.faults.append(f"{file}: differs by {kind} {difference:g}/255, at most {accepted:g}/255 is accepted")
        else:
            self.num_within += 1
