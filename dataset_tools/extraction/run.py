"""From clips to a data set: probing, rounds, splits, manifest, predictions. Each stage can be killed and run again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dataset_tools import rejected as rejections
from dataset_tools.common import cli
from dataset_tools.common.cluster import Cluster, join_cluster
from dataset_tools.common.remote import mark_frames
from dataset_tools.errors import UsageError
from dataset_tools.extraction.grouping import add_splits
from dataset_tools.extraction.journal import open_journal
from dataset_tools.extraction.options import ExtractOptions
from dataset_tools.extraction.probing import forget_passing_failures, probe_clips
from dataset_tools.extraction.rounds import Row, remove_unused, run_rounds
from dataset_tools.manifest import FRAMES_ROOT, Manifest, extraction_options, from_rows, read_manifest
from dataset_tools.rejected import Rejected
from dataset_tools.sampling.splits import SPLITS, Key
from dataset_tools.sources import Listing, list_sources
from dataset_tools.workers.ray_pool import open_pool


@dataclass(frozen=True)
class Summary:
    """How an extraction ended.

    Attributes:
        done: Rows added by this run.
        skipped: Rows that were there already.
        rejected: Clips and triplets turned down, in this run and before.
        wanted: Rows asked for.
        num_groups: Groups of clips that show one recording.
        empty_splits: Splits with a share that got none of them.
    """

    done: int
    skipped: int
    rejected: int
    wanted: int
    num_groups: int
    empty_splits: tuple[str, ...]


def extract_data_set(options: ExtractOptions) -> Summary:
    """Extract, predict and write the manifest; what an earlier run of the same options did is not done again.

    Raises:
        UsageError: A source is not usable, or the folder holds something else.
        VfiError: A frame or the manifest cannot be written, or the predictor cannot be loaded; what was done is kept.
    """
    listing = list_sources(options.sources, frame_rate=options.fps)
    for note in listing.notes:
        cli.say(note, is_error=True)
    clip = listing.clips[0].path if listing.clips else None  # what machines have to see where frames lie at a URL
    with (
        open_journal(options.out) as journal,
        join_cluster(options.ray, reads=clip, writes_to=options.frames) as cluster,
    ):
        before = _read_earlier(options)
        if before is None and not journal.facts["extract"] and journal.options != options.recorded():
            journal.start_over()  # an extraction that ended before its first clip holds nobody to its options
        for earlier in (extraction_options(before) if before else {}, journal.options):
            if earlier:
                options.check_continues(earlier)
        _check_frames_root(options, before.metadata if before else journal.options)
        journal.begin({**options.recorded(), **_frames_root(options)})
        if options.frames_root is not None:
            mark_frames(options.frames)
        if before is None or len(before) < options.count:
            forget_passing_failures(journal)
        origins = _origins(before)
        settled = _ids_if_full(before, options.count)
        with open_pool(options.workers, silence_seconds=options.silence_seconds, cluster=cluster) as pool:
            usable, unusable = probe_clips(listing, options=options, journal=journal, pool=pool, origins=origins)
            collected = run_rounds(
                usable, options=options, journal=journal, pool=pool, origins=origins, settled=settled
            )
        before = _read_earlier(options)  # again: votes may have come into it meanwhile
        kept = before.rows() if before else []
        clips = [clip.clip for clip in usable.values()]
        added, torn = add_splits(collected.rows, clips, kept=kept, luma_blocks=collected.luma_blocks, options=options)
        rows = _merge(kept, added, count=options.count)
        rejected = [*listing.rejected, *unusable, *collected.rejected, *torn]
        summary = _finish(options, listing, rejected, rows=rows, num_kept=len(kept))
        manifest = _with_rows(before, rows, options)
        if before is None or manifest.metadata != before.metadata or not manifest.table.equals(before.table):
            manifest.write()
        _predict(manifest, options, cluster)
        return summary


def _read_earlier(options: ExtractOptions) -> Manifest | None:
    if not options.manifest_path.exists():
        return None
    manifest = read_manifest(options.manifest_path)
    if not extraction_options(manifest):
        raise UsageError(f"{options.manifest_path} was not made by dataset_tools.extract; use another --out")
    return manifest


def _frames_root(options: ExtractOptions) -> dict[str, str]:
    """Return what manifest and journal keep of where image files go: nothing where they lie beside the manifest."""
    return {} if options.frames_root is None else {FRAMES_ROOT: str(options.frames)}


def _check_frames_root(options: ExtractOptions, earlier: Mapping[str, Any]) -> None:
    """Check that image files go where those of earlier runs are.

    Raises:
        UsageError: They do not.
    """
    known, given = earlier.get(FRAMES_ROOT), _frames_root(options).get(FRAMES_ROOT)
    if earlier and known != given:
        advice = f"give --frames-root {known}" if known else "leave --frames-root out"
        raise UsageError(f"the frames of {options.out} are at {known or options.out}: {advice}")


def _origins(manifest: Manifest | None) -> dict[Key, str]:
    """Return the SHA-256 of the clips that rows were made from."""
    if manifest is None:
        return {}
    columns = (manifest.table.column(name).to_pylist() for name in ("source", "clip", "clip_sha256"))
    return {(source, clip): sha256 for source, clip, sha256 in zip(*columns, strict=True) if sha256}


def _ids_if_full(manifest: Manifest | None, count: int) -> set[str] | None:
    """Return every ``triplet_id`` of a manifest that has all rows asked for, else ``None``."""
    if manifest is None or len(manifest) < count:
        return None
    return set(manifest.table.column("triplet_id").to_pylist())


def _merge(kept: list[Row], found: list[Row], *, count: int) -> list[Row]:
    """Return the rows that are there, untouched, and as many new ones as the count leaves room for.

    There are too many where clips were added: rows that are there already leave them less than their share. The clips
    with the fewest triplets then come first, each triplet at all its resolutions.
    """
    known = {row["triplet_id"] for row in kept}
    numbers: dict[Key, dict[tuple[int, int], int]] = {}
    new = []
    for row in found:
        of_clip = numbers.setdefault((row["source"], row["clip"]), {})
        number = of_clip.setdefault((row["img0_index"], row["interval"]), len(of_clip))
        if row["triplet_id"] not in known:
            new.append((number, row))
    new.sort(key=lambda pair: pair[0])
    return kept + [row for _, row in new[: max(0, count - len(kept))]]


def _with_rows(before: Manifest | None, rows: list[Row], options: ExtractOptions) -> Manifest:
    metadata: Mapping[str, str] = before.metadata if before else {}
    made = {"extraction": json.dumps(options.recorded(), sort_keys=True), "seed": str(options.seed)}
    recorded = {**made, **_frames_root(options)}
    if before is not None and len(rows) == len(before):
        return Manifest(before.path, before.table, {**metadata, **recorded})
    fresh = from_rows(options.manifest_path, rows, metadata={**metadata, **recorded})
    return fresh if before is None else _with_unknown_columns(fresh, before)


def _with_unknown_columns(fresh: Manifest, before: Manifest) -> Manifest:
    """Return ``fresh`` with the columns only ``before`` has; null in new rows."""
    extra = [name for name in before.table.column_names if name not in fresh.table.column_names]
    if not extra:
        return fresh
    position = {name: number for number, name in enumerate(before.table.column("triplet_id").to_pylist())}
    order = pa.array([position.get(name) for name in fresh.table.column("triplet_id").to_pylist()], type=pa.int64())
    return fresh.with_columns({name: before.table.column(name).take(order) for name in extra})


def _predict(manifest: Manifest, options: ExtractOptions, cluster: Cluster | None) -> None:
    """Predict what is missing; the manifest with the frames is written already, whatever happens here."""
    if options.predictor == "none" or None not in manifest.table.column("pred").to_pylist():
        return
    from dataset_tools.prediction.run import predict_manifest

    predict_manifest(manifest, predictor=options.predictor, device=options.device, cluster=cluster)


def _finish(
    options: ExtractOptions, listing: Listing, rejected: Iterable[Rejected], *, rows: list[Row], num_kept: int
) -> Summary:
    different = {(item.message, item.source, item.clip): item for item in rejected}
    rejections.write_rejected(options.out / rejections.DEFAULT_NAME, different.values())
    touched: set[Key] = {clip.key for clip in listing.clips}
    if options.frames_root is None:  # elsewhere, other data sets may have the same frames
        remove_unused(options.out, touched, rows)
    filled = {row["split"] for row in rows}
    wanted = [split for split, share in zip(SPLITS, options.split, strict=True) if share > 0]
    return Summary(
        done=len(rows) - num_kept,
        skipped=num_kept,
        rejected=len(different),
        wanted=options.count,
        num_groups=len({row["clip_group"] or (row["source"], row["clip"]) for row in rows}),
        empty_splits=tuple(split for split in wanted if split not in filled),
    )
