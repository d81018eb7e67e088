"""Command line: several data sets as one. No row twice, no vote lost, no recording in two splits."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from dataset_tools.checks.resplitting import resplit_data_set
from dataset_tools.common import cli
from dataset_tools.common.linking import link_files
from dataset_tools.errors import UsageError
from dataset_tools.extraction.journal import join_journals
from dataset_tools.manifest import DEFAULT_NAME, FRAMES_ROOT, IMAGE_COLUMNS, VOTE, Manifest, read_manifest

LEFT_OUT_NAME = "left_out.parquet"
_SCORES = ("score_pairs", "score_pairs_low", "score_pairs_high", "num_pairs")  # what people said in paired comparison
_PICTURES = ("resolution", "img0_sha256", "gt_sha256", "img1_sha256")


@dataclass(frozen=True)
class Merged:
    """How a merge ended.

    Attributes:
        rows: In the new manifest.
        doubles: Rows that were there twice and are there once, with the votes of both.
        left_out: Rows that could not be taken; they are in ``left_out.parquet`` with their votes.
        moved: Clips that changed their split.
        missing: Image files that were not there.
    """

    rows: int
    doubles: int
    left_out: int
    moved: int
    missing: int


def merge_data_sets(sources: Sequence[Path], out: Path) -> Merged:
    """Write the data set of all rows of ``sources`` to the new folder ``out``.

    Rows with the same three frames at one resolution are one row, that of the first set that has it. Their votes are
    put together where they are on the same prediction, and of two scores from pairs that with more answers holds. Of
    two predictions the one that people judged stays, by votes or in pairs; where both were, the second row is left out.
    A row is also left out when another clip has its clip's name.

    Raises:
        UsageError: ``out`` holds something.
        ManifestError: A manifest is damaged.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"--out {out} must be a new or empty folder")
    sets = [read_manifest(path) for path in sources]
    roots = {each.metadata.get(FRAMES_ROOT) for each in sets}
    if len(roots) > 1:
        raise UsageError("the sets' frames lie at different places; bring them to one by dataset_tools.relocate first")
    names = list(dict.fromkeys(name for each in sets for name in each.table.column_names))
    whole = pa.concat_tables([each.table for each in sets], promote_options="permissive").select(names)
    origin = [number for number, each in enumerate(sets) for _ in range(len(each))]
    chosen, votes, scored, left_out, doubles = _choose(whole, origin)
    table = whole.take(pa.array(chosen, pa.int64()))
    given = [votes[place] for place in chosen]
    known = table.column("num_annotations").to_pylist()
    counts = [None if old is None else len(new or []) for old, new in zip(known, given, strict=True)]
    scores = whole.select(_SCORES).take(pa.array(scored, pa.int64()))
    merged = Manifest(out / DEFAULT_NAME, table, dict(sets[0].metadata)).with_columns(
        {"votes": pa.array(given, pa.list_(VOTE)), "num_annotations": counts}
        | {name: scores.column(name) for name in _SCORES}
    )
    out.mkdir(parents=True, exist_ok=True)
    missing = 0
    for number, each in enumerate(sets):
        rows = whole.take(pa.array([place for place in chosen if origin[place] == number], pa.int64()))
        files = (path for column in IMAGE_COLUMNS for path in rows.column(column).drop_null().unique().to_pylist())
        if roots == {None}:
            missing += link_files(files, each.root, out)
    join_journals([each.root for each in sets], out)
    if left_out:
        Manifest(out / LEFT_OUT_NAME, whole.take(pa.array(left_out, pa.int64())), merged.metadata).write()
    merged.write()
    moved = resplit_data_set(merged.path, everything=False).moved
    return Merged(len(chosen), doubles, len(left_out), len(moved), missing)


