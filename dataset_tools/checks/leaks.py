"""What shows the same recording in a manifest: clips with one file, one group, equal frames or near-equal ones.

A frame that is flat (black, white) tells nothing and joins nothing. Only columns are looked at, in pieces; a frame
stored at several resolutions counts once.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.checks.hashing import first_64_bits
from dataset_tools.columns.runs import runs_of_equal
from dataset_tools.common.parquet import Columns
from dataset_tools.frames import FINGERPRINT_BYTES
from dataset_tools.sampling.near_frames import MIN_FRAMES, find_matches, held_by_several, telling
from dataset_tools.sampling.splits import Key

_FRAMES = ("img0", "gt", "img1")
_LEVELS_PER_UNIT = 1 / 256  # of fingerprints
_SHOWN = 3


@dataclass(frozen=True)
class Shared:
    """What two clips have in common.

    Attributes:
        a, b: Numbers of the clips in ``Recordings.keys``, ``a < b``.
        what: ``"file"``, ``"group"``, ``"frame"`` or ``"near"``.
        frames: How many frames, for the last two.
        levels: How near, of 255, for the last one.
    """

    a: int
    b: int
    what: str
    frames: int = 0
    levels: float = 0.0


@dataclass
class Recordings:
    """The clips of a manifest and what joins them.

    Attributes:
        keys: (source, clip).
        splits: Of each clip, the splits its rows are in; a row without one is for training.
        groups: Of each clip, its ``clip_group`` (one of them).
        shared: Pairs of clips with something in common.
    """

    keys: list[Key] = field(default_factory=list)
    splits: list[set[str]] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    shared: list[Shared] = field(default_factory=list)


def find_recordings(manifest: Columns, *, where: pc.Expression | None = None) -> Recordings:
    """Return the clips of a manifest and which of them show the same.

    Args:
        where: Rows that count, by ``split``, ``resolution``, ``level`` or ``level_source``.
    """
    gathered = _Gathered()
    names = ["source", "clip", "clip_sha256", "clip_group", "split", "resolution", "level", "level_source"]
    names += [f"{frame}_{part}" for frame in _FRAMES for part in ("index", "sha256", "fingerprint")]
    for piece in manifest.batches(names, where=where):
        gathered.add(piece)
    found = gathered.found
    found.shared = [*_by_value(gathered.files, "file"), *_by_value(gathered.groups, "group"), *gathered.matches()]
    return found


def leaks(recordings: Recordings) -> Iterator[str]:
    """Yield a line for every clip, and every pair of clips with something in common, that is in several splits."""
    names = [f"{source}/{clip}" for source, clip in recordings.keys]
    for name, splits in sorted(zip(names, recordings.splits, strict=True)):
        if len(splits) > 1:
            yield f"clip {name} must be in one split, found in {', '.join(sorted(splits))}"
    for pair in recordings.shared:
        splits = recordings.splits[pair.a] | recordings.splits[pair.b]
        if len(splits) > 1:
            first, second = sorted((names[pair.a], names[pair.b]))
            yield f"{_SAID[pair.what].format(pair=pair)}: {first} and {second}, in {' and '.join(sorted(splits))}"


_SAID = {
    "file": "one clip file in two splits",
    "group": "one group of clips in two splits",
    "frame": "one frame in two splits ({pair.frames} equal)",
    "near": "near frames in two splits ({pair.frames}, the nearest {pair.levels:.3g}/255 apart in block means)",
}


class _Gathered:
    """What the pieces of a manifest told so far."""

    def __init__(self) -> None:
        self.found = Recordings()
        self.numbers: dict[Key, int] = {}
        self.files: dict[str, set[int]] = defaultdict(set)
        self.groups: dict[str, set[int]] = defaultdict(set)
        self.owners: list[npt.NDArray[np.int32]] = []
        self.hashes: list[npt.NDArray[np.uint64]] = []
        self.near_owners: list[npt.NDArray[np.int32]] = []
        self.means: list[npt.NDArray[np.uint16]] = []

    def add(self, piece: pa.Table) -> None:
        if not len(piece):
            return
        codes = self._codes(piece)
        tiers = piece.column("resolution").combine_chunks()
        tier_codes = pc.fill_null(tiers.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        for frame in _FRAMES:
            index = pc.fill_null(piece.column(f"{frame}_index"), -1).to_numpy().astype(np.int64)
            prints = piece.column(f"{frame}_fingerprint").combine_chunks()
            sha256 = piece.column(f"{frame}_sha256").combine_chunks()
            _, first = np.unique(((codes * 8 + tier_codes + 1) << 36) | (index + 1), return_index=True)
            means, has_print = _means(prints.take(pa.array(first)))
            tells = ~has_print
            tells[has_print] = telling(means, levels_per_unit=_LEVELS_PER_UNIT)
            self._add_hashes(sha256.take(pa.array(first)), codes[first], tells)
            first = first[has_print & tells]
            _, once = np.unique((codes[first] << 36) | (index[first] + 1), return_index=True)
            self.near_owners.append(codes[first[once]].astype(np.int32))
            self.means.append(means[tells[has_print]][once])

    def _codes(self, piece: pa.Table) -> npt.NDArray[np.int64]:
        """Return the number of each row's clip, and note what else the rows say of clips."""
        runs, lengths = runs_of_equal(piece, ["source", "clip", "clip_sha256", "clip_group", "split"])
        codes = np.empty(len(runs), np.int64)
        for place, (source, clip, clip_sha256, group, split) in enumerate(runs):
            key = (source or "", clip or "")
            number = codes[place] = self.numbers.setdefault(key, len(self.numbers))
            if number == len(self.found.keys):
                self.found.keys.append(key)
                self.found.splits.append(set())
                self.found.groups.append(group)
            self.found.splits[number].add(split or "train")
            for value, known in ((clip_sha256, self.files), (group, self.groups)):
                if value:
                    known[value].add(int(number))
        return np.repeat(codes, lengths)

    def _add_hashes(self, sha256: pa.Array, codes: npt.NDArray[np.int64], tells: npt.NDArray[np.bool_]) -> None:
        keep = tells & pc.fill_null(pc.equal(pc.binary_length(sha256), 64), False).to_numpy(zero_copy_only=False)
        self.owners.append(codes[keep].astype(np.int32))
        self.hashes.append(first_64_bits(sha256.filter(pa.array(keep))))

    def matches(self) -> Iterator[Shared]:
        if not self.owners:
            return
        exact: dict[tuple[int, int], int] = defaultdict(int)
        for a, b in _equal_pairs(np.concatenate(self.hashes), np.concatenate(self.owners)):
            exact[a, b] += 1
        yield from (Shared(a, b, "frame", frames) for (a, b), frames in sorted(exact.items()))
        owners = np.concatenate(self.near_owners)
        num_frames = np.bincount(owners, minlength=len(self.numbers))
        for match in find_matches(np.concatenate(self.means), owners, levels_per_unit=_LEVELS_PER_UNIT):
            needed = min(MIN_FRAMES, num_frames[match.a], num_frames[match.b])
            if match.frames >= needed and (match.a, match.b) not in exact:
                yield Shared(match.a, match.b, "near", match.frames, match.levels)


