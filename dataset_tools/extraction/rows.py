"""Last stage of an extraction: the manifest's rows as columns, new ones put beside those that are there, untouched."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dataset_tools.columns.runs import runs_of_equal
from dataset_tools.common.parquet import ROWS_PER_GROUP
from dataset_tools.frames.paths import clip_folder
from dataset_tools.manifest import IMAGE_COLUMNS, SCHEMA
from dataset_tools.sampling.splits import Key


def to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Return rows as columns of the manifest's schema, in their order; what a row does not say is null.

    They are taken a block at a time: millions of rows as dictionaries would need ten times the memory.
    """
    waiting = iter(rows)
    blocks = iter(lambda: list(itertools.islice(waiting, ROWS_PER_GROUP)), [])
    tables = [pa.Table.from_pylist(block, schema=SCHEMA) for block in blocks]
    return pa.concat_tables(tables).unify_dictionaries() if tables else SCHEMA.empty_table()


def facts_of_clips(pieces: Iterable[pa.Table], names: Sequence[str]) -> dict[Key, dict[str, Any]]:
    """Return what some columns of text say of each clip, by (source, clip); null where none of its rows says anything.

    Args:
        pieces: Tables with ``source``, ``clip`` and the columns ``names``.
    """
    found: dict[Key, dict[str, Any]] = {}
    for piece in pieces:
        for source, clip, *values in runs_of_equal(piece, ["source", "clip", *names])[0]:
            known = found.setdefault((source or "", clip or ""), dict.fromkeys(names))
            known.update({name: value for name, value in zip(names, values, strict=True) if known[name] is None})
    return found


def count_others(pieces: Iterable[pa.Table], keys: Set[Key]) -> int:
    """Return how many rows are of other clips than these.

    Args:
        pieces: Tables with ``source`` and ``clip``.
    """
    number = 0
    for piece in pieces:
        found, numbers = number_clips(piece)
        number += int(np.array([key not in keys for key in found], np.int64)[numbers].sum())
    return number


def with_facts(table: pa.Table, facts: Mapping[Key, Mapping[str, Any]], names: Sequence[str]) -> pa.Table:
    """Return the rows of the clips that ``facts`` knows, in their order, with these columns as it says."""
    keys, numbers = number_clips(table)
    is_known = np.array([key in facts for key in keys], np.bool_)[numbers]
    chosen, numbers = table.filter(pa.array(is_known, pa.bool_())), numbers[is_known]
    for name in names:
        of_clips = pa.array([facts.get(key, {}).get(name) for key in keys], pa.string())
        place, kind = table.column_names.index(name), table.schema.field(name)
        values = of_clips.take(pa.array(numbers))
        chosen = chosen.set_column(
            place, kind, values.dictionary_encode() if pa.types.is_dictionary(kind.type) else values
        )
    return chosen


def without(table: pa.Table, others: pa.Table) -> pa.Table:
    """Return the rows whose ``triplet_id`` is not among ``others``."""
    if not len(others):
        return table
    known = others.column("triplet_id").combine_chunks()
    return table.filter(pc.invert(pc.is_in(table.column("triplet_id"), value_set=known)))


def choose_new(found: pa.Table, kept: pa.Table, *, count: int) -> pa.Table:
    """Return as many rows that are not kept already as ``count`` leaves room for, in the order in which they come.

    There are too many where clips were added: rows that are there already leave them less than their share. The clips
    with the fewest triplets then come first, each triplet at all its resolutions.
    """
    numbers = _triplet_numbers(found)
    known = kept.column("triplet_id").combine_chunks()
    is_new = ~pc.is_in(found.column("triplet_id"), value_set=known).to_numpy()
    places = np.flatnonzero(is_new)
    places = places[np.argsort(numbers[places], kind="stable")]
    return found.take(pa.array(places[: max(0, count - len(kept))], pa.int64()))


def number_clips(table: pa.Table) -> tuple[list[Key], npt.NDArray[np.int64]]:
    """Return the clips by (source, clip), and for each row the place of its clip among them."""
    runs, lengths = runs_of_equal(table, ["source", "clip"])
    places: dict[Key, int] = {}
    numbers = [places.setdefault((source or "", clip or ""), len(places)) for source, clip in runs]
    return list(places), np.repeat(np.array(numbers, np.int64), lengths)


def files_of_clips(table: pa.Table, wanted: Set[Key]) -> Iterator[tuple[Key, set[str]]]:
    """Yield the image paths that rows name, for each of the wanted clips that has rows."""
    keys, numbers = number_clips(table)
    order = np.argsort(numbers, kind="stable")
    ends = np.searchsorted(numbers[order], np.arange(1, len(keys) + 1))
    for number in (number for number, key in enumerate(keys) if key in wanted):
        places = order[ends[number - 1] if number else 0 : ends[number]]
        rows = table.select(IMAGE_COLUMNS).take(pa.array(places, pa.int64()))
        yield keys[number], {path for name in IMAGE_COLUMNS for path in rows.column(name).drop_null().to_pylist()}


def remove_unused(out: Path, keys: Set[Key], table: pa.Table) -> None:
    """Remove image files that no row names: of triplets turned down in the end, and temporary ones of a killed run.

    Args:
        out: The data set's folder.
        keys: Clips of this run; only in their folders is looked, and only for names that the toolkit itself gives: a
            data set's folder is also where people put things of their own.
        table: All rows.
    """
    unnamed = set(keys)
    for key, used in files_of_clips(table, keys):
        unnamed.remove(key)
        _clear(out, key, used)
    for key in unnamed:
        _clear(out, key, set())


def _clear(out: Path, key: Key, used: Set[str]) -> None:
    folder = out / clip_folder(*key)
    for path in (*folder.glob("*p/[0-9]*.png"), *folder.glob("*p/.*.tmp")):
        if path.relative_to(out).as_posix() not in used:
            path.unlink(missing_ok=True)


def _triplet_numbers(found: pa.Table) -> npt.NDArray[np.int64]:
    """Return for each row how many other triplets of its clip come before its own."""
    if not len(found):
        return np.empty(0, np.int64)
    _, clips = number_clips(found)
    columns = [clips, *(found.column(name).to_numpy() for name in ("img0_index", "interval"))]
    _, first, numbers = np.unique(np.stack(columns, axis=1), axis=0, return_index=True, return_inverse=True)
    order = np.lexsort((first, clips[first]))  # by clip, then as they come
    starts = np.flatnonzero(np.diff(clips[first[order]], prepend=-1))
    place = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    in_clip = np.empty(len(order), np.int64)
    in_clip[order] = place
    return in_clip[numbers.reshape(-1)]
