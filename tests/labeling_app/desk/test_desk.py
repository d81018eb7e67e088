"""The lead's desk: votes set aside and taken in again, items asked for again, everything previewed and in the log."""

import csv
import io

import pytest
from sqlalchemy import text

from dataset_tools.errors import UsageError
from dataset_tools.manifest import read_manifest
from labeling_app.annotation.filters import parse_where, span
from labeling_app.annotation.serving import next_items
from labeling_app.annotation.voting import skip, vote
from labeling_app.database.audit import check_consistency
from labeling_app.database.events import of_kind
from labeling_app.desk.selection import Selection
from labeling_app.exchange.exporting import export_manifest
from labeling_app.quality.stats import compute_stats
from labeling_app.schemas import VoteRequest
from labeling_app.web.desk_schemas import DeskRequest
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_manifest, make_state

LEVELS = {"anna": 1, "ben": 3, "cleo": 3}  # what each gives to everything


@pytest.fixture
def state(db_url, tmp_path):
    """Seven triplets, three votes wanted, all given; one more annotator has not voted."""
    opened = make_state(make_manifest(tmp_path / "data", 7), db_url)
    for name in LEVELS:
        user = add_user(opened.store, name, password=PASSWORD)
        while rows := next_items(opened, user, count=5)[0]:
            for row in rows:
                request = VoteRequest(vote_id=f"vote-{row['id']:05d}", assignment_id=row["id"], level=LEVELS[name])
                vote(opened, user, request)
    add_user(opened.store, "dora", password=PASSWORD)
    add_user(opened.store, "rita", role="reviewer", password=PASSWORD)
    yield opened
    opened.close()


@pytest.fixture
def rita(state):
    client = Client(state)
    client.sign_in("rita")
    return client


_NUMBER = iter(range(10_000))


def step(client, action, where=None, **fields):
    """Do something at the desk and return the answer."""
    answer = client.post("/api/desk", {"action_id": f"step-{next(_NUMBER):05d}", "action": action,
                                       "where": where or {}, **fields})  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer.json()


def levels(state):
    """Return the exported (level, votes) of every triplet."""
    export_manifest(state.store, state.settings.manifest, method="median")
    return [(row["level"], row["num_annotations"]) for row in read_manifest(state.settings.manifest).rows()]


def stats(state):
    with state.store.read() as connection:
        check_consistency(connection)
        return compute_stats(connection)


def work_left(client, name):
    other = Client(client.state)
    other.sign_in(name)
    return len(other.items(5))


def test_a_persons_votes_are_set_aside_and_taken_in_again(state, rita):
    assert levels(state) == [(3, 3)] * 7
    preview = step(rita, "exclude", {"person": "ben"}, preview=True)
    assert (preview["items"], preview["votes"], preview["people"]) == (7, 7, {"ben": 7})
    assert stats(state).votes == 21  # a preview changes nothing
    done = step(rita, "exclude", {"person": "ben"}, expected_items=7, expected_votes=7, reason="clicked through")
    assert {**done} == {**preview}
    assert levels(state) == [(3, 2)] * 7  # median of 1 and 3, the higher
    figures = stats(state)
    assert (figures.votes, figures.excluded, figures.items_full, figures.votes_wanted) == (14, 7, 0, 21)
    assert [(who.name, who.votes, who.excluded) for who in figures.annotators] == [
        ("anna", 7, 0), ("ben", 0, 7), ("cleo", 7, 0),
    ]  # fmt: skip
    step(rita, "exclude", {"person": "cleo"})
    assert levels(state) == [(1, 1)] * 7
    assert step(rita, "include", {"person": "ben"})["votes"] == 7
    step(rita, "include", {"person": "cleo"})
    assert levels(state) == [(3, 3)] * 7
    with state.store.read() as connection:
        assert len(of_kind(connection, "vote")) == 21  # nothing was rewritten
        assert [len(of_kind(connection, kind)) for kind in ("exclude", "include", "desk")] == [14, 14, 4]


