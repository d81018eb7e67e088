"""Accounts: names, roles, argon2 password hashes, tokens. Every change is an event too."""

import hashlib
import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Connection, RowMapping, delete, func, insert, select, text, update

from dataset_tools.errors import UsageError
from labeling_app.accounts.names import AccountAlikeError as AccountAlikeError
from labeling_app.accounts.names import AccountError as AccountError
from labeling_app.accounts.names import AccountNameError as AccountNameError
from labeling_app.accounts.names import alike, folded
from labeling_app.accounts.names import check_name as check_name
from labeling_app.database.events import Event, append
from labeling_app.database.tables import sessions as sessions_table  # there is a module of that name here
from labeling_app.database.tables import users

Role = Literal["annotator", "reviewer", "admin"]
Stage = Literal["training", "qualification", "work"]
ROLES = get_args(Role)
STAGES = get_args(Stage)
MIN_PASSWORD = 8
TOKEN_PREFIX = "vfi_"
_LOCK = 7_860_004  # of PostgreSQL: names are compared with all others, so one account is added or changed at a time


class LastAdminError(AccountError):
    """Nobody could administer any more."""

    code = "last_admin"


@dataclass(frozen=True)
class Account:
    """Who is signed in."""

    id: int
    name: str
    role: Role
    stage: Stage
    disabled: bool


@cache
def _hasher() -> PasswordHasher:
    # OWASP's first choice for argon2id (19 MiB, 2 passes, 1 lane): 18 ms on the reference machine.
    return PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)


@cache
def _stand_in() -> str:
    return _hasher().hash("a name that does not exist takes as long as a wrong password")


def check_role(role: str) -> str:
    """Return ``role``, or raise ``UsageError`` with the choices."""
    if role not in ROLES:
        raise UsageError(f"role {role!r} must be one of {', '.join(ROLES)}")
    return role


def add_account(
    connection: Connection,
    name: str,
    *,
    now_us: int,
    role: str = "annotator",
    password: str | None = None,
    actor_id: int | None = None,
) -> Account:
    """Create an account and return it; without a password it cannot sign in by itself.

    Raises:
        AccountError: The name is taken or not allowed, or the password is too short.
        AccountAlikeError: The name looks like another person's.
    """
    name = check_name(name)
    _lock(connection)
    taken = find_row(connection, name)
    if taken is not None:
        raise AccountError(f"name {name!r} is taken by {taken['name']!r}; choose another, or change the account")
    other = alike(name, connection.execute(select(users.c.name)).scalars())
    if other is not None:
        raise AccountAlikeError(f"name {name!r} looks like {other!r}, another person's; choose another")
    values = {
        "name": name,
        "role": check_role(role),
        "stage": STAGES[0],
        "password_hash": None if password is None else hash_password(password),
        "disabled": False,
        "created_at_us": now_us,
    }
    user_id = connection.execute(insert(users).values(values).returning(users.c.id)).scalar_one()
    details = {"name": name, "role": role, "has_password": password is not None, "actor_id": actor_id}
    append(connection, Event(kind="account_added", at_us=now_us, user_id=user_id, payload=details))
    return to_account({**values, "id": user_id})


def change_account(
    connection: Connection,
    name: str,
    *,
    now_us: int,
    role: str | None = None,
    password: str | None = None,
    disabled: bool | None = None,
    stage: str | None = None,
    actor_id: int | None = None,
) -> Account:
    """Change what is given of an account and return it.

    A new password or a disabled account ends its sessions, a new password its token, too.

    Raises:
        AccountError: No such account, or the password is too short.
        LastAdminError: Nobody could administer any more.
    """
    _lock(connection)
    row = require_row(connection, name)
    if row["role"] == "admin" and (disabled or (role is not None and role != "admin")):
        _require_other_admin(connection, row)
    plain = {"role": role and check_role(role), "disabled": disabled, "stage": stage}
    values: dict[str, Any] = {key: value for key, value in plain.items() if value is not None}
    details = {**values, "actor_id": actor_id, "new_password": password is not None}
    if password is not None:
        values |= {"password_hash": hash_password(password), "token_sha256": None}
    if password is not None or disabled:
        connection.execute(delete(sessions_table).where(sessions_table.c.user_id == row["id"]))
    if values:
        connection.execute(update(users).where(users.c.id == row["id"]).values(values))
        append(connection, Event(kind="account_changed", at_us=now_us, user_id=row["id"], payload=details))
    return to_account({**row, **values})


