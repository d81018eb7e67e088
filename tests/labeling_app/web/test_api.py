"""The JSON API as a page or a script sees it."""

import csv
import itertools

import cv2
import numpy as np
import pytest
from sqlalchemy import text

from dataset_tools.frames import pixels_sha256
from dataset_tools.manifest import read_manifest
from labeling_app.accounts import find_row, set_token
from labeling_app.annotation.claims import held
from labeling_app.database.audit import check_consistency
from tests.labeling_app.helpers import PASSWORD, Client, add_rows, add_user, make_state


@pytest.fixture
def state(db_url, manifest):
    opened = make_state(manifest, db_url)
    for name, role in {"anna": "annotator", "ben": "annotator", "rita": "reviewer", "boss": "admin"}.items():
        add_user(opened.store, name, role=role, password=PASSWORD)
    yield opened
    opened.close()


@pytest.fixture
def anna(state):
    client = Client(state)
    assert client.sign_in("anna").status_code == 200
    return client


def sign_in(state, name):
    client = Client(state)
    assert client.sign_in(name).status_code == 200
    return client


def test_session_tells_what_a_page_needs(anna):
    session = anna.get("/api/session").json()
    assert session["csrf"] == anna.csrf
    assert {key: session[key] for key in ("user", "role", "settings", "stage")} == {
        "user": "anna", "role": "annotator", "settings": {}, "stage": "work",
    }  # fmt: skip
    assert session["options"] == {
        "blind": False,
        "pairs": False,
        "overlap": 3,
        "language": "en",
        "heartbeat_seconds": 60,
    }
    assert session["progress"] == {
        "done": 0, "target": 42, "remaining": 42, "votes_per_hour": None, "seconds_left": None,
    }  # fmt: skip


def test_items_stay_the_same_until_voted_on_also_on_another_machine(state, anna):
    first = anna.items(5)
    assert [item["assignment_id"] for item in sign_in(state, "anna").items(5)] == [i["assignment_id"] for i in first]
    anna.vote(first[0])
    again = anna.items(5)
    assert [item["assignment_id"] for item in again[:4]] == [item["assignment_id"] for item in first[1:]]
    assert not {item["assignment_id"] for item in sign_in(state, "ben").items(5)} & {i["assignment_id"] for i in first}


def test_items_leased_together_wait_for_the_disk_once(state, anna, monkeypatch):
    assert anna.get("/api/session").json()["stage"] == "work"  # entering it is an event
    transactions, transact = [], state.store.transact
    monkeypatch.setattr(state.store, "transact", lambda work: transactions.append(work) or transact(work))
    first = anna.items(5)
    assert len(transactions) == 1
    clips = [state.catalogue.by_id[row["item_id"]].triplet_id.split("/")[1] for row in held_by(state, "anna")]
    assert len(clips) == len(first) == 5
    assert all(one != other for one, other in itertools.pairwise(clips))


def held_by(state, name):
    with state.store.read() as connection:
        return held(connection, user_id=find_row(connection, name)["id"])


def test_an_item_tells_size_and_time_and_nothing_that_steers(state, anna):
    (item,) = anna.items()
    assert set(item) == {
        "assignment_id", "stage", "resolution", "width", "height", "interval", "frame_seconds", "lease_expires_at",
        "blind", "paired", "images",
    }  # fmt: skip
    assert (item["width"], item["height"], item["frame_seconds"]) == (96, 64, pytest.approx(item["interval"] / 25))
    assert {role for role, address in item["images"].items() if address} == {"img0", "img1", "pred", "gt"}


