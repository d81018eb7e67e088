"""How fast the lead's list answers: 13,030 items with 100,000 votes in SQLite, page by page.

    python -m benchmarks.desk_list

The first page after something happened reads all votes; the others come from memory.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sqlalchemy import insert, text

from labeling_app.annotation.state import ServerState, open_state
from labeling_app.database.tables import assignments, events
from labeling_app.desk.reading import desk_table, page_of
from labeling_app.desk.selection import Selection
from labeling_app.settings import Settings
from tests.labeling_app.helpers import add_user, make_manifest

PEOPLE = 10
PAGES = {
    "first page": {},
    "sorted by spread": {"sort": "spread", "descending": True},
    "page 200": {"page": 200},
    "disputed": {"where": {"status": "disputed"}},
    "one person, flagged": {"where": {"person": "p3", "flagged": "yes"}},
}


def fill(state: ServerState, votes: int) -> None:
    """Store ``votes`` votes of ten people, as the log would have them."""
    rng = np.random.default_rng(0)
    people = [add_user(state.store, f"p{number}") for number in range(PEOPLE)]
    pairs = [(item, person) for item in state.catalogue.ids.tolist() for person in people]
    chosen = [pairs[index] for index in rng.permutation(len(pairs))[:votes]]
    with state.store.write() as connection:
        common = {"repeat_index": 0, "kind": "work", "state": "voted", "chosen_by": "random", "claimed_at_us": 1}
        rows = [
            {**common, "item_id": item, "user_id": person.id, "lease_expires_at_us": 1, "reopened": 0}
            for item, person in chosen
        ]
        connection.execute(insert(assignments), rows)
        ids = connection.execute(text("SELECT id, item_id, user_id FROM assignments ORDER BY id")).all()
        given = [
            {
                "kind": "vote", "user_id": row.user_id, "item_id": row.item_id, "assignment_id": row.id,
                "stage": "work", "level": int(rng.integers(1, 5)), "seconds": 3.0, "flagged": bool(rng.random() < 0.02),
                "created_at_us": 1_800_000_000_000_000 + row.id, "client_id": f"v{row.id}",
                "payload": '{"chosen_by":"random","comment":null,"view":{"mode":"flicker","zoom":1.0}}',
            }
            for row in ids
        ]  # fmt: skip
        connection.execute(insert(events), given)


def seconds_of(state: ServerState, *, where: dict[str, str] | None = None, sort: str = "triplet_id",
               descending: bool = False, page: int = 0) -> float:  # fmt: skip
    """Return how long one page of the list takes."""
    begun = time.perf_counter()
    with state.store.read(snapshot=True) as connection:
        table = desk_table(state, connection)
    page_of(table, Selection(where or {}), sort=sort, descending=descending, page=page, size=50)
    return time.perf_counter() - begun


def main() -> int:
    """Print a table of times in milliseconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=13_030)
    parser.add_argument("--votes", type=int, default=100_000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        state = open_state(Settings(make_manifest(Path(folder), args.items), gold_rate=0, repeat_rate=0))
        fill(state, args.votes)
        print(f"{args.items} items, {args.votes} votes\n\n| page | median, ms |\n| --- | --- |")
        print(f"| after a vote, everything read anew | {seconds_of(state) * 1000:.0f} |")
        for name, options in PAGES.items():
            times = [seconds_of(state, **options) for _ in range(7)]
            print(f"| {name} | {statistics.median(times) * 1000:.0f} |")
        state.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
