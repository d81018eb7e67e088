"""Votes from Label Studio and to it: there and back, odd files, and votes that meet others on the same triplet."""

import json

import pytest
from sqlalchemy import text

from dataset_tools.manifest import read_manifest
from labeling_app.annotation import voting
from labeling_app.annotation.review import store_verdict
from labeling_app.annotation.serving import next_items
from labeling_app.database.audit import check_consistency
from labeling_app.exchange.exporting import export_label_studio
from labeling_app.exchange.label_studio import LabelStudioError, import_tasks, read_tasks
from labeling_app.quality.stats import compute_stats
from labeling_app.quality.votes import long_table, read_remarks, read_votes
from labeling_app.schemas import ReviewRequest, VoteRequest
from tests.labeling_app.helpers import add_user, make_manifest, make_rival, make_state


@pytest.fixture
def manifest(tmp_path):
    """A manifest of 14 triplets over 7 clips."""
    return make_manifest(tmp_path / "data", 14)


def label(state, user, count):
    """Vote on ``count`` items."""
    for _ in range(count):
        (row,), _ = next_items(state, user, count=1)
        request = VoteRequest(vote_id=f"vote-{row['id']:05d}", assignment_id=row["id"], level=1 + row["id"] % 4)
        voting.vote(state, user, request)


def task(triplet_id, **changes):
    """Return a Label Studio task with one annotation by anna, level 3."""
    annotation = {
        "id": 1,
        "completed_by": {"email": "anna"},
        "lead_time": 2.5,
        "created_at": "2026-01-02T03:04:05Z",
        "result": [{"from_name": "level", "value": {"rating": 3}}],
    }
    return {"id": 1, "data": {"triplet_id": triplet_id}, "annotations": [{**annotation, **changes}]}


def test_label_studio_there_and_back(sqlite_url, manifest, tmp_path):
    state = make_state(manifest, sqlite_url)
    for name in ("anna", "ben"):
        label(state, add_user(state.store, name), 14)
    path = tmp_path / "tasks.json"
    assert export_label_studio(state.store, path) == 14
    other = make_state(manifest, f"sqlite:///{tmp_path / 'other.sqlite'}")
    tasks = read_tasks(path)
    for expected in ((28, 0), (0, 28)):  # the second time changes nothing
        with other.store.write() as connection:
            result = import_tasks(connection, tasks, now_us=1)
        assert (result.votes, result.known, result.rejected) == (*expected, [])
    with state.store.read() as ours, other.store.read() as theirs:
        columns = ["item_key", "annotator", "level", "seconds", "created_at_us"]
        tables = [
            read_votes(connection)[columns].sort_values(["item_key", "annotator"]).to_numpy().tolist()
            for connection in (ours, theirs)
        ]
    assert tables[0] == tables[1]
    other.close()
    state.close()


@pytest.mark.parametrize(
    ("result", "level"),
    [
        ({"from_name": "level", "value": {"rating": 3}}, 3),
        ({"from_name": "level", "value": {"choices": ["2 slight"]}}, 2),
        ({"from_name": "level", "value": {"choices": ["12"]}}, None),
        ({"from_name": "level", "value": {"rating": 2.5}}, None),
        ({"from_name": "level", "value": {"rating": "2,5"}}, None),
        ({"from_name": "level", "value": {"rating": 2.0}}, 2),
        ({"from_name": "level", "value": {"rating": 5}}, None),
        ({"from_name": "other", "value": {"rating": 3}}, None),
        ({"from_name": "level", "value": None}, None),
    ],
)
def test_what_label_studio_may_hold(sqlite_url, manifest, result, level):
    state = make_state(manifest, sqlite_url)
    triplet_id = read_manifest(manifest).rows()[0]["triplet_id"]
    with state.store.write() as connection:
        done = import_tasks(connection, [task(triplet_id, result=[result])], now_us=1)
        votes = read_votes(connection)
    assert votes["level"].tolist() == ([] if level is None else [level])
    assert len(done.rejected) == (level is None)
    state.close()


