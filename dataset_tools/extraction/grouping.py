"""Third stage of an extraction: which clips show one recording, and the split of each such group."""

import base64
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from dataset_tools.checks.leaks import find_recordings
from dataset_tools.extraction.options import ExtractOptions
from dataset_tools.extraction.rows import facts_of_clips, with_facts, without
from dataset_tools.manifest import Manifest
from dataset_tools.rejected import Rejected
from dataset_tools.sampling.groups import group_clips, own_name
from dataset_tools.sampling.near_frames import MIN_FRAMES, find_matches, telling
from dataset_tools.sampling.splits import Key, assign_splits
from dataset_tools.sources import Clip

_BLOCKS = 64


def add_splits(
    rows: pa.Table,
    clips: Iterable[Clip],
    *,
    kept: pa.Table,
    luma_blocks: Mapping[Key, str],
    options: ExtractOptions,
) -> tuple[pa.Table, list[Rejected]]:
    """Return the rows with ``clip_group`` and ``split``, and the clips that can be in no split.

    Args:
        rows: New ones, as columns.
        clips: Of this run.
        kept: Rows that are in the data set already; they keep their splits.
        luma_blocks: Of clips decoded, the block means of all frames in base64.
    """
    clips = list(clips)
    held = facts_of_clips([kept], ["clip_group", "split"])
    names = {clip.key: own_name(clip.key, options.group_pattern) for clip in clips}
    names |= {key: facts["clip_group"] or own_name(key, options.group_pattern) for key, facts in held.items()}
    pairs = [*_pairs_by_frames(luma_blocks), *_pairs_by_rows(rows, kept, options)]
    groups = group_clips(names, pairs)
    splits = assign_splits(
        groups,
        shares=options.split,
        seed=options.seed,
        official={clip.key: clip.official_split for clip in clips if clip.official_split},
        fixed={key: facts["split"] for key, facts in held.items() if facts["split"]},
    )
    # What a group is called in the data set stays, whatever clips have joined it since.
    called = {groups[key]: facts["clip_group"] for key, facts in sorted(held.items()) if facts["clip_group"]}
    found = {
        key: {"clip_group": called.get(groups[key], groups[key]), "split": split}
        for key, split in splits.by_clip.items()
    }
    torn = [
        Rejected(*key, "leak", f"clip {key[1]}: {why}; see dataset_tools.resplit") for key, why in splits.torn.items()
    ]
    return with_facts(rows, found, ["clip_group", "split"]), torn


def _pairs_by_frames(luma_blocks: Mapping[Key, str]) -> list[tuple[Key, Key]]:
    """Return the pairs of clips with near-equal frames, among all their frames."""
    keys = sorted(key for key, text in luma_blocks.items() if text)  # not in the order in which clips were done
    if not keys:
        return []
    frames = [np.frombuffer(base64.b64decode(luma_blocks[key]), np.uint8).reshape(-1, _BLOCKS) for key in keys]
    owners = np.repeat(np.arange(len(keys), dtype=np.int32), [len(part) for part in frames])
    means = np.concatenate(frames)
    tells = telling(means)
    means, owners = means[tells], owners[tells]
    num_frames = np.bincount(owners, minlength=len(keys))
    return [
        (keys[match.a], keys[match.b])
        for match in find_matches(means, owners)
        if match.frames >= min(MIN_FRAMES, num_frames[match.a], num_frames[match.b])
    ]


def _pairs_by_rows(rows: pa.Table, kept: pa.Table, options: ExtractOptions) -> list[tuple[Key, Key]]:
    """Return the pairs of clips that stored frames join, by the rule that ``verify`` and training know."""
    together = pa.concat_tables([without(kept, rows), rows], promote_options="default")
    found = find_recordings(Manifest(options.manifest_path, together))
    return [(found.keys[pair.a], found.keys[pair.b]) for pair in found.shared]
