"""The commands that take data out of the bench or put it in: export, import, stats, audit, backup, migrate, ..."""

import csv
import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Connection, select, update

from dataset_tools.common import cli
from dataset_tools.errors import UsageError
from labeling_app.annotation.filters import parse_where
from labeling_app.annotation.quota import Rule, matches
from labeling_app.commands.options import DEFAULT_MANIFEST, Db, ManifestOption, open_beside, open_store
from labeling_app.database.events import Event, append, now_us
from labeling_app.database.store import Store
from labeling_app.database.tables import items
from labeling_app.quality.consensus import METHODS
from labeling_app.settings import Settings


def add_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    commands: dict[str, Callable[..., int | None]] = {
        "export": export,
        "import": import_votes,
        "stats": stats,
        "audit": audit,
        "backup": backup,
        "migrate": migrate,
        "overlap": overlap,
        "gold": gold,
    }
    for name, command in commands.items():
        app.command(name)(command)


def export(
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    consensus: Annotated[str, typer.Option(help=f"How votes become a level: {', '.join(METHODS)}.")] = "median",
    out: Annotated[Path | None, typer.Option(help="Write the labelled manifest here instead of in place.")] = None,
    table: Annotated[
        list[Path] | None, typer.Option(help="Also write all votes as a long table: FILE.parquet or FILE.csv.")
    ] = None,
    bom: Annotated[
        bool, typer.Option("--bom", help="Begin CSV with the mark by which spreadsheets know UTF-8.")
    ] = False,
    label_studio: Annotated[Path | None, typer.Option(help="Also write the votes as Label Studio JSON.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and export again when new votes have come.")] = False,
    every: Annotated[float, typer.Option(min=1, help="Seconds between two looks of --watch.")] = 30.0,
) -> None:
    """Write votes and consensus levels into the manifest, which the training reads.

    Example: python -m labeling_app export --manifest data_manifest.parquet --table votes.csv
    """
    from labeling_app.exchange import exporting

    for path in table or []:
        if path.suffix.lower() not in (".csv", ".parquet"):
            raise UsageError(f"table {path} must end in .csv or .parquet")
    if consensus not in METHODS:
        raise UsageError(f"consensus {consensus!r} must be one of {', '.join(METHODS)}")
    store = open_store(manifest, db)

    def once() -> exporting.Exported:
        done = exporting.export_manifest(store, manifest, method=consensus, out=out)
        for path in table or []:
            exporting.export_table(store, path, bom=bom)
        if label_studio is not None:
            exporting.export_label_studio(store, label_studio)
        left_out = f", {done.excluded} set aside" if done.excluded else ""
        print(f"{out or manifest}: {done.rows} levels ({consensus}) from {done.votes} votes{left_out}", flush=True)
        if done.pairs:
            note = "; pairs are not in the Label Studio JSON" if label_studio is not None else ""
            print(f"{out or manifest}: {done.pairs} scores from pairs (score_pairs){note}", flush=True)
        return done

    if watch:  # until Ctrl-C
        exporting.watch(once, store, manifest, every_seconds=every, note=lambda line: cli.say(line, is_error=True))
    else:
        once()


