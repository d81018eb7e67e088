"""The first schema: tables, the append-only triggers, the quota triggers and the view of current votes.

A released migration never changes, so the tables are spelt out here and not taken from
``labeling_app.database.tables``; a test compares the two.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_CURRENT_VOTES = """
CREATE VIEW current_votes AS
SELECT e.id, e.user_id, e.item_id, e.assignment_id, e.stage, e.level, e.seconds, e.flagged, e.created_at_us, e.payload
FROM events e
WHERE e.kind = 'vote' AND NOT EXISTS (SELECT 1 FROM events u WHERE u.kind = 'undo' AND u.target_id = e.id)
"""

_COUNTS = "({row}.kind = 'work' AND {row}.state IN ('leased', 'voted'))"

_SQLITE_TRIGGERS = (
    "CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events is append-only'); END",
    "CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events is append-only'); END",
    "CREATE TRIGGER assignments_no_delete BEFORE DELETE ON assignments"
    " BEGIN SELECT RAISE(ABORT, 'assignments are kept'); END",
    f"CREATE TRIGGER assignments_taken_insert AFTER INSERT ON assignments WHEN {_COUNTS.format(row='NEW')}"
    " BEGIN UPDATE items SET taken = taken + 1 WHERE id = NEW.item_id; END",
    f"CREATE TRIGGER assignments_taken_update AFTER UPDATE ON assignments"
    f" WHEN {_COUNTS.format(row='NEW')} <> {_COUNTS.format(row='OLD')}"
    f" BEGIN UPDATE items SET taken = taken + {_COUNTS.format(row='NEW')} - {_COUNTS.format(row='OLD')}"
    " WHERE id = NEW.item_id; END",
)

_POSTGRESQL_TRIGGERS = (
    "CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$"
    " BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$",
    "CREATE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
    "CREATE TRIGGER assignments_no_delete BEFORE DELETE ON assignments FOR EACH ROW EXECUTE FUNCTION refuse_change()",
    f"""CREATE FUNCTION count_taken() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE change integer := {_COUNTS.format(row="NEW")}::integer;
    BEGIN
        IF TG_OP = 'UPDATE' THEN change := change - {_COUNTS.format(row="OLD")}::integer; END IF;
        IF change <> 0 THEN UPDATE items SET taken = taken + change WHERE id = NEW.item_id; END IF;
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER assignments_taken AFTER INSERT OR UPDATE ON assignments"
    " FOR EACH ROW EXECUTE FUNCTION count_taken()",
)


def upgrade() -> None:
    """Create everything."""
    _create_accounts()
    _create_work()
    _create_events()
    triggers = _SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_TRIGGERS
    for statement in (*triggers, _CURRENT_VOTES):
        op.execute(statement)


def _create_accounts() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("stage", sa.String(16), nullable=False),
        sa.Column("password_hash", sa.Text),
        sa.Column("token_sha256", sa.String(64), unique=True),
        sa.Column("disabled", sa.Boolean, nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sessions",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("expires_at_us", sa.BigInteger, nullable=False),
    )


def _create_work() -> None:
    op.create_table(
        "items",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("item_key", sa.String(64), nullable=False, unique=True),
        sa.Column("triplet_id", sa.Text, nullable=False, index=True),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("clip", sa.Text, nullable=False),
        sa.Column("resolution", sa.String(16), nullable=False),
        sa.Column("interval", sa.Integer, nullable=False),
        *(sa.Column(f"{name}_sha256", sa.String(64), nullable=False) for name in ("img0", "gt", "img1", "pred")),
        sa.Column("overlap", sa.Integer, nullable=False),
        sa.Column("taken", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
    )
    op.create_table(
        "assignments",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id"), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id"), nullable=False),
        sa.Column("repeat_index", sa.SmallInteger, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("chosen_by", sa.String(16), nullable=False),
        sa.Column("claimed_at_us", sa.BigInteger, nullable=False),
        sa.Column("lease_expires_at_us", sa.BigInteger, nullable=False),
        sa.Column("reopened", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("item_id", "user_id", "repeat_index", name="uq_assignments_item_user_repeat"),
    )
    op.create_index("ix_assignments_user_state", "assignments", ["user_id", "state"])
    leased = sa.text("state = 'leased'")
    op.create_index(
        "ix_assignments_leases",
        "assignments",
        ["lease_expires_at_us"],
        sqlite_where=leased,
        postgresql_where=leased,
    )


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("client_id", sa.String(128)),
        sa.Column("kind", sa.String(24), nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id")),
        sa.Column("item_id", sa.Integer, sa.ForeignKey("items.id")),
        sa.Column("assignment_id", _ID, sa.ForeignKey("assignments.id")),
        sa.Column("target_id", _ID, sa.ForeignKey("events.id")),
        sa.Column("stage", sa.String(16)),
        sa.Column("level", sa.SmallInteger),
        sa.Column("seconds", sa.Float),
        sa.Column("flagged", sa.Boolean),
        sa.Column("created_at_us", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.UniqueConstraint("user_id", "client_id", name="uq_events_user_client"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_user_kind", "events", ["user_id", "kind", "id"])
    op.create_index("ix_events_item", "events", ["item_id", "id"])
    op.create_index("ix_events_kind", "events", ["kind", "id"])
    op.create_index("ix_events_target", "events", ["target_id"])
