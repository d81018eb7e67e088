"""Databases without tables: here the migrations are what is tested."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_postgresql.executors import PostgreSQLExecutor

from tests.labeling_app.postgresql import new_database


@pytest.fixture
def postgresql_url(postgresql_server: PostgreSQLExecutor) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    with new_database(postgresql_server, f"t{uuid.uuid4().hex}") as url:
        yield url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite database that is not there yet."""
    return f"sqlite:///{tmp_path / 'labels.sqlite'}"
