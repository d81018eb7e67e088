"""A database of before opens: its votes are as they were, and what the newer code needs is there."""

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

import labeling_app.database
from labeling_app.database.audit import check_consistency
from labeling_app.database.store import Store
from labeling_app.quality.stats import compute_stats

_ITEM = """
INSERT INTO items (id, item_key, triplet_id, source, clip, resolution, interval, img0_sha256, gt_sha256, img1_sha256,
    pred_sha256, overlap, taken, active)
VALUES (1, 'k', 't@256p', 'videos', 'c', '256p', 1, 'a', 'b', 'c', 'd', 3, 0, {true})
"""
_USERS = """
INSERT INTO users (id, name, role, stage, password_hash, disabled, created_at_us) VALUES
    (1, 'open', 'admin', 'work', NULL, {false}, 5), (2, 'boss', 'admin', 'work', 'hash', {false}, 5),
    (3, 'made', 'admin', 'work', NULL, {false}, 5)
"""
_ASSIGNMENT = """
INSERT INTO assignments (id, item_id, user_id, repeat_index, kind, state, chosen_by, claimed_at_us,
    lease_expires_at_us, reopened)
VALUES (1, 1, 1, 0, 'work', 'voted', 'random', 5, 5, 0)
"""
_ADDED = '{"actor_id":null,"has_password":false,"name":"x","role":"admin"}'
_EVENTS = [
    {"kind": "account_added", "user": 1, "payload": _ADDED},
    {"kind": "account_added", "user": 3, "payload": _ADDED},
    {"kind": "account_changed", "user": 3, "payload": '{"actor_id":2,"new_password":false,"role":"admin"}'},
]


@pytest.fixture
def old(db_url):
    """The URL of a database as the first version left it, with one vote and admins of several kinds."""
    engine = create_engine(db_url)
    config = Config()
    config.set_main_option("script_location", str(Path(labeling_app.database.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        words = {"true": 1, "false": 0} if engine.dialect.name == "sqlite" else {"true": "true", "false": "false"}
        for statement in (_ITEM, _USERS, _ASSIGNMENT):
            connection.execute(text(statement.format(**words)))
        insert = text("INSERT INTO events (kind, user_id, created_at_us, payload) VALUES (:kind, :user, 5, :payload)")
        connection.execute(insert, _EVENTS)
        vote = "INSERT INTO events (kind, user_id, item_id, assignment_id, stage, level, created_at_us, payload)"
        connection.execute(text(f"{vote} VALUES ('vote', 1, 1, 1, 'work', 3, 7, '{{}}')"))
    engine.dispose()
    return db_url


def test_votes_stay_and_roles_of_open_mode_end(old):
    with create_engine(old).connect() as connection:
        before = connection.execute(text("SELECT * FROM events ORDER BY id")).all()
    store = Store(old)
    with store.read() as connection:
        assert connection.execute(text("SELECT * FROM events ORDER BY id")).all()[: len(before)] == before
        assert connection.execute(text("SELECT level FROM current_votes")).scalars().all() == [3]
        roles = dict(connection.execute(text("SELECT name, role FROM users")).tuples().all())
        assert roles == {"open": "annotator", "boss": "admin", "made": "admin"}
        assert connection.execute(text("SELECT overlap, extra, taken FROM items")).all() == [(3, 0, 1)]
        check_consistency(connection)
        assert compute_stats(connection).votes == 1
    with store.write() as connection:  # new events are numbered after the old ones
        newest = connection.execute(text("SELECT MAX(id) FROM events")).scalar_one()
        fresh = "INSERT INTO events (kind, created_at_us, payload) VALUES ('export', 9, '{}') RETURNING id"
        assert connection.execute(text(fresh)).scalar_one() > newest
    store.close()
