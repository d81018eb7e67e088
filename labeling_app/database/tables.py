"""The database's tables. Facts live in ``events``, which is append-only; everything else is working state.

A vote, an undo, a skip, a comment, a verdict, a setting, a sign-in and an export are events: triggers refuse to update
or delete them. The present votes are the view ``current_votes`` (without an undo, and not set aside at the desk); those
set aside are ``excluded_votes``. ``asked`` says which items a person is to get before others. ``items`` says what
can be labelled, ``assignments`` who holds or has labelled what; a trigger keeps ``items.taken`` equal to the number of
assignments that count against the quota, so no code path can let the two drift apart.

Times are whole microseconds since 1970 UTC (``_us``), so that both databases store the same number.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

# SQLite numbers rows by itself only when the key is exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")

meta = Table(
    "meta",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("stage", String(16), nullable=False),
    Column("password_hash", Text),  # null: no sign-in by password (open mode, proxy, imported annotators)
    Column("token_sha256", String(64), unique=True),
    Column("disabled", Boolean, nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_sha256", String(64), primary_key=True),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger, nullable=False),
)

items = Table(
    "items",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("item_key", String(64), nullable=False, unique=True),
    Column("triplet_id", Text, nullable=False, index=True),
    Column("source", String(64), nullable=False),
    Column("clip", Text, nullable=False),
    Column("resolution", String(16), nullable=False),
    Column("interval", Integer, nullable=False),
    Column("img0_sha256", String(64), nullable=False),
    Column("gt_sha256", String(64), nullable=False),
    Column("img1_sha256", String(64), nullable=False),
    Column("pred_sha256", String(64), nullable=False),
    Column("rival_sha256", String(64)),  # of a paired project: the other prediction; the level is an answer then
    Column("predictor", Text),  # of a paired project: who made the two
    Column("rival_predictor", Text),
    Column("overlap", Integer, nullable=False),  # votes wanted in all
    Column("extra", Integer, nullable=False, server_default="0"),  # of these, asked for again at the desk
    Column("taken", Integer, nullable=False),  # votes plus live leases; kept by triggers on assignments
    Column("active", Boolean, nullable=False),  # in the manifest as it is now
)

assignments = Table(
    "assignments",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("item_id", Integer, ForeignKey("items.id"), nullable=False),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("repeat_index", SmallInteger, nullable=False),  # 0, or 1 for the hidden repeat
    Column("kind", String(16), nullable=False),  # work, repeat, gold, training, qualification
    Column("state", String(16), nullable=False),  # leased, voted, skipped, released, surplus, excluded
    Column("chosen_by", String(16), nullable=False),  # random or worth: the unbiased share stays known
    Column("claimed_at_us", BigInteger, nullable=False),
    Column("lease_expires_at_us", BigInteger, nullable=False),
    Column("reopened", BigInteger, nullable=False),  # id of the undo that reopened it, 0 otherwise: last one first
    UniqueConstraint("item_id", "user_id", "repeat_index", name="uq_assignments_item_user_repeat"),
    Index("ix_assignments_user_state", "user_id", "state"),
    Index(
        "ix_assignments_leases",
        "lease_expires_at_us",
        sqlite_where=text("state = 'leased'"),
        postgresql_where=text("state = 'leased'"),
    ),
)

asked = Table(
    "asked",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("item_id", Integer, ForeignKey("items.id"), nullable=False),
    Column("user_id", Integer, ForeignKey("users.id"), nullable=False),
    Column("created_at_us", BigInteger, nullable=False),
    UniqueConstraint("item_id", "user_id", name="uq_asked_item_user"),
    Index("ix_asked_user", "user_id"),
)

events = Table(
    "events",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("client_id", String(128)),  # made by the client: a retry meets the unique index, never a second event
    Column("kind", String(24), nullable=False),
    Column("user_id", Integer, ForeignKey("users.id")),
    Column("item_id", Integer, ForeignKey("items.id")),
    Column("assignment_id", _Id, ForeignKey("assignments.id")),
    Column("target_id", _Id, ForeignKey("events.id")),  # of an undo: the vote it takes back
    Column("stage", String(16)),  # of a vote: the assignment's kind, or surplus
    Column("level", SmallInteger),
    Column("seconds", Float),
    Column("flagged", Boolean),
    Column("created_at_us", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),  # JSON object with sorted keys
    UniqueConstraint("user_id", "client_id", name="uq_events_user_client"),
    Index("ix_events_user_kind", "user_id", "kind", "id"),
    Index("ix_events_item", "item_id", "id"),
    Index("ix_events_kind", "kind", "id"),
    Index("ix_events_target", "target_id"),
    Index(
        "ix_events_failures",
        "created_at_us",
        sqlite_where=text("kind = 'sign_in_failed'"),
        postgresql_where=text("kind = 'sign_in_failed'"),
    ),
    sqlite_autoincrement=True,
)

# Copied in this order by migrate and backup: a row comes after the rows it points to.
COPY_ORDER = (meta, users, sessions, items, assignments, asked, events)
