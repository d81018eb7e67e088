"""The desk's commands: list items, set votes aside, ask again, give to a person, decide, make gold, comment."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import typer

from dataset_tools.errors import UsageError
from labeling_app.accounts import require_row, to_account
from labeling_app.annotation.filters import parse_where
from labeling_app.commands.options import DEFAULT_MANIFEST, Db, ManifestOption, open_beside
from labeling_app.database.events import now_us
from labeling_app.desk.actions import Action, Order, Outcome, carry_out
from labeling_app.desk.exclusions import Step
from labeling_app.desk.reading import desk_table, find_items, page_of
from labeling_app.desk.selection import KEYS, Selection

Where = Annotated[
    list[str] | None,
    typer.Option(help=f"Only items (or votes) with KEY=VALUE, repeatable: {', '.join(KEYS)}; e.g. spread=2-."),
]
Preview = Annotated[bool, typer.Option("--preview", help="Say what would change, and change nothing.")]
Reason = Annotated[str, typer.Option(help="Why; kept in the log.")]


def add_desk_commands(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    commands: dict[str, Callable[..., None]] = {
        "items": items,
        "exclude": exclude,
        "include": include,
        "ask-again": ask_again,
        "assign": assign,
        "decide": decide,
        "set-gold": set_gold,
        "comment": comment,
    }
    for name, command in commands.items():
        app.command(name)(command)


def items(
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    sort: Annotated[str, typer.Option(help="Column to sort by, e.g. spread, level, flagged.")] = "triplet_id",
    descending: Annotated[bool, typer.Option("--descending", help="Highest first.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
) -> None:
    """List items with status, level, votes, spread, skips, flags and comments.

    Example: python -m labeling_app items --where status=disputed --sort spread --descending
    """
    state = open_beside(manifest, db)
    selection = Selection(parse_where(where or []))
    with state.store.read(snapshot=True) as connection:
        table = desk_table(state, connection)
    rows, total, statuses = page_of(table, selection, sort=sort, descending=descending, page=0, size=limit)
    if as_json:
        print(json.dumps({"items": rows, "total": total, "statuses": statuses}, indent=2))
        return
    for row in rows:
        level = "-" if row["level"] is None else f"{row['level']:g}"
        print(
            f"{row['triplet_id']}\t{row['status']}\tlevel {level}\tvotes {row['votes']}/{row['wanted']}"
            f"\tspread {row['spread']}\tskipped {row['skipped']}\tflagged {row['flagged']}"
            f"\tcommented {row['commented']}\texcluded {row['excluded']}"
        )
    print(f"{len(rows)} of {total} items" + "".join(f", {count} {name}" for name, count in sorted(statuses.items())))


def exclude(
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    reason: Reason = "",
    preview: Preview = False,
) -> None:
    """Set votes aside: they stay in the database, but count nowhere until they are included again.

    Example: python -m labeling_app exclude --where person=anna --where since=2026-11-30 --reason "clicked through"
    """
    _step("exclude", manifest, db, _some(where), preview, reason=reason)


def include(
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    reason: Reason = "",
    preview: Preview = False,
) -> None:
    """Take votes in again that were set aside.

    Example: python -m labeling_app include --where person=anna
    """
    _step("include", manifest, db, where, preview, reason=reason)


def ask_again(
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    to: Annotated[
        Literal["others", "all"],
        typer.Option(help="People who have not seen the item, or all: then the present votes are set aside."),
    ] = "others",
    votes: Annotated[int, typer.Option(min=1, max=100, help="More votes per item, for --to others.")] = 1,
    reason: Reason = "",
    preview: Preview = False,
) -> None:
    """Ask for more votes on items, also where they have all they wanted.

    Example: python -m labeling_app ask-again --where spread=2- --to others
    """
    _step("ask_again", manifest, db, _some(where), preview, reason=reason, to=to, votes=votes)


def assign(
    person: Annotated[str, typer.Argument(help="Who gets the items, before everything else.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    reason: Reason = "",
    preview: Preview = False,
) -> None:
    """Give items to a person; an earlier vote of theirs is set aside.

    Example: python -m labeling_app assign anna --where status=disputed
    """
    _step("assign", manifest, db, _some(where), preview, reason=reason, person=person)


def decide(
    level: Annotated[int, typer.Argument(min=1, max=4, help="Level of the items from now on.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    reason: Reason = "",
    preview: Preview = False,
) -> None:
    """Decide on items: the verdict stands in place of the consensus, the votes stay.

    Example: python -m labeling_app decide 3 --where "triplet_id=videos/clip.mp4/10-12-14@1080p"
    """
    _step("decide", manifest, db, _some(where), preview, reason=reason, level=level)


def set_gold(
    level: Annotated[
        Literal["1", "2", "3", "4", "none"], typer.Argument(help="Known level; none makes the items ordinary again.")
    ],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    purpose: Annotated[
        Literal["gold", "training", "qualification"], typer.Option(help="Hidden checks, or the rounds before the work.")
    ] = "gold",
    note: Annotated[str, typer.Option(help="Shown as feedback in the training round.")] = "",
    preview: Preview = False,
) -> None:
    """Make items gold: their level is known, and annotators are checked against it. A list goes by "gold FILE".

    Example: python -m labeling_app set-gold 4 --where status=decided --where level=4
    """
    known = None if level == "none" else int(level)
    _step("gold", manifest, db, _some(where), preview, reason=note, level=known, purpose=purpose)


def comment(
    text: Annotated[str, typer.Argument(help="What is kept with the items, for leads and in exports.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    where: Where = None,
    preview: Preview = False,
) -> None:
    """Keep a comment with items.

    Example: python -m labeling_app comment "watch the left hand" --where clip=dance.mp4
    """
    _step("note", manifest, db, _some(where), preview, reason=text)


def _step(
    action: Action,
    manifest: Path,
    db: str | None,
    where: list[str] | None,
    preview: bool,
    *,
    reason: str,
    to: Literal["others", "all"] = "others",
    votes: int = 1,
    person: str | None = None,
    level: int | None = None,
    purpose: str = "gold",
) -> None:
    selection = Selection(parse_where(where or []))
    state = open_beside(manifest, db)
    account = None
    if person is not None:
        with state.store.read() as connection:
            account = to_account(require_row(connection, person))
    order = Order(
        action=action,
        selection=selection,
        reason=reason,
        to=to,
        votes=votes,
        person=account,
        level=level,
        purpose=purpose,
    )
    step = Step(at_us=now_us(), user_id=None, batch=secrets.token_hex(8), reason=reason)
    outcome = carry_out(
        state.store, order, step, lambda connection: find_items(state, connection, selection), preview=preview
    )
    for line in _lines(outcome, preview=preview):
        print(line)


def _lines(outcome: Outcome, *, preview: bool) -> list[str]:
    lines = [f"{'would change' if preview else 'changed'}: {outcome.items} items, {outcome.votes} votes"]
    lines += [f"  {name}: {votes} votes" for name, votes in sorted(outcome.people.items())]
    if outcome.replaced:
        lines.append(f"  {outcome.replaced} votes stay aside: newer ones by the same people stand in their place")
    if outcome.too_few_people:
        lines.append(
            f"warning: {outcome.too_few_people} items want more votes than people are left who could give them"
        )
    return lines


def _some(where: list[str] | None) -> list[str]:
    if not where:
        raise UsageError("say which items with --where KEY=VALUE; this is not done to all at once")
    return where