def test_images_are_the_frames_unchanged_and_kept_by_the_browser(state, anna):
    (item,) = anna.items()
    row = read_manifest(state.settings.manifest).rows()[0]
    for role in ("img0", "img1", "pred", "gt"):
        answer = anna.get(item["images"][role])
        assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert "last-modified" not in answer.headers
        rgb = cv2.cvtColor(cv2.imdecode(np.frombuffer(answer.content, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert pixels_sha256(rgb) == row[f"{role}_sha256"]


def test_a_retried_vote_is_one_vote(state, anna):
    (item,) = anna.items()
    answers = [anna.vote(item, 3, flagged=True, comment=" torn ") for _ in range(3)]
    assert [answer.json()["duplicate"] for answer in answers] == [False, True, True]
    assert all(answer.json()["accepted"] and answer.json()["progress"]["done"] == 1 for answer in answers)
    assert anna.vote(item, 4).status_code == 409  # the id stands for another level
    second_tab = anna.vote(item, 4, vote_id="another-vote-id").json()
    assert (second_tab["accepted"], second_tab["counted"]) == (True, False)


def test_undo_gives_the_item_back(anna):
    (item,) = anna.items()
    anna.vote(item, 3)
    answer = anna.post("/api/undo", {"undo_id": "undo-00001"}).json()
    assert answer["level"] == 3
    assert answer["undone"]["images"] == item["images"]
    assert answer["progress"]["done"] == 0
    assert anna.items()[0]["assignment_id"] == item["assignment_id"]
    assert anna.post("/api/undo", {"undo_id": "undo-00002"}).json()["undone"] is None


def test_skips_comments_heartbeats_and_settings(anna):
    item, other = anna.items(2)
    body = {"comment_id": "comment-001", "assignment_id": item["assignment_id"], "text": "<b>${x}</b> 'quoted'"}
    assert [anna.post("/api/comments", body).json()["duplicate"] for _ in range(2)] == [False, True]
    ids = [item["assignment_id"], other["assignment_id"], 999_999]
    assert anna.post("/api/heartbeat", {"assignment_ids": ids}).json()["assignment_ids"] == sorted(ids[:2])
    skip = {"skip_id": "skip-00001", "assignment_id": item["assignment_id"], "reason": "too dark"}
    assert anna.post("/api/skips", skip).json() == {"accepted": True, "duplicate": False}
    assert anna.vote(item).status_code == 409
    assert anna.items()[0]["assignment_id"] == other["assignment_id"]
    saved = {"keys": {"vote1": "a"}, "language": "de"}
    assert anna.http.put("/api/settings", json=saved, headers={"X-CSRF-Token": anna.csrf}).status_code == 200
    assert anna.get("/api/session").json()["settings"] == saved


def test_undo_takes_back_a_skip_and_brings_flag_and_comment_back(anna):
    first, second, third = anna.items(3)
    anna.vote(first, 2, flagged=True, comment="torn")
    skip = {"skip_id": "skip-00001", "assignment_id": second["assignment_id"], "reason": "unsure"}
    anna.post("/api/skips", skip)
    undone = anna.post("/api/undo", {"undo_id": "undo-00001"}).json()
    assert (undone["undone"]["images"], undone["level"], undone["skipped"]) == (second["images"], None, True)
    assert anna.items()[0]["assignment_id"] == second["assignment_id"]
    assert anna.vote(second, 4).json()["counted"]
    anna.post("/api/undo", {"undo_id": "undo-00002"})
    undone = anna.post("/api/undo", {"undo_id": "undo-00003"}).json()
    assert (undone["level"], undone["flagged"], undone["comment"]) == (2, True, "torn")
    assert third["assignment_id"] in {item["assignment_id"] for item in anna.items(5)}


def test_the_last_items_are_corrected_one_by_one(state, anna):
    for _ in range(24):
        anna.vote(anna.items()[0], 1)
    (item,) = anna.items()
    anna.post("/api/skips", {"skip_id": "skip-00001", "assignment_id": item["assignment_id"], "reason": "scene_cut"})
    entries = anna.get("/api/history").json()["items"]
    assert len(entries) == 20
    assert (entries[0]["level"], entries[0]["reason"], entries[1]["level"]) == (None, "scene_cut", 1)
    sixth = entries[5]["item"]
    for number, (entry, level) in enumerate([(sixth, 3), (sixth, 4), (item, 2)]):
        answer = anna.vote(entry, level, vote_id=f"correct-{number}", corrects=True, flagged=True)
        assert (answer.status_code, answer.json()["counted"]) == (200, True)
    after = {entry["item"]["assignment_id"]: entry["level"] for entry in anna.get("/api/history").json()["items"]}
    assert (after[sixth["assignment_id"]], after[item["assignment_id"]]) == (4, 2)
    assert sorted(after.values()) == [1] * 18 + [2, 4]  # the others are as they were
    with state.store.read() as connection:
        check_consistency(connection)
        assert connection.execute(text("SELECT COUNT(*) FROM events WHERE kind = 'vote'")).scalar_one() == 27
    assert anna.get("/api/progress").json()["done"] == 25
    ben = sign_in(state, "ben")
    assert ben.vote(sixth, 1, vote_id="not-his-own", corrects=True).status_code == 404


def test_what_was_seen_is_kept_and_exported(state, anna):
    (item,) = anna.items()
    anna.vote(item, 2, view={"mode": "flicker", "seen_share": 0.42})
    table = list(csv.DictReader(sign_in(state, "boss").get("/api/export?format=csv").text.splitlines()))
    assert [row["seen_share"] for row in table] == ["0.42"]
    assert anna.vote(anna.items()[0], 2, view={"seen_share": 1.2}).status_code == 422


def test_blind_mode_hides_which_is_which(state, anna, manifest):
    blind = make_state(manifest, state.store.url, blind=True)
    client = sign_in(blind, "ben")
    plain = {item["assignment_id"]: item["images"] for item in sign_in(state, "ben").items(5)}
    real_first = 0
    for item in client.items(5):
        images, known = item["images"], plain[item["assignment_id"]]
        assert (images["pred"], images["gt"]) == (None, None)
        assert {images["a"], images["b"]} == {known["pred"], known["gt"]}
        real_first += images["a"] == known["gt"]
        client.vote(item, 2, blind_choice="a")
    table = sign_in(blind, "boss").get("/api/export?format=csv").text.splitlines()
    correct = table[0].split(",").index("blind_correct")
    assert (
        sorted(line.split(",")[correct] for line in table[1:]) == ["False"] * (5 - real_first) + ["True"] * real_first
    )
    blind.close()


def test_review_queue_verdict_and_gold(state):
    clients = [sign_in(state, name) for name in ("anna", "ben")]
    for client, level in zip(clients, (1, 4), strict=True):
        while items := client.items(5):
            for item in items:
                client.vote(item, level, comment="hm")
    rita = sign_in(state, "rita")
    queue = rita.get("/api/review?limit=3").json()
    assert queue["total"] == 42
    assert {vote["annotator"]: vote["level"] for vote in queue["items"][0]["votes"]} == {"anna": 1, "ben": 4}
    item_id = queue["items"][0]["item_id"]
    verdict = {"verdict_id": "verdict-01", "item_id": item_id, "level": 3, "comment": "ghost"}
    assert [rita.post("/api/review", verdict).json()["duplicate"] for _ in range(2)] == [False, True]
    after = rita.get("/api/review").json()
    assert after["total"] == 41
    assert item_id not in {item["item_id"] for item in after["items"]}
    gold = {"gold_id": "gold-00001", "item_id": item_id, "level": 3, "purpose": "training"}
    assert rita.post("/api/gold", gold).status_code == 200
    assert state.gold[item_id].level == 3
    assert rita.post("/api/gold", {**gold, "gold_id": "gold-00002", "level": None}).status_code == 200
    assert item_id not in state.gold
    stats = rita.get("/api/stats").json()
    assert (stats["votes"], stats["histogram"]) == (84, [42, 0, 0, 42])
    assert stats["disagreeing"] == rita.get("/api/review").json()["total"] == 41  # one number on both pages
    assert stats["pairs"][0]["confusion"][0] == [0, 0, 0, 42]  # anna said 1 where ben said 4
    assert {who["name"]: who["flags"] for who in stats["annotators"]}["anna"] == [
        "bias",
        "fast",  # by the server's clock, whatever the page says
        "straight-lining",
    ]


def test_accounts_by_an_admin(state):
    boss = sign_in(state, "boss")
    added = boss.post("/api/users", {"name": "cleo", "password": PASSWORD, "role": "annotator"})
    assert "cleo" in {user["name"] for user in added.json()}
    cleo = sign_in(state, "cleo")
    assert cleo.get("/api/session").status_code == 200
    assert boss.patch("/api/users/cleo", {"disabled": True}).status_code == 200
    assert cleo.get("/api/session").status_code == 401
    assert Client(state).sign_in("cleo").status_code == 401
    assert boss.post("/api/users", {"name": "${x}"}).status_code == 400
    admitted = {user["name"]: user["stage"] for user in boss.patch("/api/users/ben", {"stage": "work"}).json()}
    assert (admitted["ben"], admitted["anna"]) == ("work", "training")
    assert "password" not in boss.get("/api/users").text


def test_adding_a_person_changes_nobody(state):
    boss = sign_in(state, "boss")
    before = boss.get("/api/users").json()
    for name in ("rita", "RITA", "r\u0456ta"):  # the last has a Cyrillic letter
        answer = boss.post("/api/users", {"name": name, "password": PASSWORD, "role": "annotator"})
        assert (answer.status_code, answer.json()["code"]) == (400, "name_alike" if name[1] == "\u0456" else "account")
    assert boss.get("/api/users").json() == before
    assert sign_in(state, "Rita").get("/api/session").json()["user"] == "rita"
    assert boss.patch("/api/users/nobody", {"role": "admin"}).status_code == 400


def test_the_last_admin_stays(state):
    boss = sign_in(state, "boss")
    for change in ({"disabled": True}, {"role": "reviewer"}):
        answer = boss.patch("/api/users/boss", change)
        assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")
    assert boss.patch("/api/users/rita", {"role": "admin"}).status_code == 200
    assert boss.patch("/api/users/boss", {"role": "reviewer"}).status_code == 200


def test_a_new_password_ends_sessions_and_tokens(state):
    boss, anna = sign_in(state, "boss"), sign_in(state, "anna")

    def works(token):
        return Client(state).get("/api/session", headers={"Authorization": f"Bearer {token}"}).status_code == 200

    with state.store.write() as connection:
        token = set_token(connection, "anna", now_us=1)
    assert works(token)
    boss.patch("/api/users/anna", {"password": "another password"})
    assert not works(token)
    assert anna.get("/api/session").status_code == 401
    with state.store.write() as connection:
        token = set_token(connection, "anna", now_us=1)
    assert works(token)
    boss.patch("/api/users/anna", {"revoke_token": True})
    assert not works(token)


def test_a_script_labels_with_a_token(state):
    with state.store.write() as connection:
        token = set_token(connection, "anna", now_us=1)
    script = Client(state)
    headers = {"Authorization": f"Bearer {token}"}
    items = script.http.post("/api/items", json={"count": 2}, headers=headers).json()["items"]
    vote = {"vote_id": "script-0001", "assignment_id": items[0]["assignment_id"], "level": 1}
    assert script.http.post("/api/votes", json=vote, headers=headers).json()["accepted"]
    assert script.http.get(items[1]["images"]["gt"], headers=headers).status_code == 200
    for wrong in ("Bearer vfi_wrong", "Bearer ", f"Basic {token}"):
        assert script.http.post("/api/items", json={}, headers={"Authorization": wrong}).status_code == 401


def test_a_manifest_that_grows_while_serving(state, anna, manifest):
    while items := anna.items(5):
        for item in items:
            anna.vote(item)
    grown = read_manifest(manifest)
    extra = {**grown.rows()[0], "triplet_id": "videos/new/0-1-2@256p", "clip": "new"}
    add_rows(grown, manifest, [extra])
    state.refresh(force=True)
    assert len(anna.items(5)) == 1
    assert anna.get("/api/progress").json()["done"] == 42


def test_open_api_describes_the_labelling_routes(state, anna):
    paths = anna.get("/openapi.json").json()["paths"]
    assert {"/api/items", "/api/votes", "/api/stats", "/api/export"} <= set(paths)
    assert anna.get("/healthz").json() == {"status": "ok"}


def test_everything_that_was_done_is_in_the_log(state, anna):
    (item,) = anna.items()
    anna.vote(item)
    anna.post("/api/undo", {"undo_id": "undo-00001"})
    anna.http.put("/api/settings", json={}, headers={"X-CSRF-Token": anna.csrf})
    Client(state).sign_in("anna", "wrong password")
    sign_in(state, "boss").get("/api/export")
    anna.post("/signout")
    with state.store.read() as connection:
        kinds = list(connection.execute(text("SELECT kind FROM events ORDER BY id")).scalars())
    assert [kind for kind in kinds if kind not in ("account_added", "stage")] == [
        "sign_in", "vote", "undo", "settings", "sign_in_failed", "sign_in", "export", "sign_out",
    ]  # fmt: skip