@pytest.mark.parametrize(
    ("changes", "seconds", "year"),
    [
        ({}, 2.5, 2026),
        ({"lead_time": float("nan")}, None, 2026),
        ({"lead_time": float("inf")}, None, 2026),
        ({"lead_time": -1}, None, 2026),
        ({"lead_time": "x"}, None, 2026),
        ({"lead_time": 10**400}, None, 2026),
        ({"created_at": "9999-12-31T23:59:59-23:00"}, 2.5, 2027),  # no such time in UTC: that of the import
        ({"created_at": "0001-01-01T00:00:00+23:00"}, 2.5, 2027),
        ({"created_at": None}, 2.5, 2027),
        ({"created_at": "1969-12-31T23:59:59.5"}, 2.5, 1969),
    ],
)
def test_odd_times_do_not_spoil_the_statistics(sqlite_url, manifest, changes, seconds, year):
    state = make_state(manifest, sqlite_url)
    triplet_id = read_manifest(manifest).rows()[0]["triplet_id"]
    with state.store.write() as connection:
        import_tasks(connection, [task(triplet_id, **changes)], now_us=1_800_000_000_000_000)
        votes = long_table(read_votes(connection))
        assert compute_stats(connection).annotators[0].median_seconds == seconds
    assert [moment.year for moment in votes["created_at"]] == [year]
    state.close()


@pytest.mark.parametrize(
    "odd",
    [
        {"data": [], "annotations": 5},
        {"data": {"triplet_id": ["x"], "item_key": {}}, "annotations": [7, {"id": 2}]},
        {"data": {}, "annotations": [{"result": 5}, {"result": [{"from_name": "level", "value": {"choices": 5}}]}]},
        {},
    ],
)
def test_odd_tasks_do_not_stop_the_others(sqlite_url, manifest, odd):
    state = make_state(manifest, sqlite_url)
    triplet_id = read_manifest(manifest).rows()[0]["triplet_id"]
    with state.store.write() as connection:
        assert import_tasks(connection, [odd, task(triplet_id)], now_us=1).votes == 1
    state.close()


@pytest.mark.parametrize(("before", "taken_in"), [("held", 1), ("released", 1), ("skipped", 1), ("voted", 0)])
def test_an_import_counts_unless_there_is_a_vote(db_url, manifest, before, taken_in):
    state = make_state(manifest, db_url)
    anna = add_user(state.store, "anna")
    (row,), _ = next_items(state, anna, count=1)
    if before == "voted":
        voting.vote(state, anna, VoteRequest(vote_id="vote-0001", assignment_id=row["id"], level=1))
    elif before == "skipped":
        voting.skip(state, anna, skip_id="skip-0001", assignment_id=row["id"], reason="")
    elif before == "released":
        voting.leave(state, anna)
    tasks = [task(state.catalogue.by_id[row["item_id"]].triplet_id)]
    for expected in ((taken_in, 1 - taken_in), (0, 1)):
        done = state.store.transact(lambda connection: import_tasks(connection, tasks, now_us=1))
        assert (done.votes, done.known, done.rejected) == (*expected, [])
    voting.undo(state, anna, "undo-0001")
    done = state.store.transact(lambda connection: import_tasks(connection, tasks, now_us=1))
    assert (done.votes, done.known) == (1 - taken_in, taken_in)  # what was taken back is not brought back by the file
    with state.store.read() as connection:
        assert connection.execute(text("SELECT MAX(taken) FROM items")).scalar_one() == 1
        check_consistency(connection)
    state.close()


def test_flags_comments_skips_and_verdicts_there_and_back(sqlite_url, manifest, tmp_path):
    state = make_state(manifest, sqlite_url)
    anna, rita = add_user(state.store, "anna"), add_user(state.store, "rita", role="reviewer")
    first, second = next_items(state, anna, count=2)[0]
    request = VoteRequest(vote_id="vote-0001", assignment_id=first["id"], level=2, flagged=True, comment="torn")
    voting.vote(state, anna, request)
    voting.skip(state, anna, skip_id="skip-0001", assignment_id=second["id"], reason="scene_cut")
    verdict = ReviewRequest(verdict_id="verdict-1", item_id=first["item_id"], level=4, comment="a hand is missing")
    store_verdict(state, rita, verdict)
    path = tmp_path / "tasks.json"
    export_label_studio(state.store, path)
    other = make_state(manifest, f"sqlite:///{tmp_path / 'other.sqlite'}")
    for expected in ((1, 0, 2), (0, 3, 0)):
        done = other.store.transact(lambda connection: import_tasks(connection, read_tasks(path), now_us=1))
        assert (done.votes, done.known, done.remarks, done.rejected) == (*expected, [])
    with state.store.read() as ours, other.store.read() as theirs:
        columns = ["annotator", "stage", "level", "flagged", "comment", "reason"]
        tables = [
            long_table(read_votes(connection), read_remarks(connection))[columns]
            .astype("string")
            .fillna("-")
            .to_numpy()
            .tolist()
            for connection in (ours, theirs)
        ]
        check_consistency(theirs)
    assert sorted(tables[0]) == sorted(tables[1])
    assert ["anna", "work", "2", "True", "torn", "-"] in tables[0]
    other.close()
    state.close()


