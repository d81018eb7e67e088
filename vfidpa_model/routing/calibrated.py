"""What a calibration found: quality against time of two interpolators, and the settings that meet a goal."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dataset_tools.errors import UsageError, VfiError

if TYPE_CHECKING:
    from vfidpa_model.routing.quality_cost import Point


FORMAT_VERSION = 1
FILE_NAME = "calibration.json"


class CalibrationError(VfiError):
    """A calibration file is missing or damaged."""


@dataclass(frozen=True)
class Calibration:
    """The curve of quality against time of one pair of interpolators and one VFI-DPA model.

    Attributes:
        fast, accurate: Names of the interpolators.
        fast_seconds, accurate_seconds: Mean time per pair of each alone.
        accurate_psnr: Mean PSNR of the accurate model alone, dB.
        points: Settings from all accurate to all fast; seconds include the assessment, quality is PSNR.
        pairs: How many triplets it rests on.
        device: Where the times were taken; they hold for no other.
    """

    fast: str
    accurate: str
    fast_seconds: float
    accurate_seconds: float
    accurate_psnr: float
    points: "list[Point]"
    pairs: int
    device: str

    def threshold(self, *, budget: float | None = None, quality: float | None = None) -> float:
        """Return the threshold that meets a goal best.

        Args:
            budget: Largest share of the accurate model's time; the best quality within it is taken.
            quality: Largest loss against the accurate model, dB; the least time within it is taken.

        Raises:
            UsageError: Not exactly one goal is given, or it cannot be met; the message says what can.
        """
        return self.point(budget=budget, quality=quality).threshold

    def point(self, *, budget: float | None = None, quality: float | None = None) -> "Point":
        """Return the setting that meets a goal best; see ``threshold``."""
        from vfidpa_model.routing.quality_cost import best_within_budget, cheapest_of_quality

        if (budget is None) == (quality is None):
            raise UsageError("give either a budget or a quality")
        if budget is not None:
            found = best_within_budget(self.points, seconds=budget * self.accurate_seconds)
            least = min(point.seconds for point in self.points) / self.accurate_seconds
            rule = f"budget ({budget:g}) must be at least {least:.2f}: fast model and assessment take that share"
        else:
            assert quality is not None
            found = cheapest_of_quality(self.points, quality=self.accurate_psnr - quality)
            best = max(point.quality for point in self.points)
            rule = (
                f"quality ({quality:g} dB) must be at least {self.accurate_psnr - best:.3f} dB below the accurate model"
            )
        if found is None:
            raise UsageError(f"{rule} with {self.fast} and {self.accurate} on {self.device}")
        return found

    def write(self, path: Path) -> None:
        """Write the calibration as JSON."""
        from dataset_tools.common.files import write_json

        write_json(path, {"format_version": FORMAT_VERSION, **asdict(self)})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the calibration stored at ``path`` (the file, or its folder).

        Raises:
            CalibrationError: It is missing, damaged, or of a newer version.
        """
        from vfidpa_model.routing.quality_cost import Point

        file = path / FILE_NAME if path.is_dir() else path
        try:
            values: dict[str, Any] = json.loads(file.read_bytes())
            made = cls(
                fast=str(values["fast"]),
                accurate=str(values["accurate"]),
                fast_seconds=float(values["fast_seconds"]),
                accurate_seconds=float(values["accurate_seconds"]),
                accurate_psnr=float(values["accurate_psnr"]),
                points=[Point(**{key: float(value) for key, value in point.items()}) for point in values["points"]],
                pairs=int(values["pairs"]),
                device=str(values["device"]),
            )
        except FileNotFoundError:
            raise CalibrationError(
                f"calibration {file} does not exist; make one with vfidpa_model.calibration"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CalibrationError(f"calibration {file} is damaged: {error}") from error
        numbers = [made.fast_seconds, made.accurate_seconds, made.accurate_psnr]
        numbers += [value for point in made.points for value in asdict(point).values()]
        if values.get("format_version") != FORMAT_VERSION or not made.points or not all(map(math.isfinite, numbers)):
            raise CalibrationError(f"calibration {file} must have version {FORMAT_VERSION} and finite points")
        return made
