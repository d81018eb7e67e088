"""Who labels what: the rules at work in a database, with a clock that stands still."""

import itertools
from collections import Counter

import numpy as np
import pytest
from sqlalchemy import text

from dataset_tools.manifest import read_manifest
from labeling_app.annotation import voting
from labeling_app.annotation.progress import progress_of
from labeling_app.annotation.retakes import retake, retakes_left
from labeling_app.annotation.review import store_gold
from labeling_app.annotation.serving import current_stage, next_items
from labeling_app.database.audit import check_consistency
from labeling_app.database.events import load, of_kind
from labeling_app.quality.stats import compute_stats
from labeling_app.schemas import GoldRequest, VoteRequest
from tests.labeling_app.helpers import FakeClock, add_user, make_manifest, make_state


def vote(state, user, assignment, level=2):
    request = VoteRequest(
        vote_id=f"vote-{assignment['id']}-{state.clock()}", assignment_id=assignment["id"], level=level
    )
    return voting.vote(state, user, request)


def label_all(state, user, level=2, limit=10_000):
    """Label until nothing is left; return the assignments in order."""
    done = []
    while len(done) < limit:
        rows, _ = next_items(state, user, count=1)
        if not rows:
            break
        vote(state, user, rows[0], level)
        done.append(rows[0])
    return done


def test_everything_once_per_annotator_and_no_clip_twice_in_a_row(db_url, manifest):
    state = make_state(manifest, db_url)
    anna = add_user(state.store, "anna")
    done = label_all(state, anna)
    assert len({row["item_id"] for row in done}) == len(done) == 42
    clips = [state.clip_of(row["item_id"]) for row in done]
    repeats = [index for index, (a, b) in enumerate(itertools.pairwise(clips)) if a == b]
    # 7 clips of 6 triplets: only at the very end may one clip be all that is left.
    assert all(len(set(clips[index + 1 :])) == 1 for index in repeats)
    assert next_items(state, anna, count=5) == ([], "done")
    state.close()


def test_the_quota_counts_votes_and_live_leases(db_url, manifest):
    clock = FakeClock()
    state = make_state(manifest, db_url, clock=clock, overlap=2, lease_seconds=60)
    anna, ben, cleo = (add_user(state.store, name) for name in ("anna", "ben", "cleo"))
    assert len(label_all(state, anna)) == 42
    for _ in range(9):  # ben holds leases on what is left for him, 5 at a time, and votes on none of it
        held, _ = next_items(state, ben, count=5)
    assert len(label_all(state, cleo, limit=37)) == 37
    assert next_items(state, cleo, count=1) == ([], "leased")
    clock.advance(61)
    taken_over = label_all(state, cleo)
    assert {row["item_id"] for row in taken_over} == {row["item_id"] for row in held}
    assert next_items(state, ben, count=1) == ([], "done")
    # ben's votes come in late: the quota is full, so they are kept but do not count.
    assert not any(vote(state, ben, row).counted for row in held)
    with state.store.read() as connection:
        stages = Counter(connection.execute(text("SELECT stage FROM current_votes")).scalars())
        check_consistency(connection)
    assert stages == {"work": 84, "surplus": 5}
    state.close()


