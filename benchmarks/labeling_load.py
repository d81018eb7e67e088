"""A full labelling day in a minute: ``python -m benchmarks.labeling_load [--postgresql]``.

Starts the real application (page and all) on 13,030 triplets, signs 50 annotators in at once, and lets each give one
vote every 2 s as the page does: a vote, then the next item. Prints the waiting times as a browser would see them, then
reads the database and checks that every acknowledged vote is there exactly once. Exit code 1 when one is not, or when
any request failed.
"""

import argparse
import asyncio
import contextlib
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import httpx
from sqlalchemy import text

from labeling_app.accounts import add_account
from labeling_app.database.audit import check_consistency
from labeling_app.database.store import Store
from tests.labeling_app.helpers import PASSWORD, first_line, make_manifest
from tests.labeling_app.postgresql import new_database, running_server

VOTE_EVERY_SECONDS = 2.0
PREFETCH = 5


class Load:
    """What the annotators did and how long they waited, in milliseconds per route."""

    def __init__(self) -> None:
        self.waits_ms: dict[str, list[float]] = defaultdict(list)
        self.acknowledged: list[str] = []
        self.errors: list[str] = []

    async def send(self, http: httpx.AsyncClient, route: str, body: dict) -> dict:
        """Send one request, note how long the answer took, and return it."""
        started = time.perf_counter()
        try:
            answer = await http.post(route, json=body)
        except httpx.HTTPError as error:
            self.errors.append(f"{route}: {error!r}")
            return {}
        self.waits_ms[route].append((time.perf_counter() - started) * 1000)
        if answer.status_code != 200:
            self.errors.append(f"{route}: {answer.status_code} {answer.text[:200]}")
            return {}
        return answer.json()

    async def annotate(self, url: str, name: str, rng: random.Random, until: float) -> None:
        """Sign in, then vote every 2 s (give or take a fifth) until the time is over."""
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            session = await self.send(http, "/signin", {"name": name, "password": PASSWORD})
            http.headers["X-CSRF-Token"] = session.get("csrf", "")
            waiting = (await self.send(http, "/api/items", {"count": PREFETCH})).get("items", [])
            await asyncio.sleep(rng.uniform(0, VOTE_EVERY_SECONDS))
            while waiting and time.monotonic() < until:
                vote = {"vote_id": uuid.uuid4().hex, "assignment_id": waiting[0]["assignment_id"], "seconds": 2.0}
                answer = await self.send(http, "/api/votes", {**vote, "level": rng.randint(1, 4)})
                if answer.get("accepted"):
                    self.acknowledged.append(vote["vote_id"])
                waiting = (await self.send(http, "/api/items", {"count": PREFETCH})).get("items", [])
                await asyncio.sleep(VOTE_EVERY_SECONDS * rng.uniform(0.8, 1.2))


@contextlib.contextmanager
def database(args: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the URL of a new, empty database."""
    if not args.postgresql:
        yield f"sqlite:///{folder / 'labels.sqlite'}"
        return
    with running_server() as server, new_database(server, "labels") as url:
        yield url


@contextlib.contextmanager
def application(manifest: Path, db_url: str) -> Iterator[str]:
    """Yield the address of the running application."""
    command = [sys.executable, "-m", "labeling_app", "--manifest", str(manifest), "--db", db_url, "--port", "0"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield first_line(process).split(" on ")[1].split()[0]
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
        finally:
            process.kill()


def add_annotators(db_url: str, count: int) -> list[str]:
    """Add accounts with passwords and return their names."""
    store = Store(db_url)
    names = [f"annotator {number}" for number in range(count)]
    for name in names:
        with store.write() as connection:
            add_account(connection, name, now_us=time.time_ns() // 1000, password=PASSWORD)
    store.close()
    return names


async def run_load(load: Load, url: str, names: list[str], seconds: float) -> None:
    """Let all annotators work at once."""
    until = time.monotonic() + seconds
    workers = [load.annotate(url, name, random.Random(name), until) for name in names]
    await asyncio.gather(*workers)


def check(load: Load, db_url: str) -> list[str]:
    """Return what is wrong: failed requests, lost or doubled votes."""
    store = Store(db_url)
    with store.read() as connection:
        stored = list(connection.execute(text("SELECT client_id FROM events WHERE kind = 'vote'")).scalars())
        check_consistency(connection)
    store.close()
    faults = load.errors[:5]
    if sorted(stored) != sorted(load.acknowledged):
        faults.append(f"{len(load.acknowledged)} votes acknowledged, {len(stored)} stored")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--annotators", type=int, default=50)
    parser.add_argument("--triplets", type=int, default=13_030)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--postgresql", action="store_true", help="on a PostgreSQL server started for this run")
    args = parser.parse_args()
    load = Load()
    with tempfile.TemporaryDirectory() as name:
        manifest = make_manifest(Path(name) / "data", args.triplets)
        with database(args, Path(name)) as db_url:
            names = add_annotators(db_url, args.annotators)
            with application(manifest, db_url) as url:
                asyncio.run(run_load(load, url, names, args.seconds))
            faults = check(load, db_url)
    kind = "PostgreSQL" if args.postgresql else "SQLite"
    print(f"{kind}: {args.annotators} annotators, {args.triplets} triplets, {len(load.acknowledged)} votes")
    for route, waits in load.waits_ms.items():
        steps = statistics.quantiles(waits, n=100) if len(waits) > 1 else [waits[0]] * 99
        figures = "   ".join(f"{name} {steps[at]:6.1f} ms" for name, at in (("median", 49), ("p95", 94), ("p99", 98)))
        print(f"{route:12} {figures}   ({len(waits)})")
    print("\n".join(faults) if faults else "no error, no lost or doubled vote")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