def test_who_was_set_aside_is_not_asked_again_and_others_are(state, rita):
    assert work_left(rita, "dora") == 0  # the quota is met
    step(rita, "exclude", {"person": "ben"})
    assert [work_left(rita, name) for name in ("ben", "dora")] == [0, 5]


@pytest.mark.parametrize(
    ("where", "votes"),
    [
        ({"person": "anna", "resolution": "256p"}, 3),
        ({"person": "anna", "spread": "3-"}, 0),
        ({"resolution": "256p"}, 9),
        ({"since": "2100-01-01"}, 0),
        ({"until": "2100-01-01", "level": "3"}, 21),
        ({"interval": "1-2", "flagged": "no", "person": "cleo"}, 4),
    ],
)
def test_votes_by_person_time_and_filter(state, rita, where, votes):
    assert step(rita, "exclude", where, preview=True)["votes"] == votes


def test_asking_others_also_when_the_quota_is_met(state, rita):
    done = step(rita, "ask_again", {"resolution": "256p"}, to="others")
    assert (done["items"], done["votes"], done["too_few_people"]) == (3, 0, 0)
    assert [work_left(rita, name) for name in ("anna", "dora")] == [0, 3]
    assert stats(state).votes_wanted == 24
    state.refresh(force=True)
    with state.store.read() as connection:  # a restart keeps what was asked for
        wanted = connection.execute(text("SELECT SUM(overlap) FROM items")).scalar_one()
    reopened = make_state(state.settings.manifest, state.store.url)
    with reopened.store.read() as connection:
        assert connection.execute(text("SELECT SUM(overlap) FROM items")).scalar_one() == wanted == 24
    reopened.close()


def test_asking_all_sets_the_present_votes_aside(state, rita):
    assert step(rita, "ask_again", {"resolution": "256p"}, to="all")["votes"] == 9
    assert [work_left(rita, name) for name in ("anna", "ben", "dora")] == [3, 3, 3]
    assert sorted(levels(state), key=str) == [(3, 3)] * 4 + [(None, None)] * 3


def test_a_newer_vote_keeps_its_place_when_the_old_one_is_taken_in(state, rita):
    step(rita, "ask_again", {"resolution": "256p"}, to="all")
    anna = Client(state)
    anna.sign_in("anna")
    (first, *_) = anna.items(5)
    anna.vote(first, 4, vote_id="vote-again")
    done = step(rita, "include", {})
    assert (done["votes"], done["replaced"]) == (8, 1)
    assert stats(state).votes == 21
    assert sorted(levels(state), key=str)[-1] == (3, 3)


def test_a_warning_when_nobody_is_left(state, rita):
    assert step(rita, "ask_again", {}, to="others", votes=3, preview=True)["too_few_people"] == 7  # dora and rita only
    assert step(rita, "ask_again", {}, to="others", votes=2, preview=True)["too_few_people"] == 0


def test_items_given_to_a_person_come_first_and_set_their_vote_aside(state, rita):
    done = step(rita, "assign", {"resolution": "720p"}, person="anna")
    assert (done["items"], done["people"]) == (2, {"anna": 2})
    assert [work_left(rita, name) for name in ("anna", "dora")] == [2, 0]  # her own place is free again
    assert stats(state).votes == 19


def test_a_step_is_done_once_and_only_as_previewed(state, rita):
    body = {"action_id": "step-same-id", "action": "exclude", "where": {"person": "ben"}}
    refused = rita.post("/api/desk", {**body, "expected_items": 7, "expected_votes": 6})
    assert (refused.status_code, refused.json()["code"]) == (409, "changed")
    assert [rita.post("/api/desk", body).json()["votes"] for _ in range(2)] == [7, 7]
    assert stats(state).excluded == 7


