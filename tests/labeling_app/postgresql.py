"""A real PostgreSQL server in a folder of its own, for tests and benchmarks: started, used, stopped, gone."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TIMEOUT_SECONDS = 60


@contextmanager
def running_server() -> Iterator[str]:
    """Yield the URL of a server with ``{name}`` in the place of a database; it listens on a socket, not on a port."""
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