def _choose(
    whole: pa.Table, origin: Sequence[int]
) -> tuple[list[int], dict[int, list[Any] | None], list[int], list[int], int]:
    """Return which rows to keep and what was said of them.

    These are the places of the rows to keep, the votes of each, the places that hold the scores from pairs of each, the
    places left out, and how many were doubles.
    """
    names = ("triplet_id", "source", "clip", "clip_sha256", "pred_sha256", "votes", "num_pairs", *_PICTURES)
    rows = whole.select(names).to_pylist()
    clips: dict[tuple[str, str], Any] = {}
    by_pictures: dict[tuple[Any, ...], int] = {}
    by_id: dict[str, int] = {}
    votes: dict[int, list[Any] | None] = {}
    scored: dict[int, int] = {}
    left_out: list[int] = []
    doubles = 0
    for place, row in enumerate(rows):
        known = clips.setdefault((row["source"], row["clip"]), (row["clip_sha256"], origin[place]))
        if known[0] != row["clip_sha256"] and known[1] != origin[place]:
            left_out.append(place)
            continue
        pictures = tuple(row[name] for name in _PICTURES)
        other = by_id.get(row["triplet_id"])
        if other is None and None not in pictures:
            other = by_pictures.get(pictures)
        if other is None:
            by_id[row["triplet_id"]] = place
            by_pictures.setdefault(pictures, place)
            votes[place], scored[place] = row["votes"], place
            continue
        is_same = _same_pictures(rows[other], row)
        was_judged = bool(votes[other]) or _pairs(rows[scored[other]]) > 0
        if not row["votes"] and not _pairs(row):
            doubles += 1
        elif is_same and not was_judged and rows[other]["pred_sha256"] != row["pred_sha256"]:
            doubles += 1  # nobody judged the other prediction
            votes.pop(other)
            scored.pop(other)
            votes[place], scored[place] = row["votes"], place
            by_id[rows[other]["triplet_id"]] = by_id[row["triplet_id"]] = by_pictures[pictures] = place
        elif is_same and rows[other]["pred_sha256"] in (None, row["pred_sha256"]):
            doubles += 1
            votes[other] = _together(votes[other], row["votes"])
            scored[other] = max(scored[other], place, key=lambda one: _pairs(rows[one]))
        else:
            left_out.append(place)
    chosen = sorted(votes)
    return chosen, votes, [scored[place] for place in chosen], left_out, doubles


def _pairs(row: Mapping[str, Any]) -> int:
    """Return how many answers are behind a row's score from pairs."""
    return row["num_pairs"] or 0


def _same_pictures(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return all(a[name] == b[name] for name in _PICTURES)


def _together(first: list[Any] | None, second: list[Any] | None) -> list[Any] | None:
    """Return the votes of both, of each annotator the newest."""
    newest: dict[Any, Any] = {}
    for vote in [*(first or []), *(second or [])]:
        known = newest.get(vote["annotator"])
        times = (known and known["created_at"], vote["created_at"])
        if known is None or (None not in times and times[0] < times[1]):
            newest[vote["annotator"]] = vote
    return list(newest.values()) if newest else first


def merge(
    manifests: Annotated[list[Path], typer.Argument(help="Two or more manifests, or the folders that hold them.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
) -> None:
    """Put several data sets together in a new folder; image files appear there as links where the disk allows it.

    A triplet that is in several sets is there once, with the votes of all. Clips that show one recording come into
    one split (see dataset_tools.resplit). Rows that cannot be taken are kept in left_out.parquet with their votes.

    Example: python -m dataset_tools.merge monday tuesday --out both
    """
    if len(manifests) < 2:
        raise UsageError(f"manifests ({len(manifests)}) must be two or more")
    done = merge_data_sets(manifests, out)
    if done.left_out:
        cli.say(
            f"{done.left_out} rows are in {out / LEFT_OUT_NAME} instead: their clip has another's name, or people "
            "judged two predictions of one triplet"
        )
    missing = f", {done.missing} image files missing" if done.missing else ""
    cli.say(f"{out}: {done.rows} rows, {done.doubles} doubles joined, {done.moved} clips moved to one split{missing}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.merge`` and return its exit code."""
    return cli.run(merge, argv, prog="python -m dataset_tools.merge")


if __name__ == "__main__":
    sys.exit(main())
