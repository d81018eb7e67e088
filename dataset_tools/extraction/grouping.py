"""Third stage of an extraction: which clips show one recording, and the split of each such group."""

import base64
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dataset_tools.checks.leaks import find_recordings
from dataset_tools.extraction.options import ExtractOptions
from dataset_tools.extraction.rounds import Row
from dataset_tools.manifest import from_rows
from dataset_tools.rejected import Rejected
from dataset_tools.sampling.groups import group_clips, own_name
from dataset_tools.sampling.near_frames import MIN_FRAMES, find_matches, telling
from dataset_tools.sampling.splits import Key, assign_splits
from dataset_tools.sources import Clip

_BLOCKS = 64


def add_splits(
    rows: Sequence[Row],
    clips: Iterable[Clip],
    *,
    kept: Sequence[Row],
    luma_blocks: Mapping[Key, str],
    options: ExtractOptions,
) -> tuple[list[Row], list[Rejected]]:
    """Return the rows with ``clip_group`` and ``split``, and the clips that can be in no split.

    Args:
        rows: New ones.
        clips: Of this run.
        kept: Rows that are in the data set already; they keep their splits.
        luma_blocks: Of clips decoded, the block means of all frames in base64.
    """
    clips = list(clips)
    held = {(row["source"], row["clip"]): row for row in kept}
    names = {clip.key: own_name(clip.key, options.group_pattern) for clip in clips}
    names |= {key: row["clip_group"] or own_name(key, options.group_pattern) for key, row in held.items()}
    pairs = [*_pairs_by_frames(luma_blocks), *_pairs_by_rows([*kept, *rows], options)]
    groups = group_clips(names, pairs)
    splits = assign_splits(
        groups,
        shares=options.split,
        seed=options.seed,
        official={clip.key: clip.official_split for clip in clips if clip.official_split},
        fixed={key: row["split"] for key, row in held.items() if row["split"]},
    )
    # What a group is called in the data set stays, whatever clips have joined it since.
    called = {groups[key]: row["clip_group"] for key, row in sorted(held.items()) if row["clip_group"]}
    added = []
    for row in rows:
        key = row["source"], row["clip"]
        if key in splits.by_clip:
            group = called.get(groups[key], groups[key])
            added.append({**row, "clip_group": group, "split": splits.by_clip[key]})
    torn = [
        Rejected(*key, "leak", f"clip {key[1]}: {why}; see dataset_tools.resplit") for key, why in splits.torn.items()
    ]
    return added, torn


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


def _pairs_by_rows(rows: Sequence[Row], options: ExtractOptions) -> list[tuple[Key, Key]]:
    """Return the pairs of clips that stored frames join, by the rule that ``verify`` and training know."""
    different = {row["triplet_id"]: row for row in rows}
    found = find_recordings(from_rows(options.manifest_path, different.values()))
    return [(found.keys[pair.a], found.keys[pair.b]) for pair in found.shared]
