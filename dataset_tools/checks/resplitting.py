"""Gives every recording one split, by what ``leaks`` knows of a manifest."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from dataset_tools.checks.leaks import Recordings, find_recordings
from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.columns.rewrite import rewrite_manifest, with_values
from dataset_tools.columns.runs import runs_of_equal
from dataset_tools.manifest import extraction_options
from dataset_tools.sampling.groups import group_clips, own_name, parse_group_by
from dataset_tools.sampling.splits import Key, parse_split, split_of

_OFFICIAL = ("vimeo90k", "adobe240")  # their own lists may say what is for testing


@dataclass(frozen=True)
class Resplit:
    """What ``resplit_data_set`` did.

    Attributes:
        groups: Clip to group.
        splits: Clip to split.
        moved: Clips some of whose rows are in another split now, with the splits they were in.
    """

    groups: dict[Key, str]
    splits: dict[Key, str]
    moved: dict[Key, set[str]]


def resplit_data_set(
    path: Path, *, split: str | None = None, seed: int | None = None, group_by: str | None = None, everything: bool
) -> Resplit:
    """Give every group of clips that show one recording one split, write the manifest, and return what changed.

    A group that is in one split stays there, unless ``everything`` is to be dealt anew. A torn group goes where its
    name says, by share and seed; to ``test`` if one of its clips is a test clip of a source that publishes such lists.

    Args:
        split, seed: Those of the extraction by default.

    Raises:
        UsageError: ``split`` or ``group_by`` is not possible.
        ManifestError: The manifest is damaged.
    """
    manifest = open_manifest(path)
    options = extraction_options(manifest)
    known = options.get("split", [0.8, 0.1, 0.1])
    shares = parse_split(split or ",".join(map(str, known)))
    seed = int(manifest.metadata.get("seed", "0")) if seed is None else seed
    recordings = find_recordings(manifest)
    groups = _groups(recordings, group_by or options.get("group_by"))
    members: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(recordings.keys):
        members[groups[key]].append(number)
    splits: dict[Key, str] = {}
    for group, numbers in members.items():
        there = set[str]().union(*(recordings.splits[number] for number in numbers))
        is_official = any(
            recordings.keys[number][0] in _OFFICIAL and "test" in recordings.splits[number] for number in numbers
        )
        if len(there) == 1 and not everything:
            (chosen,) = there
        else:
            chosen = "test" if is_official else split_of(group, shares=shares, seed=seed)
        splits.update((recordings.keys[number], chosen) for number in numbers)
    moved = {
        key: there for key, there in zip(recordings.keys, recordings.splits, strict=True) if there != {splits[key]}
    }
    _write(manifest, groups, splits)
    return Resplit(groups, splits, moved)


def _groups(recordings: Recordings, group_by: str | None) -> dict[Key, str]:
    pattern = parse_group_by(group_by)
    names = {}
    for key, group in zip(recordings.keys, recordings.groups, strict=True):
        own = own_name(key, pattern)
        names[key] = own if group is None or own.startswith(f"{key[0]}/~") else group
    return group_clips(names, [(recordings.keys[pair.a], recordings.keys[pair.b]) for pair in recordings.shared])


def _write(manifest: ManifestFile, groups: dict[Key, str], splits: dict[Key, str]) -> None:
    def change(piece: pa.Table) -> pa.Table:
        runs, lengths = runs_of_equal(piece, ["source", "clip"])
        keys = [(source or "", clip or "") for source, clip in runs]
        rows = pa.array(np.repeat(np.arange(len(keys)), lengths))
        split = pa.array([splits[key] for key in keys], pa.string()).dictionary_encode().take(rows)
        group = pa.array([groups[key] for key in keys], pa.string()).take(rows)
        return with_values(piece, {"split": pa.chunked_array([split]), "clip_group": pa.chunked_array([group])})

    stamp = json.dumps(dict(Counter(splits.values())), sort_keys=True)
    rewrite_manifest(manifest.path, change, metadata={"clips_by_split": stamp})
