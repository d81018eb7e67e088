"""Second stage of an extraction: share out the rows, decode, and share out again until there are enough.

A clip is decoded for as many triplets as its share holds. Where it turns out to have fewer, the others get more, and
only those are decoded again. Every round depends on facts about clips alone, so the end is the same for any number
of workers and after any restart (see ``dataset_tools.sampling.allocation``).
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dataset_tools.common.files import FolderContents
from dataset_tools.common.progress import Progress, track
from dataset_tools.errors import VfiError
from dataset_tools.extraction.journal import Journal
from dataset_tools.extraction.options import ExtractOptions
from dataset_tools.extraction.probing import UsableClip, record_failure, too_short
from dataset_tools.extraction.rows import to_table
from dataset_tools.frames.paths import frame_path
from dataset_tools.manifest import CLIP_COLUMNS
from dataset_tools.rejected import Rejected
from dataset_tools.sampling.allocation import Share, Supply, allocate
from dataset_tools.sampling.splits import Key
from dataset_tools.sampling.triplets import clip_seed, count_triplets, fitting_intervals
from dataset_tools.workers.extract_job import ClipResult, from_json
from dataset_tools.workers.messages import Answer, ExtractJob
from dataset_tools.workers.ray_pool import Pool

Row = dict[str, Any]


@dataclass
class Collected:
    """What the clips gave.

    Attributes:
        rows: Of the manifest, as columns, without split and prediction; clip after clip.
        rejected: Clips and triplets turned down.
        luma_blocks: Of clips decoded, ``ClipResult.luma_blocks``.
    """

    rows: pa.Table
    rejected: list[Rejected]
    luma_blocks: dict[Key, str]


def run_rounds(
    usable: Mapping[Key, UsableClip],
    *,
    count: int,
    options: ExtractOptions,
    journal: Journal,
    pool: Pool,
    origins: Mapping[Key, str],
    settled: Set[str] | None,
) -> Collected:
    """Decode clips until there are ``count`` rows, or nothing is left to decode.

    Args:
        count: ``options.count``, less the rows that are there of other clips.
        origins: SHA-256 of the clips that rows were made from; a clip that is no longer the same is given up.
        settled: Every ``triplet_id`` of a manifest that has all rows: only their files have to be there.

    Raises:
        VfiError: A frame cannot be written; what was done is kept.
    """
    state = _State(options, journal, dict(usable), origins, settled, count)
    with track("rows extracted", count) as progress:
        # A round ends before the next is planned: what is asked of one clip depends on what all others turned out to
        # have, and planning with half of the answers would make the rows depend on who was faster.
        while jobs := state.jobs():
            state.show(progress)
            for key, answer in pool.run((key, state.describe_job(key, share)) for key, share in jobs.items()):
                state.record(key, answer)
                state.show(progress)
        state.show(progress)
    blocks = {key: result.luma_blocks for key, result in state.results.items()}
    return Collected(to_table(state.rows()), state.rejected(), blocks)


class _State:
    def __init__(
        self,
        options: ExtractOptions,
        journal: Journal,
        usable: dict[Key, UsableClip],
        origins: Mapping[Key, str],
        settled: Set[str] | None,
        count: int,
    ) -> None:
        self.count = count
        self.options = options
        self.origins = origins
        self.settled = settled
        self.journal = journal
        self.usable = usable
        self.results = {key: from_json(fact) for key, fact in journal.facts["extract"].items() if key in usable}
        self.made_again: set[Key] = set()  # clips whose files had gone: once is enough
        self.rows_of = {key: self._count_rows(key) for key in self.results}
        self.num_rows = sum(self.rows_of.values())

    def plan(self) -> dict[Key, Share]:
        failed = self.journal.facts["rejected"]
        supplies = [self._supply(key, clip) for key, clip in self.usable.items() if key not in failed]
        options = self.options
        return allocate(supplies, count=self.count, max_static=options.max_static, seed=options.seed)

    def _supply(self, key: Key, clip: UsableClip) -> Supply:
        num_frames = clip.facts["num_frames"]
        limit = self.options.per_clip or count_triplets(num_frames, clip.intervals)
        result = self.results.get(key)
        return Supply(
            key=key,
            tiers=clip.tiers,
            fair=max(1, num_frames // 3),  # a triplet uses three frames
            limit=limit,
            statics=tuple(result.statics) if result else (),
            is_exhausted=result is not None and result.is_exhausted,
        )

    def jobs(self) -> dict[Key, Share]:
        """Return the shares that need decoding."""
        needed = {}
        for key, share in self.plan().items():
            result = self.results.get(key)
            # A triplet may be known and its frames not stored: those in which nothing moves are stored only when asked
            # for, and how many of them the set may hold is decided here, where all clips are known.
            # A journal from before clips were grouped does not know what all their frames look like.
            is_old = result is not None and not result.luma_blocks and self.settled is None
            if result is None or is_old or share.ranks[-1] >= len(result.valid) or not self._is_stored(result, share):
                needed[key] = share
            elif key not in self.made_again and not self._has_files(key, share):
                self.made_again.add(key)
                needed[key] = share
        return needed

    def _is_stored(self, result: ClipResult, share: Share) -> bool:
        wanted = {index for rank in share.ranks for index in result.valid[rank]}
        return all(wanted <= frames.keys() for frames in result.stored.values())

    def _has_files(self, key: Key, share: Share) -> bool:
        # In a manifest that is full, rows that were planned but never written to it need no files.
        needed = {
            (tier, index)
            for tier, indices in self._planned(key, share)
            if self.settled is None or _triplet_id(key, tier, indices) in self.settled
            for index in indices
        }
        files = FolderContents(self.options.frames)
        return all(files.has(frame_path(*key, tier, index)) for tier, index in needed)

    def describe_job(self, key: Key, share: Share) -> ExtractJob:
        clip, result = self.usable[key], self.results.get(key)
        known = range(len(result.valid)) if result else range(0)
        statics = [result.valid[rank] for rank in share.ranks if result and rank in known and result.statics[rank]]
        return ExtractJob(
            clip=clip.clip,
            sha256=clip.facts["sha256"],
            origin=self.origins.get(key),
            out=self.options.frames,
            num_frames=result.num_frames if result else clip.facts["num_frames"],
            # Never fewer than before: the answer replaces the journal's fact, which must not come to know less.
            moving=max(share.moving, result.asked if result else 0),
            statics=tuple(statics),
            tiers=clip.tiers,
            intervals=clip.intervals,
            seed=clip_seed(self.options.seed, *key),
            decoder=self.options.decoder,
            facts=clip.facts,
            interlaced=self.options.interlaced,
            hdr=self.options.hdr,
            damage=self.options.damage,
        )

    def record(self, key: Key, answer: Answer) -> None:
        if answer.outcome == "stop":
            raise VfiError(answer.message)
        if answer.outcome != "done":
            record_failure(self.usable[key].clip, answer, self.journal)
            return
        self.journal.record("extract", key, answer.value)  # before memory: a kill loses only clips being decoded
        self.results[key] = from_json(answer.value)
        self.num_rows += self._count_rows(key) - self.rows_of.get(key, 0)
        self.rows_of[key] = self._count_rows(key)

    def _count_rows(self, key: Key) -> int:
        # For the progress line alone, so still triplets are left out: how many of them are taken is known at the end.
        return len(self.usable[key].tiers) * sum(not static for static in self.results[key].statics)

    def show(self, progress: Progress) -> None:
        done = min(self.num_rows, self.count)
        given_up = len(self.journal.facts["rejected"])
        progress.advance(done - progress.done, note=f"{given_up} clips given up" if given_up else None)

    def rows(self) -> Iterator[Row]:
        for key, share in self.plan().items():
            sha256 = self.journal.facts["extract"][key]["sha256"]
            for tier, indices in self._planned(key, share):
                yield _row(self.usable[key], self.results[key], tier=tier, indices=indices, sha256=sha256)

    def _planned(self, key: Key, share: Share) -> Iterator[tuple[str, tuple[int, int, int]]]:
        """Yield the resolution and the frames of each row of a clip."""
        clip, result = self.usable[key], self.results[key]
        for number, rank in enumerate(share.ranks, start=1):
            is_last = number == len(share.ranks)
            for tier in share.last_tiers if is_last and share.last_tiers else clip.tiers:
                yield tier, result.valid[rank]

    def rejected(self) -> list[Rejected]:
        plan = self.plan()
        found = []
        for key, clip in self.usable.items():
            failure = self.journal.facts["rejected"].get(key)
            if failure:
                found.append(Rejected(*key, failure["reason"], failure["message"]))
            # What was turned down in a clip that gives nothing in the end would only puzzle: nobody asked for it.
            elif key in self.results and (key in plan or self.results[key].is_exhausted):
                found += [Rejected(**item) for item in self.results[key].rejected]
                if fitting_intervals(self.results[key].num_frames, clip.intervals) is None:
                    found.append(too_short(clip.clip, self.results[key].num_frames, clip.intervals))
        return found


_FRAMES = ("img0", "gt", "img1")


def _triplet_id(key: Key, tier: str, indices: tuple[int, int, int]) -> str:
    return f"{key[0]}/{key[1]}/{'-'.join(map(str, indices))}@{tier}"


def _row(clip: UsableClip, result: ClipResult, *, tier: str, indices: tuple[int, int, int], sha256: str) -> Row:
    source, name = clip.clip.key
    width, height = result.sizes[tier]
    row: Row = {
        "triplet_id": _triplet_id(clip.clip.key, tier, indices),
        "source": source,
        "clip": name,
        "clip_sha256": sha256,
        "resolution": tier,
        "width": width,
        "height": height,
        "native_width": clip.facts["width"],
        "native_height": clip.facts["height"],
        "interval": indices[1] - indices[0],
        "num_annotations": 0,
        **{name: clip.facts.get(name) for name in CLIP_COLUMNS},
        "field_order": result.field_order or clip.facts.get("field_order"),
    }
    for column, index in zip(_FRAMES, indices, strict=True):
        row[f"{column}_index"] = index
        row[f"{column}_pts"] = result.pts[index]
        row[column] = frame_path(source, name, tier, index)
        stored = result.stored[tier][index]
        row[f"{column}_sha256"] = stored.sha256
        row[f"{column}_fingerprint"] = bytes.fromhex(stored.fingerprint)
    return row
