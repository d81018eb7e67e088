"""Give votes from a program: python examples/vote_by_api.py http://127.0.0.1:7860 TOKEN

The token is what `python -m labeling_app users token NAME` prints.
"""

import sys
import uuid
from typing import Any

import httpx


def level_of(item: dict[str, Any], server: httpx.Client) -> int:
    """Return a level from 1 to 4: here by how many bytes the predicted frame has. A person, or a model, does better."""
    return 1 + len(server.get(item["images"]["pred"]).content) % 4


def main(url: str, token: str) -> None:
    """Lease items one by one, vote on each, and stop when none is left."""
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as server:
        while items := server.post("/api/items", json={"count": 1}).raise_for_status().json()["items"]:
            vote = {
                "vote_id": uuid.uuid4().hex,  # sent again with the same id after a lost answer, a vote counts once
                "assignment_id": items[0]["assignment_id"],
                "level": level_of(items[0], server),
            }
            server.post("/api/votes", json=vote).raise_for_status()
        print(server.get("/api/progress").json())


if __name__ == "__main__":
    main(*sys.argv[1:])
