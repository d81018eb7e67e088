"""A real PostgreSQL server in a folder of its own, for tests and benchmarks: started, used, stopped, gone."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from port_for import get_port
from pytest_postgresql.executors import PostgreSQLExecutor
from pytest_postgresql.janitor import DatabaseJanitor


@contextmanager
def running_server() -> Iterator[PostgreSQLExecutor]:
    """Yield a server that trusts everybody on this machine; it does not wait for the disk."""
    folder = Path(tempfile.mkdtemp(prefix="vfi-pg-", dir="/tmp"))  # a short path: sockets allow about 100 characters
    try:
        with PostgreSQLExecutor(
            executable=_pg_ctl(folder),
            host="127.0.0.1",
            port=get_port(None),
            datadir=str(folder / "data"),
            unixsocketdir=str(folder),
            logfile=str(folder / "log"),
            startparams="-w",
            dbname="postgres",
            postgres_options="-c max_connections=300",
        ) as server:
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(server: PostgreSQLExecutor, name: str, *, template: str | None = None) -> Iterator[str]:
    """Yield the URL of a database, empty or a copy of ``template``, which is dropped in the end."""
    options = {"user": server.user, "host": server.host, "port": server.port}
    with DatabaseJanitor(**options, dbname=name, template_dbname=template):
        yield f"postgresql+psycopg://{server.user}@{server.host}:{server.port}/{name}"


def _pg_ctl(folder: Path) -> str:
    """Return the program that starts servers; for root, whom PostgreSQL refuses, a script that runs it as another."""
    debian = max(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), default=None)  # not on the PATH there
    program = str(debian or shutil.which("pg_ctl") or "")
    assert program, "the tests need PostgreSQL (Debian: apt-get install postgresql)"
    if os.getuid() != 0:
        return program
    user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
    shutil.chown(folder, user)
    script = folder / "pg_ctl"
    script.write_text(f'#!/bin/sh\ncd / && exec runuser -u {user} -- {program} "$@"\n')  # root's folder may be closed
    script.chmod(0o755)
    return str(script)
