"""Databases to test on: SQLite, and a real PostgreSQL server that lives as long as the test session."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.labeling_app.helpers import make_manifest

_TIMEOUT_SECONDS = 60


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server without a database name; it listens on a socket in a folder of its own."""
    programs = _find_programs()
    folder = Path(tempfile.mkdtemp(prefix="vfi-pg-", dir="/tmp"))  # a short path: sockets allow about 100 characters
    try:
        as_user = _unprivileged(folder)
        _call([*as_user, programs / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=trust", "--no-sync",
               "--encoding=UTF8", "--locale=C"])  # fmt: skip
        # Durability is PostgreSQL's own affair; the tests kill the application, not the machine.
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=300"
        control = [*as_user, programs / "pg_ctl", "-D", folder / "data", "-w", "-t", str(_TIMEOUT_SECONDS)]
        _call([*control, "-l", folder / "log", "-o", options, "start"])
        try:
            yield f"postgresql+psycopg://postgres@/{{name}}?host={folder}"
        finally:
            _call([*control, "-m", "immediate", "stop"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database."""
    name = f"t{uuid.uuid4().hex}"
    engine = create_engine(postgresql_server.format(name="postgres"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield postgresql_server.format(name=name)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a new SQLite database."""
    return f"sqlite:///{tmp_path / 'labels.sqlite'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def db_url(request: pytest.FixtureRequest) -> str:
    """The URL of a new, empty database: every test runs on both kinds."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A manifest of 42 triplets over 7 clips."""
    return make_manifest(tmp_path / "data", 42)


def _find_programs() -> Path:
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    assert found, "the tests need PostgreSQL (Debian: apt-get install postgresql)"
    return Path(found).resolve().parent


def _unprivileged(folder: Path) -> list[str]:
    """Return the words before a command that make it run as somebody other than root, who PostgreSQL refuses."""
    if os.getuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = "postgres" if "postgres" in names else "nobody"
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return ["runuser", "-u", user, "--"]


def _call(command: list[str | Path]) -> None:
    # Output goes to a file: a server that inherited our pipe would keep pytest's caller waiting for its end.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_SECONDS,
            cwd="/",
            check=False,
        )
        output.seek(0)
        assert done.returncode == 0, f"{command[-1]}: {output.read().decode(errors='replace')}"
