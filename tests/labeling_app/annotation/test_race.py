"""50 clients at once, on two servers that share one database: no vote too many, none too few, none twice."""

import threading
from collections import Counter

import pytest
from sqlalchemy import text

from labeling_app.annotation import voting
from labeling_app.annotation.claims import Claim, claim, release_expired
from labeling_app.annotation.serving import next_items
from labeling_app.database.audit import check_consistency
from labeling_app.schemas import VoteRequest
from tests.labeling_app.helpers import FakeClock, add_user, make_manifest, make_state

NUM_CLIENTS, NUM_TRIPLETS, OVERLAP = 50, 500, 3


def test_50_clients_500_triplets_overlap_3(db_url, tmp_path):
    manifest = make_manifest(tmp_path / "data", NUM_TRIPLETS)
    servers = [make_state(manifest, db_url, overlap=OVERLAP) for _ in range(2)]
    users = [add_user(servers[0].store, f"annotator {number}") for number in range(NUM_CLIENTS)]
    asked: list[tuple[int, int]] = []
    errors: list[BaseException] = []

    def label(state, user):
        try:
            while rows := next_items(state, user, count=5)[0]:
                for row in rows:
                    asked.append((user.id, row["item_id"]))
                    request = VoteRequest(
                        vote_id=f"vote-{row['id']:06d}", assignment_id=row["id"], level=1 + row["id"] % 4
                    )
                    assert voting.vote(state, user, request).counted
        except BaseException as error:
            errors.append(error)

    clients = [
        threading.Thread(target=label, args=(servers[number % 2], user), daemon=True)
        for number, user in enumerate(users)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(timeout=200)
    assert not any(client.is_alive() for client in clients)
    assert errors == []
    assert len(asked) == len(set(asked)) == NUM_TRIPLETS * OVERLAP  # exactly 1,500, none twice by one annotator
    assert set(Counter(item for _, item in asked).values()) == {OVERLAP}
    with servers[0].store.read() as connection:
        votes = connection.execute(text("SELECT item_id, COUNT(*) FROM current_votes GROUP BY item_id")).all()
        assert {count for _, count in votes} == {OVERLAP}
        assert len(votes) == NUM_TRIPLETS
        check_consistency(connection)
    for server in servers:
        server.close()


@pytest.mark.postgresql  # SQLite has one writer
def test_a_lease_does_not_run_out_while_its_vote_is_being_stored(postgresql_url, manifest, monkeypatch):
    clock = FakeClock()
    state, other = (make_state(manifest, postgresql_url, clock=clock, overlap=1, lease_seconds=60) for _ in range(2))
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    (row,), _ = next_items(state, anna, count=1)
    clock.advance(61)
    stage_of = voting._stage

    def meanwhile(connection, assignment):
        """Let another server free what has run out, and give it to ben, just when anna's vote has been looked at."""
        stage = stage_of(connection, assignment)
        wanted = Claim(ben.id, [row["item_id"]], "work", now_us=clock(), expires_us=clock() + 60_000_000)
        other.store.transact(lambda theirs: release_expired(theirs, now_us=clock()))
        assert other.store.transact(lambda theirs: claim(theirs, wanted)) is None
        return stage

    monkeypatch.setattr(voting, "_stage", meanwhile)
    request = VoteRequest(vote_id="vote-0001", assignment_id=row["id"], level=2)
    assert voting.vote(state, anna, request).counted
    with state.store.read() as connection:
        assert connection.execute(text("SELECT MAX(taken) FROM items")).scalar_one() == 1
        check_consistency(connection)
    state.close()
    other.close()
