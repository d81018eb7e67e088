"""A database moves whole, in both directions, and a backup taken while people vote is consistent."""

import sqlite3
import threading
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from dataset_tools.errors import UsageError
from labeling_app.accounts import require_row, to_account
from labeling_app.annotation import voting
from labeling_app.annotation.serving import next_items
from labeling_app.database.audit import AuditError, check_consistency, history, to_lines
from labeling_app.database.backup import BackupError, backup
from labeling_app.database.copying import CopyingError, copy_database, digest
from labeling_app.database.store import Store
from labeling_app.database.tables import COPY_ORDER
from labeling_app.schemas import VoteRequest
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_state


@pytest.fixture
def state(db_url, manifest):
    """A database in the middle of things: votes, an undo, a skip, a comment, leases, a session, a late vote."""
    opened = make_state(manifest, db_url)
    add_user(opened.store, "anna", password=PASSWORD)
    ben = add_user(opened.store, "ben")
    client = Client(opened)
    client.sign_in("anna")
    for number, item in enumerate(client.items(5)):
        client.vote(item, 1 + number % 4, comment="Grüße, ${x} '\u2028'", view={"dwell_seconds": {"flicker": 1.25}})
    client.post("/api/undo", {"undo_id": "undo-00001"})
    held = client.items(5)
    client.post("/api/skips", {"skip_id": "skip-00001", "assignment_id": held[1]["assignment_id"], "reason": "x"})
    next_items(opened, ben, count=3)
    yield opened
    opened.close()


def test_migrate_to_the_other_database_and_go_on(request, state, manifest, tmp_path):
    to_sqlite = not state.store.is_sqlite
    there = f"sqlite:///{tmp_path}/there.sqlite" if to_sqlite else request.getfixturevalue("postgresql_url")
    copy = Store(there)
    digests = copy_database(state.store, copy)
    for table in COPY_ORDER:
        with state.store.read() as ours, copy.read() as theirs:
            assert digest(ours, table) == digest(theirs, table) == digests[table.name]
    assert digests["events"].rows > 8
    with pytest.raises(CopyingError, match="must be empty"):
        copy_database(state.store, copy)
    copy.close()
    # The session still holds, the held items come first, and new rows get new numbers.
    moved = make_state(manifest, there)
    client = Client(moved)
    assert client.sign_in("anna").status_code == 200
    before = [row["id"] for row in next_items(state, account(state, "anna"), count=5)[0]]
    items = client.items(5)
    assert [item["assignment_id"] for item in items] == before
    assert client.vote(items[0], vote_id="after-the-move").json()["counted"]
    with moved.store.read() as connection:
        check_consistency(connection)
    moved.close()


def test_a_copy_that_differs_leaves_nothing(state, tmp_path):
    copy = Store(f"sqlite:///{tmp_path}/there.sqlite")
    with copy.write() as connection:
        connection.execute(
            text("CREATE TRIGGER spoil AFTER INSERT ON users BEGIN UPDATE users SET role = 'admin'; END")
        )
    with pytest.raises(CopyingError, match="table users differs after copying"):
        copy_database(state.store, copy)
    with copy.read() as connection:
        assert [digest(connection, table).rows for table in COPY_ORDER] == [0] * len(COPY_ORDER)
    copy.close()


def test_a_backup_while_people_vote_is_consistent(state, tmp_path):
    anna, stop = account(state, "anna"), threading.Event()

    def keep_voting():
        while not stop.is_set():
            for row in next_items(state, anna, count=2)[0]:
                request = VoteRequest(vote_id=f"vote-{row['id']}-{state.clock()}", assignment_id=row["id"], level=2)
                voting.vote(state, anna, request)
                voting.undo(state, anna, f"undo-{state.clock()}")

    voter = threading.Thread(target=keep_voting, daemon=True)
    voter.start()
    try:
        files = [tmp_path / "backups" / f"{number}.sqlite" for number in range(3)]
        sizes = [backup(state.store, file) for file in files]
    finally:
        stop.set()
        voter.join(60)
    assert not voter.is_alive()
    assert min(sizes) > 0
    assert sorted(path.name for path in files[0].parent.iterdir()) == ["0.sqlite", "1.sqlite", "2.sqlite"]
    counts = []
    for file in files:
        copy = Store(f"sqlite:///{file}")
        with copy.read() as connection:
            check_consistency(connection)
            counts.append(connection.execute(text("SELECT COUNT(*) FROM events")).scalar_one())
        copy.close()
    assert counts == sorted(counts)
    with pytest.raises(UsageError, match="exists; name a new file"):
        backup(state.store, files[0])


def test_a_full_disk_leaves_no_backup(sqlite_url, tmp_path, monkeypatch):
    def connect(path):
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA max_page_count = 3")  # SQLite then says what it says of a full disk
        return connection

    monkeypatch.setattr("labeling_app.database.backup.sqlite3", SimpleNamespace(connect=connect, Error=sqlite3.Error))
    store = Store(sqlite_url)
    with pytest.raises(BackupError, match=r"cannot write backup .*full"):
        backup(store, tmp_path / "backups" / "full.sqlite")
    assert list((tmp_path / "backups").iterdir()) == []
    store.close()


def test_audit_tells_the_whole_story(state):
    with state.store.read() as connection:
        undone = connection.execute(text("SELECT item_id FROM events WHERE kind = 'undo'")).scalar_one()
        triplet_id = state.catalogue.by_id[undone].triplet_id
        events = history(connection, triplet_id)
        with pytest.raises(AuditError, match="is not in the database"):
            history(connection, "videos/none/0-1-2@256p")
    assert [event["kind"] for event in events] == ["vote", "undo"]
    assert events[1]["takes_back"] == events[0]["event"]
    assert (events[0]["who"], events[0]["level"], events[0]["comment"][:5]) == ("anna", 1, "Grüße")
    lines = list(to_lines(events))
    assert len(lines) == 2
    assert all(line.isascii() and line.isprintable() for line in lines)


def test_audit_finds_what_contradicts_the_log(sqlite_url, state, tmp_path):
    file = tmp_path / "copy.sqlite"
    backup(state.store, file)
    for damage in (
        "UPDATE items SET taken = taken + 1 WHERE id = 1",
        "UPDATE assignments SET state = 'skipped' WHERE id = 1",
        "INSERT INTO events (kind, user_id, item_id, assignment_id, stage, level, created_at_us, payload) SELECT"
        " 'vote', user_id, item_id, id, kind, 2, 1, '{}' FROM assignments WHERE state = 'voted' LIMIT 1",
    ):
        with sqlite3.connect(file) as connection:
            connection.execute(damage)
        connection.close()
        copy = Store(f"sqlite:///{file}")
        with copy.read() as reading, pytest.raises(AuditError, match="contradicts the log"):
            check_consistency(reading)
        copy.close()


def account(state, name):
    with state.store.read() as connection:
        return to_account(require_row(connection, name))
