"""The database behind the bench: SQLite (WAL, synced) or PostgreSQL, one way to read and one way to write.

``Store.write()`` is a transaction that is on disk when the block ends. On SQLite it begins IMMEDIATE, and writers of
one process queue on a lock: that costs a fraction of a millisecond, while SQLite's busy handler sleeps up to 100.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, OperationalError

from dataset_tools.common.extras import require
from dataset_tools.errors import UsageError, VfiError

BUSY_TIMEOUT_SECONDS = 30.0  # commands beside the server, and migrations, write too
ATTEMPTS = 5  # 10, 20, 40 and 80 ms apart
_UPGRADE_LOCK = 7_860_001  # arbitrary, the same in every process: PostgreSQL's advisory lock around migrations
_RETRY_STATES = {"40001", "40P01"}  # serialization failure, deadlock: the transaction did nothing and may run again

_UPGRADING = threading.Lock()  # Alembic keeps its context in a module: one thread of a process at a time

T = TypeVar("T")


class StoreError(VfiError):
    """The database cannot be opened, is of a newer version, or refuses a statement."""


class Store:
    """A database with the bench's schema.

    Attributes:
        url: SQLAlchemy URL.
        is_sqlite: SQLite, else PostgreSQL.
    """

    def __init__(self, url: str, *, create: bool = True) -> None:
        """Open ``url`` and bring its schema up to date; safe when many processes open a new database at once.

        Raises:
            UsageError: The URL is neither SQLite nor PostgreSQL.
            StoreError: The database is missing (with ``create=False``), unreachable, or of a newer version.
        """
        self.url = url
        self.engine = _create_engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writer = threading.Lock()
        if not create and not database_exists(url):
            database = self.engine.url.database
            raise StoreError(f"database {database} does not exist; label something first, or name another with --db")
        try:
            if self.is_sqlite:
                _use_wal(self.engine)
            self._upgrade()
        except (OperationalError, DBAPIError) as error:
            self.engine.dispose()
            raise StoreError(f"cannot open database {self.engine.url!r}: {error.orig}") from error

    @contextmanager
    def read(self, *, snapshot: bool = False) -> Iterator[Connection]:
        """Yield a connection for reading; with ``snapshot`` all its statements see one committed state."""
        with self.engine.connect() as connection:
            if snapshot and not self.is_sqlite:  # a SQLite transaction is a snapshot by itself
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a write transaction; committed to disk when the block ends, undone on an error."""
        with ExitStack() as stack:
            if self.is_sqlite:
                stack.enter_context(self._writer)  # before a connection is taken: who waits here holds none
            connection = stack.enter_context(self.engine.connect())
            if self.is_sqlite:
                # A transaction that begins by reading cannot become a writer once another has written meanwhile: SQLite
                # answers "locked" at once, whatever the timeout.
                connection.execution_options(immediate=True)
            stack.enter_context(connection.begin())
            yield connection

    def transact(self, work: Callable[[Connection], T]) -> T:
        """Return ``work(connection)`` from one write transaction, run again after a deadlock or a lost race.

        So ``work`` must change nothing outside the database: a second run starts from the database alone.
        """
        for attempt in range(ATTEMPTS):
            try:
                with self.write() as connection:
                    return work(connection)
            except DBAPIError as error:
                if attempt + 1 == ATTEMPTS or not _may_run_again(error):
                    raise
                time.sleep(0.01 * 2**attempt)
        raise AssertionError("unreachable")

    def lock_user(self, connection: Connection, user_id: int) -> None:
        """Let one transaction per annotator run at a time; SQLite has one writer anyway.

        For replicas: the lock in ``ServerState`` holds for the threads of one process only. It is an advisory lock, for
        FOR UPDATE on the user's row would also hold up every insert that points at it by a foreign key.
        """
        if not self.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:space, :user)"), {"space": 7860, "user": user_id})

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def _upgrade(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        # Schema and version in one transaction: a kill in the middle leaves the old schema, and of many processes that
        # start at once the first one upgrades while the others wait, and then find nothing to do.
        with _UPGRADING, self.write() as connection:
            if not self.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                raise StoreError(f"database {self.engine.url!r}: {error}; update vfi-difficulty") from error


def database_exists(url: str) -> bool:
    """Return whether there is a database to open; of PostgreSQL only opening it can tell, so yes."""
    engine = _create_engine(url)
    database = engine.url.database
    return engine.dialect.name != "sqlite" or not database or Path(database).exists()


def _create_engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
        if backend not in ("sqlite", "postgresql"):
            raise UsageError(f"database {backend!r} must be sqlite:///FILE or postgresql+psycopg://USER@HOST/NAME")
        if backend == "postgresql" and parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        # One for each of the web server's 40 threads, and two such servers stay below PostgreSQL's default of 100.
        options: dict[str, Any] = {"pool_size": 10, "max_overflow": 34, "pool_pre_ping": backend == "postgresql"}
        if backend == "postgresql":  # a server set up without a locale says SQL_ASCII and would give bytes for texts
            options["connect_args"] = {"client_encoding": "utf8"}
            require("psycopg")
        engine = create_engine(parsed, **options)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(f"database URL {url!r} is not valid: {error}") from error
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own transactions begin too late (at the first INSERT); None leaves BEGIN to us.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_SECONDS * 1000)}")
    cursor.execute("PRAGMA synchronous = FULL")  # in WAL mode NORMAL may lose the last commits in a power cut
    cursor.execute("PRAGMA foreign_keys = ON")  # off by default, and per connection
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # Reads begin plainly: beside WAL's writer they see the last commit and make nobody wait.
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _use_wal(engine: Engine) -> None:
    # Changing the journal mode needs the database alone and ignores busy_timeout, so several first starts retry here.
    deadline = time.monotonic() + BUSY_TIMEOUT_SECONDS
    while True:
        try:
            with closing(engine.raw_connection()) as raw:
                cursor = raw.cursor()
                if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                    cursor.execute("PRAGMA journal_mode = WAL")
                cursor.close()
                return
        except engine.dialect.loaded_dbapi.DatabaseError as error:  # also a file that is no database
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise StoreError(f"cannot open database {engine.url.database}: {error}") from error
            time.sleep(0.02)


def _may_run_again(error: DBAPIError) -> bool:
    # A unique key met: somebody else wrote the same row first, and the next try will find it.
    if isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in _RETRY_STATES:
        return True
    return isinstance(error, OperationalError) and "database is locked" in str(error.orig)
