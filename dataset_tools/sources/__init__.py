"""Where clips come from: ``--source KIND:PATH``. Each kind has a module that lists its clips.

Other packages add kinds by an entry point of the group ``vfi_difficulty.sources``: its name is the KIND, its object a
function that takes the folder and returns a ``Listing``.
"""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from dataset_tools.errors import UsageError
from dataset_tools.rejected import Rejected

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

ENTRY_POINT_GROUP = "vfi_difficulty.sources"
KINDS = ("vimeo90k", "adobe240", "videos", "frames")  # built in, a module of the same name each
# Three usable clips are too few to be dealt by share; each split gets one.
_DEMO_SPLITS = {"bigbuckbunny.mp4": "train", "cityCC0.mpg": "val", "bikes.mp4": "test"}


@dataclass(frozen=True)
class Clip:
    """A video file, or the frames of a sequence as image files.

    Attributes:
        source: One of ``KINDS``, or the name of an entry point.
        name: POSIX path inside its source, the same wherever the source's folder lies.
        path: The video file, or the folder of the image files.
        frame_files: Names of the image files in order; empty for a video file.
        official_split: ``"train"``, ``"val"`` or ``"test"`` by the data set's own lists, else ``None``.
        max_interval: Longest interval that makes sense in this data set, else ``None``.
        frame_rate: Of image files, where it is known: frames per second.
    """

    source: str
    name: str
    path: Path
    frame_files: tuple[str, ...] = ()
    official_split: str | None = None
    max_interval: int | None = None
    frame_rate: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """(source, name): what identifies the clip."""
        return self.source, self.name


@dataclass
class Listing:
    """The clips of a source, and what of it cannot be used."""

    clips: list[Clip] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # for people: what was left out, what looks odd


def list_sources(specs: Sequence[str], *, frame_rate: float | None = None) -> Listing:
    """Return all clips named by ``KIND:PATH`` texts (or ``demo``: the pinned demo clips), sorted by source and name.

    Args:
        frame_rate: Frames per second of the clips of kind ``frames``.

    Raises:
        UsageError: A text is malformed, a folder is missing or holds nothing of its kind, or two folders hold a clip
            of the same name.
        AssetError: The demo clips cannot be fetched.
    """
    result = Listing()
    seen: dict[tuple[str, str], Path] = {}
    for spec in dict.fromkeys(specs):
        listing = _list_source(spec)
        for clip in listing.clips:
            if clip.key in seen:
                raise UsageError(
                    f"clip {clip.name!r} is in {seen[clip.key]} and in {clip.path}: "
                    f"rename one, or give the folder above both as one source"
                )
            seen[clip.key] = clip.path
        result.clips += listing.clips
        result.rejected += listing.rejected
        result.notes += listing.notes
    if frame_rate is not None:
        result.clips = [
            replace(clip, frame_rate=frame_rate) if clip.source == "frames" else clip for clip in result.clips
        ]
    result.clips.sort(key=lambda clip: clip.key)
    return result


def _list_source(spec: str) -> Listing:
    if spec == "demo":
        from dataset_tools.assets import fetch_asset, fetch_demo_clips

        listing = _lister("videos")(fetch_demo_clips())
        listing.clips += _lister("videos")(fetch_asset("demo-city")).clips
        listing.clips = [replace(clip, official_split=_DEMO_SPLITS.get(clip.name)) for clip in listing.clips]
        return listing
    kind, colon, text = spec.partition(":")
    kinds = [*KINDS, *sorted(_plugins().names)]
    if kind not in kinds or not colon or not text:
        raise UsageError(f"--source {spec!r} must be demo or KIND:PATH with KIND one of {', '.join(kinds)}")
    path = Path(text).expanduser()  # the shell leaves the ~ of KIND:~/clips as it is
    if not path.is_dir() and not (kind == "videos" and path.is_file()):
        raise UsageError(f"--source {spec!r}: {path} must be a folder" + " or a file" * (kind == "videos"))
    return _lister(kind)(path)


def _lister(kind: str) -> Callable[[Path], Listing]:
    """Return the function that lists the clips of a folder; a built-in kind wins over an entry point of its name."""
    if kind in KINDS:
        found = importlib.import_module(f"{__name__}.{kind}").list_clips
    else:
        (entry,) = _plugins().select(name=kind)
        try:
            found = entry.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(f"source {kind!r} cannot be imported from {entry.value!r}: {error}") from error
    return cast(Callable[[Path], Listing], found)


def _plugins() -> "EntryPoints":
    from importlib.metadata import entry_points  # a tenth of the time in which a decoding worker starts

    return entry_points(group=ENTRY_POINT_GROUP)
