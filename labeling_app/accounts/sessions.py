"""Sessions: a random token in the browser's cookie, its hash in the database, and an end."""

import secrets

from sqlalchemy import Connection, delete, insert

from labeling_app.accounts import digest
from labeling_app.database.tables import sessions

SESSION_SECONDS = 30 * 24 * 3600
_US = 1_000_000


def open_session(connection: Connection, user_id: int, *, now_us: int) -> str:
    """Create a session and return its token, for the cookie; sessions that ran out go."""
    connection.execute(delete(sessions).where(sessions.c.expires_at_us < now_us))
    token = secrets.token_urlsafe(32)
    values = {
        "token_sha256": digest(token),
        "user_id": user_id,
        "created_at_us": now_us,
        "expires_at_us": now_us + SESSION_SECONDS * _US,
    }
    connection.execute(insert(sessions).values(values))
    return token


def close_session(connection: Connection, token: str) -> None:
    """End one session."""
    connection.execute(delete(sessions).where(sessions.c.token_sha256 == digest(token)))
