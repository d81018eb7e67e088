"""From clips to a data set: probing, rounds, splits, manifest, predictions. Each stage can be killed and run again."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dataset_tools import rejected as rejections
from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.common import cli
from dataset_tools.common.cluster import Cluster, join_cluster
from dataset_tools.common.remote import mark_frames
from dataset_tools.errors import UsageError
from dataset_tools.extraction.grouping import add_splits
from dataset_tools.extraction.journal import open_journal
from dataset_tools.extraction.options import ExtractOptions
from dataset_tools.extraction.probing import forget_passing_failures, probe_clips
from dataset_tools.extraction.rounds import run_rounds
from dataset_tools.extraction.rows import choose_new, count_others, facts_of_clips, remove_unused
from dataset_tools.manifest import FRAMES_ROOT, SCHEMA, Manifest, extraction_options, from_table, read_manifest
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
        before = _open_earlier(options)
        if before is None and not journal.facts["extract"] and journal.options != options.recorded():
            journal.start_over()  # an extraction that ended before its first clip holds nobody to its options
        for known in (extraction_options(before) if before is not None else {}, journal.options):
            if known:
                options.check_continues(known)
        _check_frames_root(options, before.metadata if before is not None else journal.options)
        journal.begin({**options.recorded(), **_frames_root(options)})
        if options.frames_root is not None:
            mark_frames(options.frames)
        if before is None or len(before) < options.count:
            forget_passing_failures(journal)
        origins = _origins(before)
        settled = _ids_if_full(before, options.count)
        wanted = options.count - _rows_of_others(before, listing)
        with open_pool(options.workers, silence_seconds=options.silence_seconds, cluster=cluster) as pool:
            usable, unusable = probe_clips(listing, options=options, journal=journal, pool=pool, origins=origins)
            collected = run_rounds(
                usable,
                count=max(0, wanted),
                options=options,
                journal=journal,
                pool=pool,
                origins=origins,
                settled=settled,
            )
        clips = [clip.clip for clip in usable.values()]
        # Now: votes may have come into it meanwhile.
        earlier = read_manifest(options.manifest_path) if before is not None else None
        kept = earlier.table if earlier is not None else SCHEMA.empty_table()
        added, torn = add_splits(collected.rows, clips, kept=kept, luma_blocks=collected.luma_blocks, options=options)
        new = choose_new(added, kept, count=options.count)
        rejected = [*listing.rejected, *unusable, *collected.rejected, *torn]
        manifest = _with_rows(earlier, new, options)
        summary = _finish(options, listing, rejected, table=manifest.table, num_new=len(new))
        if earlier is None or len(new) or manifest.metadata != earlier.metadata:
            manifest.write()
        _predict(manifest, options, cluster)
        return summary


def _open_earlier(options: ExtractOptions) -> ManifestFile | None:
    if not options.manifest_path.exists():
        return None
    manifest = open_manifest(options.manifest_path)
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


def _origins(manifest: ManifestFile | None) -> dict[Key, str]:
    """Return the SHA-256 of the clips that rows were made from."""
    if manifest is None:
        return {}
    facts = facts_of_clips(manifest.batches(["source", "clip", "clip_sha256"]), ["clip_sha256"])
    return {key: known["clip_sha256"] for key, known in facts.items() if known["clip_sha256"]}


def _rows_of_others(manifest: ManifestFile | None, listing: Listing) -> int:
    """Return how many rows are of clips that this run is not about: those it asks for come on top."""
    if manifest is None:
        return 0
    return count_others(manifest.batches(["source", "clip"]), {clip.key for clip in listing.clips})


def _ids_if_full(manifest: ManifestFile | None, count: int) -> set[str] | None:
    """Return every ``triplet_id`` of a manifest that has all rows asked for, else ``None``."""
    if manifest is None or len(manifest) < count:
        return None
    return {name for piece in manifest.batches(["triplet_id"]) for name in piece.column("triplet_id").to_pylist()}


def _with_rows(before: Manifest | None, new: pa.Table, options: ExtractOptions) -> Manifest:
    """Return the manifest with more rows; they are null in columns that only ``before`` has."""
    metadata: Mapping[str, str] = before.metadata if before is not None else {}
    made = {"extraction": json.dumps(options.recorded(), sort_keys=True), "seed": str(options.seed)}
    recorded = {**metadata, **made, **_frames_root(options)}
    if before is None:
        return from_table(options.manifest_path, new, metadata=recorded)
    if not len(new):
        return Manifest(before.path, before.table, recorded)
    together = pa.concat_tables([before.table, new], promote_options="default")
    return from_table(options.manifest_path, together, metadata=recorded)


def _predict(manifest: Manifest, options: ExtractOptions, cluster: Cluster | None) -> None:
    """Predict what is missing; the manifest with the frames is written already, whatever happens here."""
    if options.predictor == "none" or not manifest.table.column("pred").null_count:
        return
    from dataset_tools.prediction.run import predict_manifest

    predict_manifest(manifest, predictor=options.predictor, device=options.device, cluster=cluster)


def _finish(
    options: ExtractOptions, listing: Listing, rejected: Iterable[Rejected], *, table: pa.Table, num_new: int
) -> Summary:
    different = {(item.message, item.source, item.clip): item for item in rejected}
    rejections.write_rejected(options.out / rejections.DEFAULT_NAME, different.values())
    touched: set[Key] = {clip.key for clip in listing.clips}
    if options.frames_root is None:  # elsewhere, other data sets may have the same frames
        remove_unused(options.out, touched, table)
    filled = table.column("split").unique().to_pylist()
    groups = {facts["clip_group"] or key for key, facts in facts_of_clips([table], ["clip_group"]).items()}
    wanted = [split for split, share in zip(SPLITS, options.split, strict=True) if share > 0]
    return Summary(
        done=num_new,
        skipped=len(table) - num_new,
        rejected=len(different),
        wanted=options.count,
        num_groups=len(groups),
        empty_splits=tuple(split for split in wanted if split not in filled),
    )
