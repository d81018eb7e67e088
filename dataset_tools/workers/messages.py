"""What a worker process is told and what it answers: a typed job and a typed answer, each one line of JSON."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dataset_tools.common.remote import Folder, RemoteFolder, parse_place
from dataset_tools.sources import Clip
from dataset_tools.sources.clip_frames import Treatment

HEARTBEAT = '{"heartbeat": true}\n'  # between job and answer, about once a second: it is at work


@dataclass(frozen=True)
class ProbeJob:
    """Look at a clip for the first time."""

    clip: Clip
    decoder: str


@dataclass(frozen=True)
class ExtractJob:
    """What to store of a clip.

    Attributes:
        sha256: Of the clip, where it is known already.
        origin: SHA-256 of the clip that rows were made from; another one is refused. ``None`` when there are no rows.
        out: The data set's folder.
        num_frames: Number of frames as the container claims; a wrong one costs a second decoding pass.
        moving: How many triplets to store in which something moves.
        statics: Indices of static triplets to store besides, as found by an earlier job.
        tiers: Resolutions to store.
        seed: See ``triplets.clip_seed``.
        facts: What ``probe_job.probe`` found.
        interlaced, hdr, damage: As ``ExtractOptions`` has them.
    """

    clip: Clip
    sha256: str | None
    origin: str | None
    out: Folder
    num_frames: int
    moving: int
    statics: tuple[tuple[int, int, int], ...]
    tiers: tuple[str, ...]
    intervals: tuple[int, int]
    seed: int
    decoder: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    interlaced: str = "keep"
    hdr: str = "keep"
    damage: str = "reject"


@dataclass(frozen=True)
class WantedFrame:
    """One image file of a manifest.

    Attributes:
        file: Path relative to the data set's folder.
        sha256: Of its pixels, by the manifest.
        fingerprint: Likewise, in hexadecimal; ``None`` in older manifests.
    """

    index: int
    file: str
    width: int
    height: int
    sha256: str
    fingerprint: str | None


@dataclass(frozen=True)
class RebuildJob:
    """Which frames of a clip to make again.

    Attributes:
        sha256: Of the clip, by the manifest.
        originals: Folder of the manifest; a frame is compared to its original where that is there.
        out: Folder the frames are written under.
        treatment: As in the extraction.
    """

    clip: Clip
    wanted: tuple[WantedFrame, ...]
    sha256: str
    originals: Folder
    out: Folder
    decoder: str
    treatment: Treatment


Job = ProbeJob | ExtractJob | RebuildJob
Outcome = Literal["done", "rejected", "unfit", "changed", "stop", "late", "crash"]
_KINDS: dict[str, type[Job]] = {"probe": ProbeJob, "extract": ExtractJob, "rebuild": RebuildJob}
_NAMES = {job: name for name, job in _KINDS.items()}


@dataclass(frozen=True)
class Answer:
    """How a job ended.

    Attributes:
        outcome: ``done``; ``rejected``: the clip is damaged; ``unfit``: it is not wanted as it is; ``changed``: it is
            not the one that rows were made from; ``stop``: going on with any clip makes no sense. ``late`` and
            ``crash`` come from the pool: the process fell silent, or died.
        value: Of ``done``: what the job found, as JSON values.
        message: Of the others: one sentence.
        reason: Of ``unfit``: one or two words.
    """

    outcome: Outcome
    value: Any = None
    message: str = ""
    reason: str = ""


def to_json(message: Job | Answer) -> str:
    """Return a job or an answer as one line; ``job_from_json`` and ``answer_from_json`` are the ways back."""
    value = dict(vars(message))
    if not isinstance(message, Answer):
        value["kind"] = _NAMES[type(message)]
    return json.dumps(value, default=_as_json) + "\n"


def _as_json(part: Any) -> Any:
    return str(part) if isinstance(part, Path | RemoteFolder) else vars(part)


def job_from_json(line: str) -> Job:
    """Return the job that ``to_json`` wrote."""
    value = json.loads(line)
    kind = _KINDS[value.pop("kind")]
    return kind(**{name: _DECODE[name](part) if name in _DECODE else part for name, part in value.items()})


def answer_from_json(line: str) -> Answer:
    """Return the answer that ``to_json`` wrote; of a result's dictionaries the keys are now text, as JSON has them."""
    return Answer(**json.loads(line))


def _clip(value: dict[str, Any]) -> Clip:
    return Clip(**{**value, "path": Path(value["path"]), "frame_files": tuple(value["frame_files"])})


_DECODE: dict[str, Any] = {  # field -> how its value comes back, where JSON has no word for it
    "clip": _clip,
    "out": parse_place,
    "originals": parse_place,
    "statics": lambda triplets: tuple(map(tuple, triplets)),
    "tiers": tuple,
    "intervals": tuple,
    "wanted": lambda frames: tuple(WantedFrame(**frame) for frame in frames),
    "treatment": lambda value: Treatment(**value),
}
