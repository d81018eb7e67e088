"""The lead's desk: votes set aside, items asked for again, items given to a person; roles of open mode end.

``current_votes`` leaves out the votes that are set aside: an ``exclude`` event points to the vote, an ``include`` event
to the exclusion it ends. ``items.extra`` are votes wanted beyond the overlap, already part of ``items.overlap``.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_COLUMNS = (
    "e.id, e.user_id, e.item_id, e.assignment_id, e.stage, e.level, e.seconds, e.flagged, e.created_at_us, e.payload"
)
_NOT_UNDONE = """
e.kind = 'vote' AND NOT EXISTS (SELECT 1 FROM events u WHERE u.kind = 'undo' AND u.target_id = e.id)
"""
_ENDED = "EXISTS (SELECT 1 FROM events y WHERE y.kind = 'include' AND y.target_id = x.id)"

_CURRENT_VOTES = f"""
CREATE VIEW current_votes AS SELECT {_COLUMNS} FROM events e WHERE {_NOT_UNDONE}
AND NOT EXISTS (SELECT 1 FROM events x WHERE x.kind = 'exclude' AND x.target_id = e.id AND NOT {_ENDED})
"""
_EXCLUDED_VOTES = f"""
CREATE VIEW excluded_votes AS
SELECT {_COLUMNS}, x.id AS exclusion_id, x.created_at_us AS excluded_at_us, x.payload AS exclusion
FROM events x JOIN events e ON e.id = x.target_id WHERE x.kind = 'exclude' AND NOT {_ENDED} AND {_NOT_UNDONE}
"""

# Open mode used to make everybody an admin for good. Who was made one by a person has an event that says so.
_OPEN_ADMINS = """
SELECT u.id FROM users u WHERE u.role = 'admin' AND u.password_hash IS NULL
AND EXISTS (SELECT 1 FROM events a WHERE a.kind = 'account_added' AND a.user_id = u.id
    AND a.payload LIKE '%"has_password"\\:false%' AND a.payload LIKE '%"role":"admin"%')
AND NOT EXISTS (SELECT 1 FROM events c WHERE c.kind = 'account_changed' AND c.user_id = u.id
    AND c.payload LIKE '%"role":%')
ORDER BY u.id
"""


def upgrade() -> None:
    """Add what the desk needs; no stored vote changes."""
    op.add_column("items", sa.Column("extra", sa.Integer, nullable=False, server_default="0"))
    op.create_table(
        "asked",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("item_id", "user_id", name="uq_asked_item_user"),
    )
    op.create_index("ix_asked_user", "asked", ["user_id"])
    failed = sa.text("kind = 'sign_in_failed'")
    op.create_index("ix_events_failures", "events", ["created_at_us"], sqlite_where=failed, postgresql_where=failed)
    op.execute("DROP VIEW current_votes")
    for statement in (_CURRENT_VOTES, _EXCLUDED_VOTES):
        op.execute(statement)
    _end_roles_of_open_mode()


def _end_roles_of_open_mode() -> None:
    bind = op.get_bind()
    for user_id in list(bind.execute(sa.text(_OPEN_ADMINS)).scalars()):
        bind.execute(sa.text("UPDATE users SET role = 'annotator' WHERE id = :id"), {"id": user_id})
        bind.execute(
            sa.text(
                "INSERT INTO events (kind, user_id, created_at_us, payload) SELECT 'account_changed', :id,"
                " created_at_us, :payload FROM events WHERE kind = 'account_added' AND user_id = :id"
            ),
            {"id": user_id, "payload": '{"actor_id":null,"reason":"role of open mode","role":"annotator"}'},
        )
