"""``python -m labeling_app users``: add, list, token, password, disable."""

import getpass
import secrets
import sys
from typing import Annotated

import typer
from sqlalchemy import RowMapping

from dataset_tools.common.cli import new_app
from dataset_tools.errors import UsageError
from labeling_app.accounts import (
    add_account,
    change_account,
    check_name,
    list_rows,
    require_row,
    revoke_token,
    set_token,
)
from labeling_app.commands.options import DEFAULT_MANIFEST, Db, ManifestOption, open_store
from labeling_app.database.events import now_us, to_iso

users_app = new_app(help="Accounts of annotators, reviewers and admins.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name to sign in with.")]
FromStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]


@users_app.command()
def add(
    name: Name,
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    role: Annotated[str, typer.Option(help="annotator, reviewer or admin.")] = "annotator",
    password_stdin: FromStdin = False,
) -> None:
    """Add an account. Asks for the password; without a terminal it makes one up and prints it.

    Example: python -m labeling_app users add anna --role reviewer
    """
    check_name(name)
    password, shown = _new_password(password_stdin)
    store = open_store(manifest, db, create=True)
    with store.write() as connection:
        account = add_account(connection, name, now_us=now_us(), role=role, password=password)
    print(f"added {account.role} {account.name}" + (f", password {password}" if shown else ""))


@users_app.command("list")
def list_users(manifest: ManifestOption = DEFAULT_MANIFEST, db: Db = None) -> None:
    """List all accounts, one line each: name, role, stage, since when.

    Example: python -m labeling_app users list
    """
    with open_store(manifest, db).read() as connection:
        for row in list_rows(connection):
            notes = [note for note, holds in _notes(row) if holds]
            print("\t".join([row["name"], row["role"], row["stage"], to_iso(row["created_at_us"]), ", ".join(notes)]))


@users_app.command()
def token(
    name: Name,
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    revoke: Annotated[bool, typer.Option("--revoke", help="End the token, and give no new one.")] = False,
) -> None:
    """Print a new API token for an account; the old one ends.

    Example: python -m labeling_app users token anna
    """
    with open_store(manifest, db).write() as connection:
        if revoke:
            ended = revoke_token(connection, check_name(name), now_us=now_us())
            print(f"{name} has no token now" if ended else f"{name} had no token")
            return
        print(set_token(connection, check_name(name), now_us=now_us()))


@users_app.command()
def password(
    name: Name, manifest: ManifestOption = DEFAULT_MANIFEST, db: Db = None, password_stdin: FromStdin = False
) -> None:
    """Set a new password; the account's sessions end.

    Example: python -m labeling_app users password anna
    """
    fresh, shown = _new_password(password_stdin)
    with open_store(manifest, db).write() as connection:
        account = change_account(connection, check_name(name), now_us=now_us(), password=fresh)
    print(f"changed {account.name}" + (f", password {fresh}" if shown else ""))


@users_app.command()
def disable(
    name: Name,
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
    undo: Annotated[bool, typer.Option("--undo", help="Let the account in again.")] = False,
) -> None:
    """Shut an account out at once; its votes stay.

    Example: python -m labeling_app users disable anna
    """
    with open_store(manifest, db).write() as connection:
        account = change_account(connection, check_name(name), now_us=now_us(), disabled=not undo)
    print(f"{'enabled' if undo else 'disabled'} {account.name}")


@users_app.command()
def role(
    name: Name,
    role: Annotated[str, typer.Argument(help="annotator, reviewer or admin.")],
    manifest: ManifestOption = DEFAULT_MANIFEST,
    db: Db = None,
) -> None:
    """Give an account another role.

    Example: python -m labeling_app users role anna reviewer
    """
    with open_store(manifest, db).write() as connection:
        require_row(connection, check_name(name))
        change_account(connection, check_name(name), now_us=now_us(), role=role)
    print(f"{name} is {role} now")


def _new_password(from_stdin: bool) -> tuple[str, bool]:
    """Return a password, and whether it must be shown because it was made up."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n"), False
    if not sys.stdin.isatty():
        return secrets.token_urlsafe(12), True
    first = getpass.getpass("Password: ")
    if first != getpass.getpass("Again: "):
        raise UsageError("the two passwords differ; try again")
    return first, False


def _notes(row: RowMapping) -> list[tuple[str, bool]]:
    return [
        ("disabled", bool(row["disabled"])),
        ("token", row["token_sha256"] is not None),
        ("no password", row["password_hash"] is None),
    ]