def test_levels_are_no_answers_about_pairs(sqlite_url, manifest, tmp_path):
    rival = make_rival(manifest, tmp_path / "other", predictor="slow")
    triplet_id = read_manifest(manifest).rows()[0]["triplet_id"]
    state = make_state(manifest, sqlite_url, against=rival)
    done = state.store.transact(lambda connection: import_tasks(connection, [task(triplet_id)], now_us=1))
    (refused,) = done.rejected
    assert (done.votes, refused) == (
        0,
        f"task 1, annotation 1: triplet {triplet_id!r} is compared in pairs now, and this is a level",
    )
    with state.store.read() as connection:
        assert len(read_votes(connection)) == 0
    state.close()
    levels = make_state(manifest, sqlite_url)  # asked for levels again, it is one
    assert levels.store.transact(lambda connection: import_tasks(connection, [task(triplet_id)], now_us=1)).votes == 1
    with levels.store.read() as connection:
        assert read_votes(connection)["is_pair"].tolist() == [False]
    levels.close()


def test_a_corrected_annotation_replaces_the_first(db_url, manifest):
    state = make_state(manifest, db_url)
    triplet_id = read_manifest(manifest).rows()[0]["triplet_id"]

    def given(level, day):
        return task(triplet_id, created_at=f"2026-01-{day:02d}T00:00:00Z",
                    result=[{"from_name": "level", "value": {"rating": level}}])  # fmt: skip

    files = [[given(3, 2)], [given(3, 2), given(4, 5)], [given(3, 2), given(4, 5)], [given(1, 1)]]
    for tasks, expected in zip(files, [(1, 0, 0), (1, 1, 1), (0, 0, 2), (0, 0, 1)], strict=True):
        done = state.store.transact(lambda connection, tasks=tasks: import_tasks(connection, tasks, now_us=1))
        assert (done.votes, done.corrected, done.known, done.rejected) == (*expected, [])
    with state.store.read() as connection:
        assert read_votes(connection)["level"].tolist() == [4]
        check_consistency(connection)
    state.close()


@pytest.mark.parametrize(
    ("level", "stored"), [(3, [3]), ("2 slight", [2]), ({"rating": 4}, [4]), ({"choices": ["1"]}, [1])]
)
def test_json_min_and_a_byte_order_mark(sqlite_url, manifest, tmp_path, level, stored):
    state = make_state(manifest, sqlite_url)
    flat = {"id": 1, "triplet_id": read_manifest(manifest).rows()[0]["triplet_id"], "level": level, "annotator": 5,
            "annotation_id": 9, "lead_time": 3.5, "created_at": "2026-01-02T03:04:05Z", "comment": "odd"}  # fmt: skip
    path = tmp_path / "min.json"
    path.write_text(json.dumps([flat]), encoding="utf-8-sig")
    done = state.store.transact(lambda connection: import_tasks(connection, read_tasks(path), now_us=1))
    assert (done.votes, done.rejected) == (1, [])
    with state.store.read() as connection:
        votes = long_table(read_votes(connection))
    assert votes["level"].tolist() == stored
    assert (votes["annotator"][0], votes["comment"][0], votes["seconds"][0]) == ("label-studio 5", "odd", 3.5)
    state.close()


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[1]", "[" * 20_000])
def test_what_is_not_label_studio(tmp_path, content):
    path = tmp_path / "tasks.json"
    path.write_text(content)
    with pytest.raises(LabelStudioError, match=r"tasks\.json"):
        read_tasks(path)
