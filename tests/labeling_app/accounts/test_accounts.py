"""Accounts, sessions, tokens and the brake on guessing passwords."""

import pytest
from sqlalchemy import text

from dataset_tools.errors import UsageError
from labeling_app import accounts
from labeling_app.accounts import AccountError, add_account, change_account, find_row, set_token, verify_password
from labeling_app.database.events import of_kind
from labeling_app.database.store import Store
from tests.labeling_app.helpers import PASSWORD


@pytest.fixture
def store(db_url):
    opened = Store(db_url)
    yield opened
    opened.close()


def test_passwords_are_argon2id_and_open_only_their_account(store):
    with store.write() as connection:
        add_account(connection, "anna", now_us=1, password=PASSWORD)
        add_account(connection, "proxy user", now_us=1)
    with store.read() as connection:
        anna, proxy_user = find_row(connection, "anna"), find_row(connection, "proxy user")
    assert anna["password_hash"].startswith("$argon2id$")
    assert verify_password(anna, PASSWORD)
    assert not verify_password(anna, PASSWORD + " ")
    assert not verify_password(proxy_user, "")
    assert not verify_password(None, PASSWORD)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("anna", "anna"),
        ("  anna ", "anna"),
        ("Änne Müller", "Änne Müller"),
        ("a.b@c-d+e_f", "a.b@c-d+e_f"),
        ("ａnna", "anna"),
        ("दीपिका", "दीपिका"),
    ],
)
def test_names_that_are_taken(name, kept):
    assert accounts.check_name(name) == kept


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "x" * 65,
        "<b>anna</b>",
        "${alert(1)}",
        "{{7*7}}",
        "a'; DROP TABLE users; --",
        "a\nb",
        "a\x00b",
        "../anna",
        "-x",
        "\u0301anna",
        "a" + "\u0316" * 64,
    ],
)
def test_names_that_are_refused(name):
    with pytest.raises(AccountError, match="must be 1 to 64 letters"):
        accounts.check_name(name)


def test_a_name_is_taken_once(store):
    with store.write() as connection:
        add_account(connection, "anna", now_us=1)
    with pytest.raises(AccountError, match="is taken"), store.write() as connection:
        add_account(connection, " anna", now_us=1)


def test_changes_are_events_without_secrets(store):
    with store.write() as connection:
        add_account(connection, "anna", now_us=1, password=PASSWORD)
        changed = change_account(
            connection, "anna", now_us=2, role="reviewer", password="another password", disabled=True
        )
        token = set_token(connection, "anna", now_us=3)
    assert (changed.role, changed.disabled) == ("reviewer", True)
    assert token.startswith("vfi_")
    with store.read() as connection:
        stored = connection.execute(text("SELECT * FROM users")).mappings().one()
        kinds = [kind for kind in ("account_added", "account_changed", "account_token") if of_kind(connection, kind)]
        words = " ".join(connection.execute(text("SELECT payload FROM events")).scalars())
    assert kinds == ["account_added", "account_changed", "account_token"]
    assert not {PASSWORD, "another password", token} & {*stored.values()}
    assert not any(secret in words for secret in (PASSWORD, "another password", token, stored["password_hash"]))


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"name": "nobody", "role": "admin"}, AccountError, "there is no account 'nobody'"),
        ({"name": "anna", "role": "king"}, UsageError, "role 'king' must be one of annotator, reviewer, admin"),
        ({"name": "anna", "password": "short"}, AccountError, "at least 8 characters, got 5"),
    ],
)
def test_changes_that_are_refused(store, values, error, message):
    with store.write() as connection:
        add_account(connection, "anna", now_us=1)
    with pytest.raises(error, match=message), store.write() as connection:
        change_account(connection, now_us=2, **values)
