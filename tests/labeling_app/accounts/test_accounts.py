"""Accounts, sessions, tokens and the brake on guessing passwords."""

import pytest
from sqlalchemy import text

from dataset_tools.errors import UsageError
from labeling_app import accounts
from labeling_app.accounts import (
    AccountAlikeError,
    AccountError,
    LastAdminError,
    add_account,
    change_account,
    find_row,
    names,
    set_token,
    verify_password,
)
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


@pytest.mark.parametrize(
    ("one", "other", "same", "alike"),
    [
        ("Anna", "ANNA", True, False),
        ("Anna", "ａｎｎａ", True, False),  # full width
        ("Straße", "STRASSE", True, False),
        ("anna", "\u0430nna", False, True),  # Cyrillic a
        ("ANNA", "\u0391nna", False, True),  # Greek capital Alpha
        ("oleg", "\u043el\u0435g", False, True),
        ("anna", "änna", False, False),  # another letter, not one that looks the same
        ("anna", "anne", False, False),
        ("Иван", "иван", True, False),
    ],
)
def test_spellings_of_a_name_and_names_that_look_like_it(one, other, same, alike):
    assert (names.folded(one) == names.folded(other)) == same
    assert (names.alike(other, [one]) is not None) == alike


def test_a_name_like_another_persons_is_refused_and_spellings_are_found(store):
    with store.write() as connection:
        add_account(connection, "Anna", now_us=1)
        assert find_row(connection, "aNNA")["name"] == "Anna"
    for name, error in {"ANNA": AccountError, "\u0410nna": AccountAlikeError}.items():
        with pytest.raises(error, match="'Anna'"), store.write() as connection:
            add_account(connection, name, now_us=1)


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": "annotator"}])
def test_the_last_admin_stays(store, change):
    with store.write() as connection:
        for name, role in {"boss": "admin", "second": "admin", "anna": "annotator"}.items():
            add_account(connection, name, now_us=1, role=role)
        change_account(connection, "second", now_us=2, **change)
    with pytest.raises(LastAdminError, match="make somebody else one first"), store.write() as connection:
        change_account(connection, "boss", now_us=3, **change)
