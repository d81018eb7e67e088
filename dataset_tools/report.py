"""Command line: the data card of a data set, one HTML file with counts, histograms and example triplets."""

import html
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
from dataset_tools.common.parquet import Columns, Described
from dataset_tools.errors import FrameError, VfiError
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

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2330; background: #fff; margin: 2rem auto; max-width: 72rem;
  padding: 0 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .8rem; }
p.lead, figcaption, td.note { color: #566072; }
.tables { display: flex; flex-wrap: wrap; gap: 1.5rem 2.5rem; align-items: flex-start; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding-bottom: .3rem; }
td, th { padding: .2rem .9rem .2rem 0; text-align: left; border-bottom: 1px solid #e3e7ee; vertical-align: top; }
td.number, th.number { text-align: right; padding-right: 0; }
img { max-width: 100%; height: auto; display: block; }
figure { margin: 0 0 1.6rem; } figcaption { font-size: .9rem; overflow-wrap: anywhere; }
.frames { display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem; margin-bottom: .3rem; }
.frames span { font-size: .8rem; color: #566072; }
.frames .missing { border: 1px dashed #b9c1ce; padding: 1rem; font-size: .8rem; overflow-wrap: anywhere; }
"""


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
    title = f"Data set {manifest.root.resolve().name}"
    sections = [
        f"<h1>{html.escape(title)}</h1><p class='lead'>{html.escape(_summary(manifest, facts))}</p>",
        f"<h2>What is in it</h2><div class='tables'>{''.join(_count_tables(facts))}</div>",
        f"<h2>Motion and metrics</h2>{histograms(facts)}",
        f"<h2>Examples, from easy to hard</h2>{''.join(_example(manifest.root, row) for row in examples)}",
        f"<h2>Turned down</h2>{_rejections(manifest.root)}",
        f"<h2>How it was made</h2>{_options(manifest)}",
    ]
    head = f"<meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(sections)}</body></html>\n"


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


def _count_tables(facts: pa.Table) -> list[str]:
    tables = [
        _table(title, {str(value): count for value, count in _counts(facts.column(column))})
        for title, column in (("Source", "source"), ("Resolution", "resolution"), ("Split", "split"))
    ]
    tables.append(_table("Interval", dict(_counts(facts.column("interval")))))
    given = facts.filter(pc.is_valid(facts.column("level")))
    both = pa.table({"level": given.column("level"), "source": given.column("level_source").cast(pa.string())})
    levels: Counter[str] = Counter()
    for row in both.group_by(["level", "source"]).aggregate([([], "count_all")]).to_pylist():
        levels[f"{row['level']:g} ({row['source']})"] += row["count_all"]
    if unlabelled := len(facts) - len(given):
        levels["none yet"] = unlabelled
    tables.append(_table("Level", levels))
    return tables


def _counts(column: pa.ChunkedArray) -> list[tuple[Any, int]]:
    return [(item["values"], item["counts"]) for item in pc.value_counts(column).to_pylist()]


def _table(title: str, counts: Mapping[Any, int]) -> str:
    lines = "".join(
        f"<tr><td>{html.escape(str(key))}</td><td class='number'>{count}</td></tr>"
        for key, count in sorted(counts.items(), key=lambda pair: (pair[0] is None, pair[0]))
    )
    return f"<table><caption>{html.escape(title)}</caption>{lines}</table>"


def _example(root: Path, row: Row) -> str:
    from dataset_tools.publishing.figures import thumbnail

    cells = []
    for column, words in (("img0", "img0"), ("gt", "gt, the truth"), ("pred", "pred"), ("img1", "img1")):
        try:
            if row[column] is None:
                raise FrameError(f"{column}: not made yet")
            picture = f"<img alt='{column}' src='{thumbnail(inside(root, row[column]))}'>"
        except VfiError as error:
            picture = f"<div class='missing'>{html.escape(str(error))}</div>"
        cells.append(f"<div>{picture}<span>{words}</span></div>")
    numbers = ", ".join(text.format(row[column]) for column, text in _NUMBERS if row[column] is not None)
    source = f" ({row['level_source']})" if row["level"] is not None else ""
    caption = html.escape(f"{row['triplet_id']}: {numbers}{source}")
    return f"<figure><div class='frames'>{''.join(cells)}</div><figcaption>{caption}</figcaption></figure>"


def _rejections(root: Path) -> str:
    path = root / REJECTED_NAME
    items = read_rejected(path) if path.exists() else []
    if not items:
        return "<p>Nothing was turned down.</p>"
    by_reason: dict[str, list[str]] = {}
    for item in items:
        by_reason.setdefault(str(item.get("reason")), []).append(str(item.get("message")))
    lines = "".join(
        f"<tr><td>{html.escape(reason)}</td><td class='number'>{len(messages)}</td>"
        f"<td class='note'>&emsp;{html.escape(messages[0])}</td></tr>"
        for reason, messages in sorted(by_reason.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    )
    return f"<table><tr><th>Reason</th><th class='number'>Times</th><th>&emsp;First of them</th></tr>{lines}</table>"


def _options(manifest: Source) -> str:
    options = {**extraction_options(manifest), "seed": manifest.metadata.get("seed")}
    lines = "".join(
        f"<tr><td>{html.escape(str(key))}</td><td>{html.escape(str(value))}</td></tr>"
        for key, value in sorted(options.items())
        if value is not None
    )
    return f"<table>{lines}</table>" if lines else "<p>Not recorded.</p>"


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
