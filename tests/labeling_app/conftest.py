"""Databases to test on: SQLite, and a real PostgreSQL server that lives as long as the test session."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_postgresql.executors import PostgreSQLExecutor

from labeling_app.database.store import Store
from tests.labeling_app.helpers import make_manifest
from tests.labeling_app.postgresql import new_database, running_server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQLExecutor]:
    """A PostgreSQL server, one for all tests."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def _postgresql_schema(postgresql_server: PostgreSQLExecutor) -> Iterator[str]:
    with new_database(postgresql_server, "with_schema") as url:
        Store(url).close()
        yield "with_schema"


@pytest.fixture(scope="session")
def _sqlite_schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schema") / "labels.sqlite"
    Store(f"sqlite:///{path}").close()
    return path


# Copies of one database with the schema: migrations take longer than most tests. Those in database/ get empty ones.
@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQLExecutor, _postgresql_schema: str) -> Iterator[str]:
    """The URL of a new PostgreSQL database."""
    with new_database(postgresql_server, f"t{uuid.uuid4().hex}", template=_postgresql_schema) as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path, _sqlite_schema: Path) -> str:
    """The URL of a new SQLite database."""
    return f"sqlite:///{shutil.copy(_sqlite_schema, tmp_path)}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def db_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new database: every test runs on both kinds."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest of 42 triplets over 7 clips."""
    return make_manifest(tmp_path / "data", 42)