def _by_value(clips_of: dict[str, set[int]], what: str) -> Iterator[Shared]:
    for clips in clips_of.values():
        first, *others = sorted(clips)
        yield from (Shared(first, other, what) for other in others)


def _means(prints: pa.Array) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
    """Return the block means of the rows that have a whole fingerprint, (rows, 48), and which rows have one."""
    is_whole = pc.fill_null(pc.equal(pc.binary_length(prints), FINGERPRINT_BYTES), False)
    whole = prints.filter(is_whole)
    offsets = np.frombuffer(whole.buffers()[1], np.int32)[whole.offset : whole.offset + len(whole) + 1]
    data = np.frombuffer(whole.buffers()[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    means = data.view("<u2").reshape(len(whole), FINGERPRINT_BYTES // 2)
    return means, is_whole.to_numpy(zero_copy_only=False)


def _equal_pairs(hashes: npt.NDArray[np.uint64], owners: npt.NDArray[np.int32]) -> Iterator[tuple[int, int]]:
    """Yield pairs of clips for every hash that both have; of many clips with one hash each is paired with the next."""
    kept = held_by_several(hashes, owners)
    hashes, owners = hashes[kept], owners[kept]
    order = np.lexsort((owners, hashes))
    ordered, of_order = hashes[order], owners[order]
    is_same = (ordered[1:] == ordered[:-1]) & (of_order[1:] != of_order[:-1])
    for place in np.flatnonzero(is_same):
        yield int(of_order[place]), int(of_order[place + 1])
