"""The database: schema, append-only log, quota counter, durability settings, many first starts at once."""

import subprocess
import sys
import uuid

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from dataset_tools.errors import UsageError
from labeling_app.accounts import find_row
from labeling_app.database import events
from labeling_app.database.events import Event
from labeling_app.database.store import Store, StoreError
from labeling_app.database.tables import metadata
from tests.labeling_app.helpers import ROOT, add_user, make_state


def test_migrations_make_the_tables_that_the_code_expects(db_url):
    store = Store(db_url)
    with store.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    store.close()


def test_opening_a_new_database_by_many_processes_at_once(db_url):
    program = f"from labeling_app.database.store import Store; Store({db_url!r}).close(); print('open')"
    openers = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(4)
    ]
    try:
        assert [opener.communicate(timeout=120)[0] for opener in openers] == [b"open\n"] * 4
    finally:
        for opener in openers:
            opener.kill()


@pytest.mark.parametrize("statement", ["UPDATE events SET level = 4", "DELETE FROM events", "DELETE FROM assignments"])
def test_what_happened_cannot_be_changed(db_url, manifest, statement):
    state = make_state(manifest, db_url)
    user = add_user(state.store, "anna")
    with state.store.write() as connection:
        item = connection.execute(text("SELECT MIN(id) FROM items")).scalar_one()
        _insert_assignment(connection, item, user.id, kind="work", state="voted")
        events.append(connection, Event(kind="vote", at_us=1, user_id=user.id, item_id=item, level=2))
    with pytest.raises(DBAPIError, match=r"append-only|kept"), state.store.write() as connection:
        connection.execute(text(statement))
    state.close()


@pytest.mark.parametrize(
    ("before", "after", "taken"),
    [
        (("work", "leased"), ("work", "leased"), 1),
        (("work", "leased"), ("work", "voted"), 1),
        (("work", "leased"), ("work", "skipped"), 0),
        (("work", "leased"), ("work", "released"), 0),
        (("work", "released"), ("work", "leased"), 1),
        (("work", "released"), ("work", "surplus"), 0),
        (("gold", "leased"), ("gold", "voted"), 0),
        (("repeat", "leased"), ("repeat", "voted"), 0),
    ],
)
def test_triggers_count_what_takes_a_place(db_url, manifest, before, after, taken):
    state = make_state(manifest, db_url)
    user = add_user(state.store, "anna")
    with state.store.write() as connection:
        item = connection.execute(text("SELECT MIN(id) FROM items")).scalar_one()
        _insert_assignment(connection, item, user.id, kind=before[0], state=before[1])
        connection.execute(
            text("UPDATE assignments SET kind = :kind, state = :state"), {"kind": after[0], "state": after[1]}
        )
    with state.store.read() as connection:
        assert connection.execute(text("SELECT SUM(taken) FROM items")).scalar_one() == taken
    state.close()


def test_sqlite_is_durable_and_patient(sqlite_url):
    store = Store(sqlite_url)
    with store.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")
        }
        assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # 2 is FULL
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    store.close()


@pytest.mark.postgresql
def test_a_postgresql_database_without_an_encoding(postgresql_url):
    name, engine = f"ascii_{uuid.uuid4().hex}", create_engine(postgresql_url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"))
        store = Store(engine.url.set(database=name).render_as_string())
        add_user(store, "Jürgen Łódź")
        with store.read() as reader:
            assert find_row(reader, "Jürgen Łódź")["role"] == "annotator"
        store.close()
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


def test_an_error_undoes_the_whole_transaction(db_url):
    store = Store(db_url)

    def work(connection):
        events.append(connection, Event(kind="comment", at_us=1))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        store.transact(work)
    with store.read() as connection:
        assert events.of_kind(connection, "comment") == []
    store.close()


@pytest.mark.parametrize(
    ("url", "error", "message"),
    [
        ("mysql://root@localhost/x", UsageError, "'mysql' must be sqlite"),
        ("not a url", UsageError, "is not valid"),
        ("sqlite:////nowhere/at/all/labels.sqlite", StoreError, "cannot open database"),
        ("postgresql+psycopg://postgres@/x?host=/nowhere", StoreError, "cannot open database"),
    ],
)
def test_a_wrong_url_is_one_clear_line(url, error, message):
    with pytest.raises(error, match=message):
        Store(url)


@pytest.mark.parametrize("content", [b"no database at all", bytes(range(256)) * 20])
def test_a_file_that_is_no_database_is_one_clear_line(tmp_path, content):
    (tmp_path / "labels.sqlite").write_bytes(content)
    with pytest.raises(StoreError, match=r"labels\.sqlite: file is not a database"):
        Store(f"sqlite:///{tmp_path}/labels.sqlite")


def test_a_newer_schema_is_refused(sqlite_url):
    store = Store(sqlite_url)
    with store.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    store.close()
    with pytest.raises(StoreError, match="update vfi-difficulty"):
        Store(sqlite_url)


def _insert_assignment(connection, item, user, *, kind, state):
    connection.execute(
        text(
            "INSERT INTO assignments (item_id, user_id, repeat_index, kind, state, chosen_by, claimed_at_us,"
            " lease_expires_at_us, reopened) VALUES (:item, :user, 0, :kind, :state, 'random', 1, 1, 0)"
        ),
        {"item": item, "user": user, "kind": kind, "state": state},
    )