def import_votes(
    file: Annotated[Path, typer.Argument(help="Label Studio JSON export.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
) -> int:
    """Take in votes from Label Studio; taking the same file again changes nothing.

    Example: python -m labeling_app import project-1.json --manifest data_manifest.parquet
    """
    from labeling_app.exchange import label_studio

    tasks = label_studio.read_tasks(file)
    store = open_beside(manifest, db).store
    result = store.transact(lambda connection: label_studio.import_tasks(connection, tasks, now_us=now_us()))
    for line in result.rejected:
        cli.say(line, is_error=True)
    more = f", {result.corrected} of them corrections" if result.corrected else ""
    more += f", {result.remarks} skips and verdicts" if result.remarks else ""
    print(f"{file}: {result.votes} votes taken in{more}, {result.known} known already, {len(result.rejected)} rejected")
    return 1 if result.rejected or not result.found else 0


def stats(
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Print agreement, progress and every annotator's figures.

    Example: python -m labeling_app stats --json
    """
    from labeling_app.quality.stats import compute_stats, to_lines

    with open_store(manifest, db).read(snapshot=True) as connection:
        computed = compute_stats(connection)
    print(json.dumps(asdict(computed), indent=2) if as_json else "\n".join(to_lines(computed)))


def audit(
    triplet_id: Annotated[str | None, typer.Argument(help="Triplet whose history is printed.")] = None,
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the events as JSON.")] = False,
) -> None:
    """Print a triplet's history, event by event; without a triplet, check the whole database against its log.

    Example: python -m labeling_app audit "vimeo90k/00001/0001/0-1-2@256p"
    """
    from labeling_app.database.audit import check_consistency, history, to_lines

    with open_store(manifest, db).read(snapshot=True) as connection:
        if triplet_id is None:
            check_consistency(connection)
            print("every quota and every state agrees with the log")
            return
        found = history(connection, triplet_id)
    print(json.dumps(found, indent=2) if as_json else "\n".join(to_lines(found)))


def backup(
    file: Annotated[Path, typer.Argument(help="New file: a SQLite database with everything.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
) -> None:
    """Write a consistent copy of the database while the server goes on.

    Example: python -m labeling_app backup labels-2026-08-01.sqlite
    """
    from labeling_app.database.backup import backup as copy

    size_bytes = copy(open_store(manifest, db), file)
    print(f"{file}: {size_bytes / 1e6:.1f} MB")


def migrate(
    source: Annotated[str, typer.Argument(help="Database URL to copy from.")],
    target: Annotated[str, typer.Argument(help="Database URL to copy to; must be empty.")],
) -> None:
    """Copy everything between SQLite and PostgreSQL, in either direction; rows and hashes are compared.

    Example: python -m labeling_app migrate sqlite:///labels.sqlite postgresql+psycopg://user@host/labels
    """

    from labeling_app.database.copying import copy_database

    copy_database(Store(source, create=False), Store(target), note=print)
    print("done: every table has the same rows and the same hash in both databases")


def overlap(
    votes: Annotated[int, typer.Argument(help="Votes wanted per triplet from now on.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Annotated[
        list[str] | None, typer.Option(help="Only triplets with KEY=VALUE: source, resolution, clip, interval=4-16.")
    ] = None,
) -> None:
    """Change how many votes triplets should get, for all or by filter; a running server follows at once.

    Example: python -m labeling_app overlap 5 --where resolution=1080p --where interval=8-16
    """
    rule = Rule(votes, parse_where(where or []))
    store = open_beside(manifest, db).store
    print(f"{store.transact(lambda connection: _set_overlap(connection, rule))} triplets want {votes} votes now")


def gold(
    file: Annotated[Path, typer.Argument(help="CSV with triplet_id, level and, if wanted, purpose and note.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
) -> int:
    """Make triplets of known level gold: for training, qualification, or (the default) hidden checks.

    An empty level makes a triplet ordinary again. The note is shown as feedback in the training round.

    Example: python -m labeling_app gold gold.csv --manifest data_manifest.parquet
    """
    from labeling_app.annotation.assignments import qualification_items
    from labeling_app.annotation.gold import read_gold, read_gold_file, store_gold_rows
    from labeling_app.annotation.qualification import qualification_bound

    try:
        words = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} must be a CSV file in UTF-8: {error}") from error
    rows = read_gold_file(csv.DictReader(io.StringIO(words, newline="")), name=str(file))
    store = open_beside(manifest, db).store
    missing = store.transact(lambda connection: store_gold_rows(connection, rows, now_us=now_us()))
    for triplet_id in missing:
        cli.say(f"triplet {triplet_id!r} is not in the manifest", is_error=True)
    print(f"{file}: {len(rows) - len(missing)} of {len(rows)} gold items set")
    with store.read() as connection:
        known = [one.level for one in qualification_items(list(read_gold(connection).values()))]
    tries = 1 + Settings(manifest).qualification_retakes
    if known and qualification_bound(tuple(sorted(known)), tries=tries) is None:
        levels = " ".join(map(str, sorted(known)))
        cli.say(
            f"warning: the qualification (levels {levels}) cannot tell care from chance, so nobody is admitted without"
            " a person's word; give ten items over all levels",
            is_error=True,
        )
    return 1 if missing else 0


def _set_overlap(connection: Connection, rule: Rule) -> int:
    from labeling_app.annotation.catalogue import lock_items

    lock_items(connection)
    rows = connection.execute(select(items).where(items.c.active)).mappings()
    ids = [row["id"] for row in rows if matches(dict(row), rule.where)]
    for start in range(0, len(ids), 500):
        change = update(items).where(items.c.id.in_(ids[start : start + 500]))
        connection.execute(change.values(overlap=rule.overlap + items.c.extra))
    details = {"overlap": rule.overlap, "where": dict(rule.where), "triplets": len(ids)}
    append(connection, Event(kind="overlap", at_us=now_us(), payload=details))
    return len(ids)