def test_the_list_is_filtered_sorted_and_paged(state, rita):
    dora = add_user(state.store, "emil")
    step(rita, "ask_again", {"resolution": "256p"})
    (row,), _ = next_items(state, dora, count=1)
    skip(state, dora, skip_id="skip-0001", assignment_id=row["id"], reason="scene_cut")
    answer = rita.get("/api/desk?sort=skipped&descending=true&size=3").json()
    assert answer["total"] == 7
    assert answer["statuses"] == {"disputed": 7}
    assert [item["skipped"] for item in answer["items"]] == [1, 0, 0]
    assert rita.get("/api/desk?where=skipped=yes").json()["total"] == 1
    item = answer["items"][0]
    assert (item["histogram"], item["level"], item["spread"], item["votes"]) == ([1, 0, 2, 0], 3, 2, 3)
    step(rita, "decide", items=[item["item_id"]], level=2, reason="ghost")
    step(rita, "note", items=[item["item_id"]], reason="look at the left hand")
    found = rita.get(f"/api/desk/items/{item['item_id']}").json()
    assert (found["row"]["status"], found["row"]["level"]) == ("decided", 2)
    assert [(remark["kind"], remark["person"], remark["text"]) for remark in found["remarks"]] == [
        ("skip", "emil", "scene_cut"), ("verdict", "rita", "ghost"), ("note", "rita", "look at the left hand"),
    ]  # fmt: skip
    assert rita.get("/api/desk?where=status=decided").json()["total"] == 1
    assert rita.get("/api/desk?where=colour=red").status_code == 400
    assert rita.get("/api/desk?sort=colour").status_code == 400


def test_skips_comments_and_verdicts_leave_the_house(state, rita):
    dora = Client(state)
    dora.sign_in("dora")
    step(rita, "ask_again", {})
    first, second = dora.items(2)
    dora.vote(first, 4, flagged=True, comment="torn")
    dora.post("/api/comments", {"comment_id": "comment-01", "assignment_id": second["assignment_id"], "text": "odd"})
    dora.post("/api/skips", {"skip_id": "skip-00001", "assignment_id": second["assignment_id"], "reason": "unsure"})
    add_user(state.store, "boss", role="admin", password=PASSWORD)
    boss = Client(state)
    boss.sign_in("boss")
    rows = list(csv.DictReader(io.StringIO(boss.get("/api/export?format=csv").text)))
    said = [(row["stage"], row["level"], row["reason"], row["comment"]) for row in rows if row["annotator"] == "dora"]
    assert said == [("work", "4", "", "torn"), ("comment", "", "", "odd"), ("skip", "", "unsure", "")]
    assert boss.get("/api/export?format=csv&bom=true").content.startswith(b"\xef\xbb\xbf")
    figures = stats(state)
    assert (figures.flagged, figures.commented, figures.skips) == (1, 1, {"unsure": 1})
    by_name = {who.name: who for who in figures.annotators}
    assert (by_name["dora"].flagged, by_name["dora"].commented, by_name["dora"].skipped) == (1, 1, 1)


def test_annotators_have_no_desk(state):
    anna = Client(state)
    anna.sign_in("anna")
    for answer in (anna.get("/api/desk"), anna.post("/api/desk", {}), anna.get("/api/desk/items/1")):
        assert answer.status_code == 403


@pytest.mark.parametrize(
    ("value", "expected"), [("3", (3, 3)), ("2-4", (2, 4)), ("2-", (2, float("inf"))), ("no", (0, 0))]
)
def test_spans(value, expected):
    assert span(value) == expected


@pytest.mark.parametrize(
    "pairs",
    [
        ["colour=red"],
        ["spread=x"],
        ["spread=4-2"],
        ["status=odd"],
        ["since=soon"],
        ["person"],
        ["person="],
        ["person=anna", "person=ben"],
    ],
)
def test_filters_that_are_refused(pairs):
    with pytest.raises(UsageError):
        Selection(parse_where(pairs))


def test_every_action_is_described():
    assert DeskRequest.model_json_schema()["properties"]["action"]["enum"] == [
        "exclude", "include", "ask_again", "assign", "decide", "gold", "note",
    ]  # fmt: skip