def test_a_late_vote_counts_while_there_is_room(db_url, manifest):
    clock = FakeClock()
    state = make_state(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    (row,), _ = next_items(state, anna, count=1)
    clock.advance(61)
    next_items(state, ben, count=1)  # sweeps the lease away
    voted = vote(state, anna, row)
    assert voted.counted
    assert row["item_id"] not in {other["item_id"] for other in label_all(state, ben)}
    state.close()


def test_what_was_held_comes_back_after_its_lease_ran_out(db_url, manifest):
    clock = FakeClock()
    state = make_state(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    next_items(state, anna, count=5)
    state.version += 1  # her queue is made anew while she holds five items
    next_items(state, anna, count=5)
    clock.advance(61)
    next_items(state, ben, count=1)  # sweeps her leases away
    assert len(label_all(state, anna)) == 41
    state.close()


def test_what_was_taken_back_after_a_restart_comes_back_too(db_url, manifest):
    clock = FakeClock()
    state = make_state(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    assert len(label_all(state, anna)) == 42
    state.version += 1  # her queue is made anew, as after a restart: without what she has seen
    next_items(state, anna, count=1)
    voting.undo(state, anna, "undo-0001")
    clock.advance(61)
    next_items(state, ben, count=1)  # holds it now
    assert voting.leave(state, ben) == 1
    assert len(label_all(state, anna)) == 1
    state.close()


def test_a_heartbeat_keeps_the_lease(db_url, manifest):
    clock = FakeClock()
    state = make_state(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    held = [row["id"] for row in next_items(state, anna, count=5)[0]]
    for _ in range(4):
        clock.advance(40)
        assert voting.heartbeat(state, anna, held)[0] == held
        assert voting.heartbeat(state, ben, held)[0] == []
        next_items(state, ben, count=1)
    assert [row["id"] for row in next_items(state, anna, count=5)[0]] == held
    state.close()


def test_skip_and_sign_out_release(db_url, manifest):
    state = make_state(manifest, db_url, overlap=1)
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    rows, _ = next_items(state, anna, count=5)
    assert not voting.skip(state, anna, skip_id="skip-0001", assignment_id=rows[0]["id"], reason="too dark")
    assert voting.skip(state, anna, skip_id="skip-0001", assignment_id=rows[0]["id"], reason="too dark")
    assert voting.leave(state, anna) == 4
    assert len(label_all(state, ben)) == 42
    again = make_state(manifest, db_url, overlap=2)
    shown_again = {row["item_id"] for row in label_all(again, anna)}
    assert len(shown_again) == 41
    assert rows[0]["item_id"] not in shown_again  # what was skipped is not shown again, what was only held is
    state.close()
    again.close()


def test_undo_any_number_back_reopens_the_last_undone_first(db_url, manifest):
    state = make_state(manifest, db_url)
    anna = add_user(state.store, "anna")
    done = label_all(state, anna, limit=4)
    next_items(state, anna, count=5)
    for number, row in enumerate(reversed(done)):
        undone, level = voting.undo(state, anna, f"undo-000{number}")
        assert (undone["id"], level) == (row["id"], 2)
    assert voting.undo(state, anna, "undo-0003")[0]["id"] == done[0]["id"]  # a retry undoes nothing more
    assert voting.undo(state, anna, "undo-0009") is None
    assert [row["id"] for row in next_items(state, anna, count=5)[0][:4]] == [row["id"] for row in done]
    assert progress_of(state, anna).done == 0
    vote(state, anna, done[0], 4)
    with state.store.read() as connection:
        assert connection.execute(text("SELECT level FROM current_votes")).scalars().all() == [4]
        assert connection.execute(text("SELECT COUNT(*) FROM events WHERE kind = 'vote'")).scalar_one() == 5
        check_consistency(connection)
    state.close()


def test_undo_takes_back_the_last_vote_also_where_it_was_one_too_many(db_url, manifest):
    clock = FakeClock()
    state = make_state(manifest, db_url, clock=clock, overlap=1, lease_seconds=60)
    anna, ben = add_user(state.store, "anna"), add_user(state.store, "ben")
    (early,) = label_all(state, anna, limit=1)
    (late,), _ = next_items(state, anna, count=1)
    clock.advance(61)
    assert len(label_all(state, ben)) == 41
    assert not vote(state, anna, late).counted
    undone, _ = voting.undo(state, anna, "undo-0001")
    assert (undone["id"], undone["state"]) == (late["id"], "released")
    assert voting.undo(state, anna, "undo-0002")[0]["id"] == early["id"]
    assert vote(state, anna, early).counted
    assert not vote(state, anna, early, level=4).counted  # from a second tab
    assert voting.undo(state, anna, "undo-0003")[0]["state"] == "voted"
    with state.store.read() as connection:
        current = connection.execute(
            text("SELECT level, stage FROM current_votes WHERE user_id = :id"), {"id": anna.id}
        )
        assert current.all() == [(2, "work")]
        check_consistency(connection)
    state.close()


def test_a_vote_on_pixels_that_are_gone_is_not_taken_back(db_url, manifest):
    state = make_state(manifest, db_url)
    anna = add_user(state.store, "anna")
    first, last = label_all(state, anna, limit=2)
    rows = read_manifest(manifest).rows()
    gone = next(
        i for i, row in enumerate(rows) if row["triplet_id"] == state.catalogue.by_id[last["item_id"]].triplet_id
    )
    make_manifest(manifest.parent, 42, changes={triplet_number(rows[gone]): {"pred_sha256": "f" * 64}})
    state.refresh(force=True)
    assert voting.undo(state, anna, "undo-0001")[0]["id"] == first["id"]
    assert voting.undo(state, anna, "undo-0002") is None
    make_manifest(manifest.parent, 42)  # and back again
    state.refresh(force=True)
    assert voting.undo(state, anna, "undo-0003")[0]["id"] == last["id"]
    state.close()


def triplet_number(row):
    """Return the place of a row in ``make_manifest``."""
    return int(row["triplet_id"].split("/")[2][:5])


def test_skipping_the_qualification_is_no_way_in(db_url, manifest):
    state = make_state(manifest, db_url)
    boss, anna = add_user(state.store, "boss", role="reviewer"), add_user(state.store, "anna")
    for item, purpose in zip(state.catalogue.ids.tolist(), ["qualification"] * 3 + ["gold"], strict=False):
        request = GoldRequest(gold_id=f"gold-{item:04d}", item_id=item, level=2, purpose=purpose)
        store_gold(state, boss, request)
    for number in range(3):
        (row,), _ = next_items(state, anna, count=1)
        voting.skip(state, anna, skip_id=f"skip-{number:04d}", assignment_id=row["id"], reason="")
    assert next_items(state, anna, count=1) == ([], "qualification")
    with state.store.write() as connection:
        connection.execute(text("UPDATE users SET stage = 'work' WHERE name = 'anna'"))
    assert progress_of(state, anna).remaining == len(label_all(state, anna)) == 38
    state.clock.advance(60)
    assert progress_of(state, anna).remaining == 0  # the hidden gold item that she did not meet is not work
    state.close()


def test_training_then_qualification_then_work(db_url, manifest):
    state = make_state(manifest, db_url)
    boss, anna = add_user(state.store, "boss", role="reviewer"), add_user(state.store, "anna")
    for index, item in enumerate(state.catalogue.ids[:12].tolist()):
        purpose = "training" if index < 5 else "qualification"
        request = GoldRequest(
            gold_id=f"gold-{index:04d}", item_id=item, level=1 + index % 4, purpose=purpose, note="look"
        )
        store_gold(state, boss, request)
    expected = {item: gold.level for item, gold in state.gold.items()}
    seen = []
    for _ in range(5):
        rows, _ = next_items(state, anna, count=5)
        seen.append(expected[rows[0]["item_id"]])
        feedback = vote(state, anna, rows[0], level=1).feedback
        assert (feedback.expected_level, feedback.within_one) == (seen[-1], seen[-1] <= 2)
    assert seen == sorted(seen, reverse=True)
    assert current_stage(state, anna) == "qualification"
    for _ in range(7):
        rows, _ = next_items(state, anna, count=1)
        voted = vote(state, anna, rows[0], level=5 - expected[rows[0]["item_id"]])  # all wrong
        assert voted.feedback is None
    assert next_items(state, anna, count=1) == ([], "qualification")  # a person decides
    with state.store.write() as connection:
        connection.execute(text("UPDATE users SET stage = 'work' WHERE name = 'anna'"))
    assert len(label_all(state, anna)) == 30
    state.close()


def test_a_failed_qualification_may_be_taken_again_twice(db_url, manifest):
    state = make_state(manifest, db_url)
    boss, anna = add_user(state.store, "boss", role="reviewer"), add_user(state.store, "anna")
    for index, item in enumerate(state.catalogue.ids[:10].tolist()):
        store_gold(state, boss, GoldRequest(gold_id=f"gold-{index:04d}", item_id=item, level=1 + index % 4,
                                            purpose="qualification"))  # fmt: skip
    for number in range(3):
        with pytest.raises(voting.ConflictError):  # not before it is over
            retake(state, anna, retake_id=f"retake-{number}-early")
        while rows := next_items(state, anna, count=1)[0]:
            vote(state, anna, rows[0], level=2)
        assert current_stage(state, anna) == "qualification"
        assert retakes_left(state, anna) == 2 - number
        if number < 2:
            assert [retake(state, anna, retake_id=f"retake-{number}") for _ in range(2)] == [False, True]
    with pytest.raises(voting.ConflictError):
        retake(state, anna, retake_id="retake-9")
    with state.store.read() as connection:
        check_consistency(connection)
        assert len(of_kind(connection, "vote")) == 30  # every try is in the log
        assert [load(row)["number"] for row in of_kind(connection, "retake")] == [1, 2]
    state.close()


def test_gold_and_repeats_are_mixed_in_and_look_like_work(db_url, tmp_path):
    state = make_state(make_manifest(tmp_path, 90), db_url, gold_rate=0.1, repeat_rate=0.1, overlap=1)
    state.rng = np.random.default_rng(1)
    boss, anna = add_user(state.store, "boss", role="reviewer"), add_user(state.store, "anna")
    for item in state.catalogue.ids[:4].tolist():
        store_gold(state, boss, GoldRequest(gold_id=f"gold-{item:04d}", item_id=item, level=2))
    kinds = Counter(row["kind"] for row in label_all(state, anna))
    assert kinds["work"] == 86
    assert kinds["gold"] == 4
    assert 2 <= kinds["repeat"] <= 20
    with state.store.read() as connection:
        complete, wanted = compute_stats(connection).items_full, compute_stats(connection).votes_wanted
    assert (complete, wanted) == (90, 90)  # gold wants no votes: 86 and 4 were given
    state.close()


@pytest.mark.parametrize("order", ["uncertain", "model"])
def test_what_a_vote_says_most_about_comes_first_and_is_marked(db_url, tmp_path, order):
    path = make_manifest(tmp_path, 42)
    scored = read_manifest(path)
    scored.with_columns({"score": [1.5 if index < 10 else 1.0 for index in range(42)]}).write()
    state = make_state(path, db_url, order=order, random_share=0.0, overlap=1)
    anna = add_user(state.store, "anna")
    first_ten = label_all(state, anna, limit=10)
    uncertain = set(state.catalogue.ids[:10].tolist())
    assert len(uncertain & {row["item_id"] for row in first_ten}) >= 8  # the clip rule may defer one or two
    with state.store.read() as connection:
        chosen = Counter(connection.execute(text("SELECT chosen_by FROM assignments")).scalars())
    assert chosen == {"worth": 10}
    state.close()
