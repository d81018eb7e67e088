"""First stage of an extraction: look at every clip once, and tell which can be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataset_tools.common.progress import track
from dataset_tools.errors import FrameError
from dataset_tools.extraction.journal import Journal
from dataset_tools.extraction.options import ExtractOptions
from dataset_tools.frames import RESOLUTION_HEIGHTS, square_size
from dataset_tools.rejected import Rejected
from dataset_tools.sampling.splits import Key
from dataset_tools.sampling.triplets import fitting_intervals
from dataset_tools.sources import Clip, Listing
from dataset_tools.sources.clip_frames import clip_stamp
from dataset_tools.video.facts import HDR_TRANSFERS
from dataset_tools.workers.messages import Answer, ProbeJob
from dataset_tools.workers.ray_pool import Pool

_MIN_WIDTH = 64  # at the lowest tier; LPIPS needs 64 pixels each way


@dataclass(frozen=True)
class UsableClip:
    """A clip that can be opened, is tall and long enough, and is not there twice.

    Attributes:
        facts: What ``probe_job.probe`` found.
        tiers: Resolutions it reaches.
        intervals: Range of intervals it allows.
    """

    clip: Clip
    facts: dict[str, Any]
    tiers: tuple[str, ...]
    intervals: tuple[int, int]


def probe_clips(
    listing: Listing, *, options: ExtractOptions, journal: Journal, pool: Pool, origins: Mapping[Key, str]
) -> tuple[dict[Key, UsableClip], list[Rejected]]:
    """Return the usable clips by key, sorted, and the others with their reasons. Known clips are not opened again.

    Args:
        origins: SHA-256 of the clips that rows were made from. Under another name they would end up in another split.
    """
    unknown = [clip for clip in listing.clips if not _is_known(clip, journal)]
    jobs = ((clip, ProbeJob(clip, options.decoder)) for clip in unknown)
    if unknown:
        with track("clips looked at", len(unknown)) as progress:
            for clip, answer in pool.run(jobs):
                _record_probe(clip, answer, journal)
                progress.advance()
    return _sort_out(listing.clips, options=options, journal=journal, origins=origins)


def record_failure(clip: Clip, answer: Answer, journal: Journal) -> None:
    """Write down why a clip is given up, from an answer of ``Pool.run`` that is not ``done``."""
    words = {"rejected": "unreadable", "changed": "changed", "late": "time limit", "crash": "crash"}
    word, text = answer.reason or words[answer.outcome], answer.message
    message = text if text.startswith("clip ") else f"clip {clip.name}: {text}"
    message = " ".join(message.replace(str(clip.path), clip.name).split())
    journal.record("rejected", clip.key, {"reason": word, "message": message, "stamp": _stamp(clip)})


def forget_passing_failures(journal: Journal) -> None:
    """Let clips be tried again that were given up for a reason that may have passed, such as a busy machine."""
    for key, fact in list(journal.facts["rejected"].items()):
        if fact["reason"] in ("time limit", "crash", "changed"):
            journal.forget(key)


def _is_known(clip: Clip, journal: Journal) -> bool:
    known = journal.facts["rejected"].get(clip.key) or journal.facts["probe"].get(clip.key)
    return known is not None and known["stamp"] == _stamp(clip)


def _stamp(clip: Clip) -> list[int]:
    try:
        return clip_stamp(clip)
    except FrameError:
        return []


def _record_probe(clip: Clip, answer: Answer, journal: Journal) -> None:
    before = journal.facts["probe"].get(clip.key)
    if answer.outcome != "done":
        journal.forget(clip.key)
        record_failure(clip, answer, journal)
        return
    facts = answer.value
    # A file that was only copied or touched keeps what was extracted from it.
    is_same = before is not None and facts["sha256"] is not None and facts["sha256"] == before["sha256"]
    if not is_same:
        journal.forget(clip.key)
    journal.record("probe", clip.key, facts)


def _sort_out(
    clips: list[Clip], *, options: ExtractOptions, journal: Journal, origins: Mapping[Key, str]
) -> tuple[dict[Key, UsableClip], list[Rejected]]:
    usable: dict[Key, UsableClip] = {}
    rejected = []
    first_of = {sha256: key for key, sha256 in origins.items()}
    for clip in clips:
        if failure := journal.facts["rejected"].get(clip.key):
            rejected.append(Rejected(clip.source, clip.name, failure["reason"], failure["message"]))
            continue
        facts = journal.facts["probe"][clip.key]
        width, height = square_size(facts["width"], facts["height"], pixel_aspect=facts.get("pixel_aspect"))
        tiers = tuple(tier for tier in options.tiers if RESOLUTION_HEIGHTS[tier] <= height)
        high = min(options.intervals[1], clip.max_interval or options.intervals[1])
        intervals = options.intervals[0], high
        twin = first_of.setdefault(facts["sha256"] or f"{clip.key}", clip.key)
        if twin != clip.key:
            rejected.append(Rejected(*clip.key, "same file", f"clip {clip.name}: the same file as {twin[1]}"))
        elif unfit := _unfit(clip, facts, options):
            rejected.append(unfit)
        elif not tiers or width * options.min_height < _MIN_WIDTH * height:
            size = f"{width}x{height}"
            needed = f"at least {_MIN_WIDTH}x{options.min_height} is needed"
            rejected.append(Rejected(*clip.key, "too small", f"clip {clip.name}: {size}, {needed}"))
        elif fitting_intervals(facts["num_frames"], intervals) is None:
            rejected.append(too_short(clip, facts["num_frames"], intervals))
        else:
            usable[clip.key] = UsableClip(clip, facts, tiers, intervals)
    return usable, rejected


def _unfit(clip: Clip, facts: Mapping[str, Any], options: ExtractOptions) -> Rejected | None:
    """Return why a clip is not taken by what its stream says of itself; facts of an older journal say nothing."""
    order, transfer = facts.get("field_order"), facts.get("transfer")
    if options.interlaced == "reject" and order in ("tff", "bff"):
        message = f"clip {clip.name}: marked as interlaced ({order}); see --interlaced"
        return Rejected(*clip.key, "interlaced", message)
    if options.hdr == "reject" and transfer in HDR_TRANSFERS:
        return Rejected(*clip.key, "hdr", f"clip {clip.name}: high dynamic range ({transfer}); see --hdr")
    return None


def too_short(clip: Clip, num_frames: int, intervals: tuple[int, int]) -> Rejected:
    """Return the rejection of a clip with too few frames for any triplet."""
    needed = f"at least {2 * intervals[0] + 1} are needed"
    if intervals[1] < intervals[0]:
        needed = f"this set allows intervals up to {intervals[1]}, and {intervals[0]} is the least asked for"
    return Rejected(*clip.key, "too short", f"clip {clip.name}: {num_frames} frames, {needed}")
