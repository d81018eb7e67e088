"""What an extraction was asked for, parsed and checked."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dataset_tools.common.remote import Folder, parse_folder, parse_place, reachable
from dataset_tools.errors import UsageError
from dataset_tools.frames import RESOLUTION_HEIGHTS
from dataset_tools.manifest import DEFAULT_NAME
from dataset_tools.sampling.groups import parse_group_by
from dataset_tools.sampling.splits import parse_split
from dataset_tools.video import check_decoder

CHOICES = {  # of what to do with clips that are not as people should see them
    "interlaced": ("reject", "deinterlace", "keep"),
    "hdr": ("reject", "tonemap"),
    "damage": ("reject", "keep-before"),
}
PREDICTORS = ("rife", "none")


@dataclass(frozen=True)
class ExtractOptions:
    """The options of ``dataset_tools.extract``, resolved.

    Attributes:
        tiers: Resolutions by rising height.
        intervals: Smallest and largest, both included.
        split: Shares of train, val and test.
        workers: Decoding processes; 0 means one per core.
        silence_seconds: A clip whose decoder gives no frame for so long is given up.
        ray: Address of a Ray cluster that does the work; ``None``: this machine.
        interlaced, hdr, damage: One of ``CHOICES``.
        fps: Frames per second of image sequences.
        group_by: Regular expression: clips in whose names it finds the same are one group.
        frames_root: Where image files go, if not to ``out``: a URL or an absolute folder.
    """

    sources: tuple[str, ...]
    out: Path
    count: int
    tiers: tuple[str, ...]
    intervals: tuple[int, int]
    per_clip: int | None
    split: tuple[float, float, float]
    seed: int
    max_static: float
    predictor: str
    decoder: str
    workers: int
    device: str
    silence_seconds: float
    group_by: str | None = None
    fps: float | None = None
    interlaced: str = "reject"
    hdr: str = "reject"
    damage: str = "reject"
    ray: str | None = None
    frames_root: str | None = None

    @property
    def frames(self) -> Folder:
        """Where image files go."""
        return self.out if self.frames_root is None else parse_folder(self.frames_root)

    @property
    def group_pattern(self) -> re.Pattern[str] | None:
        """``group_by``, compiled."""
        return parse_group_by(self.group_by)

    @property
    def manifest_path(self) -> Path:
        """The data set's manifest."""
        return self.out / DEFAULT_NAME

    @property
    def min_height(self) -> int:
        """Height in pixels below which a clip reaches no tier."""
        return min(RESOLUTION_HEIGHTS[tier] for tier in self.tiers)

    def recorded(self) -> dict[str, Any]:
        """Return what decides about rows and pixels, as JSON values: no paths, no worker count, no device."""
        kinds = {"videos" if spec == "demo" else spec.partition(":")[0] for spec in self.sources}
        return {
            "sources": sorted(kinds),
            "count": self.count,
            "resolutions": list(self.tiers),
            "intervals": list(self.intervals),
            "per_clip": self.per_clip,
            "split": list(self.split),
            "seed": self.seed,
            "max_static": self.max_static,
            "predictor": self.predictor,
            "decoder": self.decoder,
            "group_by": self.group_by,
            "fps": self.fps,
            "interlaced": self.interlaced,
            "hdr": self.hdr,
            "damage": self.damage,
        }

    def check_continues(self, earlier: Mapping[str, Any]) -> None:
        """Check that this run may add to what a run with the options ``earlier`` left in the folder.

        Raises:
            UsageError: Another option than ``count`` differs, or ``count`` is smaller.
        """
        for name, value in self.recorded().items():
            if name == "count" or earlier.get(name, value) == value:  # an older version did not know all of them
                continue
            advice = "use another --out"
            if name == "predictor":
                advice = "run dataset_tools.predict on the manifest, or use another --out"
            raise UsageError(
                f"{self.out} was extracted with {name} {earlier.get(name)!r}, not {value!r}: "
                f"only --count may grow; {advice}"
            )
        if self.count < earlier["count"]:
            raise UsageError(
                f"--count {self.count} must be at least {earlier['count']}, the count of {self.out} so far: "
                f"rows are never dropped"
            )


def parse_options(
    *,
    resolutions: str,
    intervals: str,
    split: str,
    count: int,
    max_static: float,
    predictor: str,
    decoder: str,
    **rest: Any,
) -> ExtractOptions:
    """Return the options from their texts.

    Raises:
        UsageError: One of them is not possible.
    """
    if count < 1:
        raise UsageError(f"--count {count} must be at least 1")
    if not 0 <= max_static <= 1:
        raise UsageError(f"--max-static {max_static} must be between 0 and 1")
    if predictor not in PREDICTORS:
        raise UsageError(f"--predictor {predictor!r} must be one of {', '.join(PREDICTORS)}")
    check_decoder(decoder, name="--decoder")
    for name, choices in CHOICES.items():
        if rest.get(name, choices[0]) not in choices:
            raise UsageError(f"--{name} {rest[name]!r} must be one of {', '.join(choices)}")
    if rest.get("frames_root") is not None:
        place = parse_place(rest["frames_root"])
        if isinstance(place, Path) and not place.is_absolute():
            raise UsageError(f"--frames-root {place} must be a URL or an absolute folder: the manifest says it")
        reachable(place)
    fps = rest.get("fps")
    if fps is not None and not 0 < fps < float("inf"):
        raise UsageError(f"--fps {fps} must be more than 0")
    parse_group_by(rest.get("group_by"))
    return ExtractOptions(
        tiers=parse_resolutions(resolutions),
        intervals=parse_intervals(intervals),
        split=parse_split(split),
        count=count,
        max_static=max_static,
        predictor=predictor,
        decoder=decoder,
        **rest,
    )


def parse_resolutions(text: str) -> tuple[str, ...]:
    """Return the resolutions named in text such as ``"256p,720p"``, by rising height."""
    names = {name.strip() for name in text.split(",")}
    unknown = sorted(names - set(RESOLUTION_HEIGHTS))
    if unknown:
        raise UsageError(f"--resolutions {text!r}: {unknown[0]!r} must be one of {', '.join(RESOLUTION_HEIGHTS)}")
    return tuple(sorted(names, key=RESOLUTION_HEIGHTS.__getitem__))


def parse_intervals(text: str) -> tuple[int, int]:
    """Return the range in text such as ``"1-16"`` or ``"4"``, both ends included."""
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text.strip())
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= low <= high:
        raise UsageError(f"--intervals {text!r} must be like 1-16 or 4, at least 1")
    return low, high