def set_token(connection: Connection, name: str, *, now_us: int) -> str:
    """Give an account a new API token (the old one ends) and return it; only its hash is stored."""
    row = require_row(connection, name)
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    connection.execute(update(users).where(users.c.id == row["id"]).values(token_sha256=digest(token)))
    append(connection, Event(kind="account_token", at_us=now_us, user_id=row["id"]))
    return token


def revoke_token(connection: Connection, name: str, *, now_us: int, actor_id: int | None = None) -> bool:
    """End an account's API token and return whether there was one."""
    row = require_row(connection, name)
    if row["token_sha256"] is None:
        return False
    connection.execute(update(users).where(users.c.id == row["id"]).values(token_sha256=None))
    details = {"revoked": True, "actor_id": actor_id}
    append(connection, Event(kind="account_token", at_us=now_us, user_id=row["id"], payload=details))
    return True


def verify_password(row: RowMapping | None, password: str) -> bool:
    """Return whether ``password`` opens the account; takes as long when there is no such account."""
    stored = row["password_hash"] if row is not None else None
    try:
        _hasher().verify(stored or _stand_in(), password)
    except (VerificationError, InvalidHashError):
        return False
    return stored is not None


def hash_password(password: str) -> str:
    """Return the argon2id hash of a password.

    Raises:
        AccountError: It is shorter than ``MIN_PASSWORD`` characters.
    """
    if len(password) < MIN_PASSWORD:
        raise AccountError(f"a password must have at least {MIN_PASSWORD} characters, got {len(password)}")
    return _hasher().hash(password)


def digest(token: str) -> str:
    """Return what is stored of a random token: its SHA-256 (it has too much entropy to need a slow hash)."""
    return hashlib.sha256(token.encode()).hexdigest()


def find_row(connection: Connection, name: str) -> RowMapping | None:
    """Return the stored account of that name, in whatever case it is written, or ``None``.

    A database of before may hold Anna and anna as two people: each is found by its exact name.
    """
    exact = connection.execute(select(users).where(users.c.name == name)).mappings().one_or_none()
    if exact is not None:
        return exact
    own = folded(name)
    same = [other for other in connection.execute(select(users.c.name)).scalars() if folded(other) == own]
    if len(same) != 1:
        return None
    return connection.execute(select(users).where(users.c.name == same[0])).mappings().one_or_none()


def require_row(connection: Connection, name: str) -> RowMapping:
    """Return the stored account of that name, or raise ``AccountError``."""
    row = find_row(connection, name)
    if row is None:
        raise AccountError(f"there is no account {name[:64]!r}")
    return row


def num_with_password(connection: Connection) -> int:
    """Return how many accounts can sign in by password."""
    able = users.c.password_hash.is_not(None) & ~users.c.disabled
    return connection.execute(select(func.count()).select_from(users).where(able)).scalar_one()


def list_rows(connection: Connection) -> list[RowMapping]:
    """Return all stored accounts by name."""
    return list(connection.execute(select(users).order_by(users.c.name)).mappings())


def to_account(row: RowMapping | dict) -> Account:
    """Return the public part of a stored account."""
    return Account(row["id"], row["name"], row["role"], row["stage"], bool(row["disabled"]))


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":  # SQLite has one writer anyway
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})


def _require_other_admin(connection: Connection, row: RowMapping) -> None:
    others = select(func.count()).select_from(users).where(users.c.role == "admin", ~users.c.disabled)
    if connection.execute(others.where(users.c.id != row["id"])).scalar_one() == 0 and not row["disabled"]:
        raise LastAdminError(f"{row['name']!r} is the last admin; make somebody else one first")
