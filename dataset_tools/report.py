"""Command line: the data card of a data set, one HTML file with counts, histograms and example triplets."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import typer

from dataset_tools.columns.file import open_manifest
from dataset_tools.common import cli
from dataset_tools.common.files import inside, write_bytes
from dataset_tools.common.pages import render_page
from dataset_tools.common.parquet import Columns, Described
from dataset_tools.common.remote import Folder
from dataset_tools.errors import VfiError
from dataset_tools.manifest import IMAGE_COLUMNS, SCHEMA, extraction_options
from dataset_tools.rejected import DEFAULT_NAME as REJECTED_NAME
from dataset_tools.rejected import read_rejected

DEFAULT_NAME = "report.html"
NUM_EXAMPLES = 6
Row = Mapping[str, Any]
_NUMBERS = (  # of an example, as far as they are known
    ("pred_lpips", "LPIPS {:.3f}"),
    ("pred_psnr", "PSNR {:.1f} dB"),
    ("pred_ssim", "SSIM {:.3f}"),
    ("motion", "motion {:.1f} pixels"),
    ("interval", "interval {}"),
    ("level", "level {:g}"),
)
_COUNTED = (
    *("source", "clip", "resolution", "split", "interval", "level", "level_source", "predictor"),
    *("motion", "inputs_lpips", "pred_lpips", "pred_psnr", "pred_ssim"),
)
_EMPTY = pa.schema([SCHEMA.field(name) for name in _COUNTED]).empty_table()


class Source(Columns, Described, Protocol):
    """A manifest, in memory or on disk."""


def write_report(manifest: Source, path: Path) -> None:
    """Write the data card of ``manifest`` to ``path``: one HTML file that needs no other file and no network."""
    write_bytes(path, report_html(manifest).encode())


def report_html(manifest: Source) -> str:
    """Return the data card. Every name in it is escaped: names of clips and annotators come from anywhere."""
    from dataset_tools.publishing.figures import histograms

    facts = pa.concat_tables(list(manifest.batches(_COUNTED)) or [_EMPTY]).unify_dictionaries()
    examples = _rows_at(manifest, choose_examples(facts.column("pred_lpips")))
    return render_page(
        "dataset_tools.publishing",
        "data_card.html.jinja",
        title=f"Data set {manifest.root.resolve().name}",
        summary=_summary(manifest, facts),
        tables=_count_tables(facts),
        histograms=histograms(facts),
        examples=[_example(manifest.frames, row) for row in examples],
        rejections=_rejections(manifest.root),
        options=_options(manifest),
    )


def choose_examples(pred_lpips: pa.ChunkedArray, *, number: int = NUM_EXAMPLES) -> list[int]:
    """Return places of rows spread evenly from the easiest to the hardest prediction, by LPIPS."""
    order = pc.sort_indices(pred_lpips)  # stable, null last
    count = len(pred_lpips) - pred_lpips.null_count
    if count <= number:
        return order[:count].to_pylist()
    return [order[round(place * (count - 1) / (number - 1))].as_py() for place in range(number)]


def _rows_at(manifest: Source, places: Sequence[int]) -> list[Row]:
    """Return the rows at some places of a manifest, in that order."""
    names = dict.fromkeys(("triplet_id", *IMAGE_COLUMNS, *(column for column, _ in _NUMBERS), "level_source"))
    found: dict[int, Row] = {}
    start = 0
    for piece in manifest.batches(list(names)):
        wanted = [place for place in places if start <= place < start + len(piece)]
        rows = piece.take(pa.array([place - start for place in wanted], pa.int64())).to_pylist()
        found.update(zip(wanted, rows, strict=True))
        start += len(piece)
    return [found[place] for place in places]


def _summary(manifest: Source, facts: pa.Table) -> str:
    clips = facts.group_by(["source", "clip"]).aggregate([]).num_rows
    predictors = sorted(name for name in facts.column("predictor").unique().to_pylist() if name)
    labelled = pc.sum(pc.equal(facts.column("level_source").cast(pa.string()), "human")).as_py() or 0
    made_by = manifest.metadata.get("created_by", "an unknown program")
    return (
        f"{len(facts)} triplets of {clips} clips, {labelled} labelled by people, predicted by "
        f"{', '.join(predictors) or 'nothing yet'}; written by {made_by}."
    )


def _count_tables(facts: pa.Table) -> dict[str, list[tuple[Any, int]]]:
    """Return what is counted: heading -> (value, count), in order of the values."""
    columns = {"Source": "source", "Resolution": "resolution", "Split": "split", "Interval": "interval"}
    tables = {title: _counts(facts.column(column)) for title, column in columns.items()}
    given = facts.filter(pc.is_valid(facts.column("level")))
    both = pa.table({"level": given.column("level"), "source": given.column("level_source").cast(pa.string())})
    levels: Counter[str] = Counter()
    for row in both.group_by(["level", "source"]).aggregate([([], "count_all")]).to_pylist():
        levels[f"{row['level']:g} ({row['source']})"] += row["count_all"]
    if unlabelled := len(facts) - len(given):
        levels["none yet"] = unlabelled
    tables["Level"] = list(levels.items())
    return {title: sorted(counts, key=lambda pair: (pair[0] is None, pair[0])) for title, counts in tables.items()}


def _counts(column: pa.ChunkedArray) -> list[tuple[Any, int]]:
    return [(item["values"], item["counts"]) for item in pc.value_counts(column).to_pylist()]


def _example(root: Folder, row: Row) -> dict[str, Any]:
    from dataset_tools.publishing.figures import thumbnail

    frames = []
    for column, words in (("img0", "img0"), ("gt", "gt, the truth"), ("pred", "pred"), ("img1", "img1")):
        frame = {"column": column, "words": words, "picture": None, "missing": f"{column}: not made yet"}
        if row[column] is not None:
            try:
                frame["picture"] = thumbnail(inside(root, row[column]))
            except VfiError as error:
                frame["missing"] = str(error)
        frames.append(frame)
    numbers = ", ".join(text.format(row[column]) for column, text in _NUMBERS if row[column] is not None)
    source = f" ({row['level_source']})" if row["level"] is not None else ""
    return {"frames": frames, "caption": f"{row['triplet_id']}: {numbers}{source}"}


def _rejections(root: Path) -> list[tuple[str, list[str]]]:
    """Return reason and messages of what was turned down, the most frequent reason first."""
    path = root / REJECTED_NAME
    by_reason: dict[str, list[str]] = {}
    for item in read_rejected(path) if path.exists() else []:
        by_reason.setdefault(str(item.get("reason")), []).append(str(item.get("message")))
    return sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0]))


def _options(manifest: Source) -> dict[str, Any]:
    options = {**extraction_options(manifest), "seed": manifest.metadata.get("seed")}
    return {str(key): value for key, value in sorted(options.items()) if value is not None}


def report(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; report.html beside the manifest by default.")] = None,
) -> None:
    """Write a data card: counts, histograms of motion and metrics, example triplets, rejections by reason.

    Example: python -m dataset_tools.report data/data_manifest.parquet --out report.html
    """
    target = out or manifest.parent / DEFAULT_NAME
    write_report(open_manifest(manifest), target)
    cli.say(str(target))


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.report`` and return its exit code."""
    return cli.run(report, argv, prog="python -m dataset_tools.report")


if __name__ == "__main__":
    sys.exit(main())
