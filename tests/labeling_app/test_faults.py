"""The server is killed again and again while ten annotators vote: no acknowledged vote is lost, none is doubled.

VFI_TEST_KILLS=50 python -m pytest tests/labeling_app/test_faults.py     the full proof, on both databases
"""

import os
import random
import threading
import uuid

import httpx
import pytest
from sqlalchemy import event, text

from labeling_app.accounts import add_account, set_token
from labeling_app.annotation.state import open_state
from labeling_app.database.audit import check_consistency
from labeling_app.database.store import Store
from labeling_app.settings import Settings
from tests.labeling_app.helpers import ApiServer, Client, make_manifest, make_state

NUM_ANNOTATORS = 10
FEWEST_VOTES, MOST_VOTES = 5, 60  # acknowledged between two kills: from the first moments on to well under way
TIMEOUT_SECONDS = 120.0


class Crowd:
    """Scripted annotators that vote through retries until told to stop."""

    def __init__(self, url: str, tokens: list[str]) -> None:
        self.acknowledged: list[tuple[str, int]] = []
        self.errors: list[str] = []
        self._url, self._stop, self._changed = url, threading.Event(), threading.Condition()
        self._threads = [threading.Thread(target=self._label, args=(token,), daemon=True) for token in tokens]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def wait_for_more(self, votes: int) -> None:
        """Wait until ``votes`` more are acknowledged."""
        with self._changed:
            wanted = len(self.acknowledged) + votes
            assert self._changed.wait_for(lambda: len(self.acknowledged) >= wanted or self.errors, TIMEOUT_SECONDS)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(TIMEOUT_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads)

    def _label(self, token: str) -> None:
        level = 0
        with httpx.Client(base_url=self._url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as http:
            while not self._stop.is_set():
                for item in self._retry(http, "/api/items", {"count": 5}).get("items", []):
                    level = level % 4 + 1
                    vote = {"vote_id": uuid.uuid4().hex, "assignment_id": item["assignment_id"], "level": level}
                    if self._retry(http, "/api/votes", vote).get("accepted"):
                        with self._changed:
                            self.acknowledged.append((vote["vote_id"], level))
                            self._changed.notify_all()

    def _retry(self, http: httpx.Client, path: str, body: dict) -> dict:
        """Send until answered; only a stop or a refusal ends it early, with an empty answer."""
        while True:
            try:
                answer = http.post(path, json=body)
            except httpx.TransportError:
                if self._stop.wait(0.05):
                    return {}
                continue
            if answer.status_code == 200:
                return answer.json()
            with self._changed:
                self.errors.append(f"{path}: {answer.status_code} {answer.text}")
                self._changed.notify_all()
            return {}


KILLS = {"sqlite": 3, "postgresql": 2}
if "VFI_TEST_KILLS" in os.environ:
    KILLS = dict.fromkeys(KILLS, int(os.environ["VFI_TEST_KILLS"]))


@pytest.mark.timeout(240 + 30 * max(KILLS.values()))
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def test_every_acknowledged_vote_is_there_exactly_once(request, tmp_path, kind):
    db_url, kills = request.getfixturevalue(f"{kind}_url"), KILLS[kind]
    manifest = make_manifest(tmp_path / "data", max(400, 60 * kills))
    tokens = prepare(manifest, db_url)
    rng = random.Random(7)
    with ApiServer(manifest, db_url) as server:
        crowd = Crowd(server.url, tokens)
        crowd.start()
        try:
            for _ in range(kills):
                crowd.wait_for_more(rng.randint(FEWEST_VOTES, MOST_VOTES))
                server.kill()
                server.start()
            crowd.wait_for_more(FEWEST_VOTES)
        finally:
            crowd.stop()
    assert crowd.errors == []
    assert_all_there_once(db_url, crowd.acknowledged)


def test_a_full_disk_refuses_the_vote_and_takes_it_later_once(sqlite_url, manifest):
    state = make_state(manifest, sqlite_url, open_mode=True)
    client = Client(state)
    client.sign_in("anna")
    items = client.items(5)
    disk = {"pages": 0}

    def limit(raw, _):
        raw.execute(f"PRAGMA max_page_count = {disk['pages'] or 2**30}")  # SQLite then says what it says of a full disk

    event.listen(state.store.engine, "connect", limit)
    with state.store.read() as connection:
        disk["pages"] = connection.exec_driver_sql("PRAGMA page_count").scalar() + 1
    state.store.engine.dispose()
    answers = []
    while not answers or answers[-1].status_code == 200:
        item = items[len(answers)]
        answers.append(client.vote(item, 3, comment="x" * 2000))
    assert answers[-1].status_code == 503
    with state.store.read() as connection:
        check_consistency(connection)
        assert connection.execute(text("SELECT COUNT(*) FROM current_votes")).scalar_one() == len(answers) - 1
    disk["pages"] = 0  # there is room again: the page sends the vote once more
    state.store.engine.dispose()
    again = [client.vote(item, 3, comment="x" * 2000).json() for _ in range(2)]
    assert [(answer["accepted"], answer["duplicate"]) for answer in again] == [(True, False), (True, True)]
    assert again[-1]["progress"]["done"] == len(answers)
    state.close()


def prepare(manifest, db_url):
    open_state(Settings(manifest, db_url=db_url, overlap=NUM_ANNOTATORS)).close()
    store = Store(db_url)
    tokens = []
    for number in range(NUM_ANNOTATORS):
        with store.write() as connection:
            add_account(connection, f"annotator {number}", now_us=1)
            tokens.append(set_token(connection, f"annotator {number}", now_us=1))
    store.close()
    return tokens


def assert_all_there_once(db_url, acknowledged):
    store = Store(db_url)
    with store.read() as connection:
        rows = connection.execute(text("SELECT client_id, level FROM events WHERE kind = 'vote'")).all()
        doubled = text("SELECT assignment_id FROM current_votes GROUP BY assignment_id HAVING COUNT(*) > 1")
        assert connection.execute(doubled).all() == []
        check_consistency(connection)
    store.close()
    stored = {row.client_id: row.level for row in rows}
    assert len(stored) == len(rows)
    assert len(acknowledged) == len(dict(acknowledged)) > 0
    assert {vote_id: stored.get(vote_id) for vote_id, _ in acknowledged} == dict(acknowledged)
