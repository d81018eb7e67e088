"""A paired project from the first item to the manifest, through the API."""

import itertools
from dataclasses import replace

import pandas as pd
import pytest
from sqlalchemy import text

from dataset_tools.errors import ManifestError, UsageError
from dataset_tools.manifest import read_manifest
from labeling_app.annotation.gold import GoldRow, read_gold, store_gold_rows
from labeling_app.annotation.state import open_state
from labeling_app.commands.serve import main
from labeling_app.database.audit import check_consistency
from labeling_app.exchange.exporting import export_label_studio, export_manifest, export_table
from labeling_app.projects import read_projects
from labeling_app.quality.pair_scores import scores_of
from labeling_app.quality.stats import compute_stats
from labeling_app.settings import Settings
from tests.labeling_app.helpers import PASSWORD, Client, add_user, make_manifest, make_rival, make_state

PEOPLE = {"anna": "annotator", "ben": "annotator", "cleo": "annotator", "rita": "reviewer"}


@pytest.fixture
def paired(tmp_path, db_url):
    """(state, the two manifests): 6 triplets with two predictions each, 4 people."""
    manifest = make_manifest(tmp_path / "data", 6, changes={row: {"predictor": "fast"} for row in range(6)})
    rival = make_rival(manifest, tmp_path / "other", predictor="slow")
    state = make_state(manifest, db_url, against=rival)
    for name, role in PEOPLE.items():
        add_user(state.store, name, role=role, password=PASSWORD)
    yield state, manifest, rival
    state.close()


def sign_in(state, name):
    client = Client(state)
    assert client.sign_in(name).status_code == 200
    return client


def answer(client, item, worse, **fields):
    body = {"vote_id": f"vote-{item['assignment_id']:05d}", "assignment_id": item["assignment_id"], "worse": worse}
    return client.post("/api/votes", {**body, **fields})


def pictures(state, item):
    """Who made the picture on the left and on the right."""
    roots = {state.settings.manifest.parent: "pred", state.settings.against.parent: "rival"}
    found = [state.catalogue.files[item["images"][side].removeprefix("/img/")] for side in ("left", "right")]
    return [roots[picture.root] for picture in found]


def always(state, name, worse_role):
    """Label everything: always the same predictor is worse, or "same"."""
    client, given = sign_in(state, name), []
    while items := client.items(1):
        sides = pictures(state, items[0])
        worse = "same" if worse_role == "same" else ("left", "right")[sides.index(worse_role)]
        given.append((sides[0], worse))
        assert answer(client, items[0], worse).json()["counted"]
    return given


def stored(state):
    with state.store.read() as connection:
        check_consistency(connection)
        return connection.execute(text("SELECT level, payload FROM current_votes ORDER BY id")).all()


def test_a_pair_shows_two_pictures_and_the_truth_and_says_not_which_is_which(paired):
    state, _, _ = paired
    (item,) = sign_in(state, "anna").items()
    assert item["paired"]
    assert {name for name, address in item["images"].items() if address} == {"img0", "img1", "gt", "left", "right"}
    client = sign_in(state, "anna")
    left, right = (client.get(item["images"][side]).content for side in ("left", "right"))
    files = [state.settings.manifest.parent / "pred.png", state.settings.against.parent / "other.png"]
    assert sorted([left, right]) == sorted(path.read_bytes() for path in files)
    assert "pred" not in str({**item, "images": None})


def test_answers_count_for_the_prediction_whatever_its_side(paired):
    state, _, _ = paired
    sides = [left for name in ("anna", "ben") for left, _ in always(state, name, "rival")]
    assert sides.count("pred") == sides.count("rival") == 6  # two people: each item once from either side
    assert [row.level for row in stored(state)] == [3] * 12
    assert {'"left":"pred"' in row.payload for row in stored(state)} == {True, False}


def test_a_retry_is_one_answer_and_another_one_under_its_id_is_refused(paired):
    state, _, _ = paired
    anna = sign_in(state, "anna")
    (item,) = anna.items()
    assert [answer(anna, item, "left").json()["duplicate"] for _ in range(2)] == [False, True]
    assert answer(anna, item, "right").json()["code"] == "conflict"
    assert len(stored(state)) == 1


@pytest.mark.parametrize("fields", [{"level": 2}, {"level": 2, "worse": "left"}, {}, {"worse": "both"}], ids=str)
def test_a_pair_wants_a_side(paired, fields):
    state, _, _ = paired
    anna = sign_in(state, "anna")
    (item,) = anna.items()
    refused = anna.post("/api/votes", {"vote_id": "vote-0000", "assignment_id": item["assignment_id"], **fields})
    assert (refused.status_code, refused.json()["code"]) == (422, "fields")
    assert stored(state) == []


def test_undo_history_and_correction_speak_of_the_sides_that_were_seen(paired):
    state, _, _ = paired
    anna = sign_in(state, "anna")
    first, second = anna.items(2)
    answer(anna, first, "left")
    answer(anna, second, "right", comment="the arm")
    entries = anna.get("/api/history").json()["items"]
    assert [(entry["worse"], entry["level"]) for entry in entries] == [("right", None), ("left", None)]  # a level tells
    assert entries[1]["item"]["images"] == first["images"]
    assert answer(anna, first, "same", vote_id="correction", corrects=True).json()["counted"]
    assert [entry["worse"] for entry in anna.get("/api/history").json()["items"]] == ["same", "right"]
    undone = [anna.post("/api/undo", {"undo_id": f"undo-{number}-00"}).json() for number in range(2)]
    assert [(one["worse"], one["level"], one["comment"]) for one in undone] == [
        ("same", None, None),
        ("right", None, "the arm"),
    ]
    assert stored(state) == []


def test_leads_see_disagreement_decide_and_cannot_give_a_level_of_the_other_scale(paired):
    state, _, _ = paired
    always(state, "anna", "pred")
    always(state, "ben", "rival")
    rita = sign_in(state, "rita")
    queue = rita.get("/api/review").json()
    assert queue["total"] == 6
    item = queue["items"][0]
    assert item["images"]["left"] == item["images"]["pred"] != item["images"]["right"]
    assert [vote["level"] for vote in item["votes"]] == [1, 3]
    for path, body in {
        "/api/review": {"verdict_id": "verdict-1"},
        "/api/gold": {"gold_id": "gold-00001"},
    }.items():
        assert rita.post(path, {**body, "item_id": item["item_id"], "level": 4}).status_code == 400
        assert rita.post(path, {**body, "item_id": item["item_id"], "level": 1}).status_code == 200
    order = {"action_id": "decide-001", "action": "decide", "level": 4}
    assert rita.post("/api/desk", order).status_code == 400
    assert rita.get("/api/review").json()["total"] == 5


def test_a_gold_file_with_a_level_for_a_pair_is_refused_by_name(paired):
    state, manifest, _ = paired
    names = [row["triplet_id"] for row in read_manifest(manifest).rows()[:2]]
    rows = [GoldRow(name, level, "", "gold") for name, level in zip(names, (3, 4), strict=True)]
    with pytest.raises(UsageError, match=f"triplet '{names[1]}': level .4. of a pair must be 1"):
        state.store.transact(lambda connection: store_gold_rows(connection, rows, now_us=1))
    with state.store.read() as connection:
        assert read_gold(connection) == {}  # all of a file or nothing


def test_gold_pairs_are_hidden_checks_and_hold_nobody_back(paired):
    state, _, _ = paired
    known = int(state.catalogue.ids[2])
    order = {"gold_id": "gold-00001", "item_id": known, "level": 3, "purpose": "training"}
    assert sign_in(state, "rita").post("/api/gold", order).status_code == 200
    state.settings = replace(state.settings, gold_rate=1.0)
    anna = sign_in(state, "anna")
    assert anna.get("/api/session").json()["stage"] == "work"
    anna.items()
    with state.store.read() as connection:
        assert connection.execute(text("SELECT kind, item_id FROM assignments")).all() == [("gold", known)]


def test_scores_go_into_both_manifests_without_votes_that_were_set_aside(paired, tmp_path):
    state, manifest, rival = paired
    for name, worse in {"anna": "pred", "ben": "pred", "cleo": "rival"}.items():
        always(state, name, worse)
    before = read_manifest(manifest).rows()
    done = export_manifest(state.store, manifest, method="raters")
    assert (done.rows, done.votes, done.pairs) == (0, 0, 6)
    expected = scores_of([("p", "q", 1), ("p", "q", 1), ("p", "q", 3)])["p"]
    for row, old in zip(read_manifest(manifest).rows(), before, strict=True):
        assert row["score_pairs"] == pytest.approx(expected.score, rel=1e-6)
        assert expected.score > 0
        assert [row["score_pairs_low"], row["score_pairs_high"]] == pytest.approx(
            [expected.low, expected.high], rel=1e-6
        )
        assert row["num_pairs"] == 3
        assert {k: v for k, v in row.items() if "pairs" not in k} == {k: v for k, v in old.items() if "pairs" not in k}
    export_manifest(state.store, rival, method="median")
    assert [row["score_pairs"] for row in read_manifest(rival).rows()] == pytest.approx([-expected.score] * 6, rel=1e-6)
    order = {"action_id": "exclude-01", "action": "exclude"}
    assert sign_in(state, "rita").post("/api/desk", order).json()["votes"] == 18
    export_manifest(state.store, manifest, method="median")
    assert {(row["score_pairs"], row["num_pairs"]) for row in read_manifest(manifest).rows()} == {(None, 0)}


def test_pressing_one_side_again_and_again_shows(paired):
    state, _, _ = paired
    pressed = [worse for _, worse in always(state, "anna", "rival")]
    ben = sign_in(state, "ben")
    while items := ben.items(1):
        answer(ben, items[0], "left")
    with state.store.read() as connection:
        figures = {who.name: who for who in compute_stats(connection).annotators}
    assert (figures["ben"].longest_run, figures["ben"].top_level_share) == (6, 1)
    runs = [len(list(run)) for _, run in itertools.groupby(pressed)]  # one predictor, both sides
    assert figures["anna"].longest_run == max(runs)
    assert figures["anna"].histogram == [0, 0, 6]


def test_statistics_count_three_answers(paired, capsys, db_url):
    state, manifest, _ = paired
    for name, worse in {"anna": "pred", "ben": "rival", "cleo": "same"}.items():
        always(state, name, worse)
    rita = sign_in(state, "rita")
    stats = rita.get("/api/stats").json()
    assert (stats["paired"], stats["histogram"], stats["disagreeing"]) == (True, [6, 6, 6], 6)
    assert stats["pairs"][0]["confusion"] == [[0, 0, 6], [0, 0, 0], [0, 0, 0]]  # anna first, ben second
    assert [who["histogram"] for who in stats["annotators"]] == [[6, 0, 0], [0, 0, 6], [0, 6, 0]]
    assert rita.get("/api/desk").json()["items"][0]["histogram"] == [1, 1, 1]
    assert main(["stats", "--manifest", str(manifest), "--db", db_url]) == 0
    said = capsys.readouterr().out
    assert "answers      6 first worse, 6 same, 6 second worse\n" in said
    assert "disagreeing  6 triplets with answers to both sides\n" in said
    assert "level" not in said


def test_tables_carry_the_answers_and_label_studio_does_not(paired, tmp_path):
    state, _, _ = paired
    always(state, "anna", "rival")
    always(state, "ben", "same")
    export_table(state.store, tmp_path / "votes.csv")
    table = pd.read_csv(tmp_path / "votes.csv")
    assert table["worse"].tolist() == ["rival"] * 6 + ["same"] * 6
    assert table["level"].isna().all()
    assert set(table["left"]) == {"pred", "rival"}
    assert {*table["predictor"], *table["rival_predictor"]} == {"fast", "slow"}
    assert export_label_studio(state.store, tmp_path / "tasks.json") == 0


def test_commands_beside_the_server_see_its_pairs_and_levels_rest_meanwhile(paired, db_url, capsys):
    state, manifest, _ = paired
    always(state, "anna", "rival")
    beside = open_state(Settings(manifest, db_url=db_url), serving=False)
    assert beside.catalogue.ids.tolist() == state.catalogue.ids.tolist()
    assert all(info.is_pair for info in beside.catalogue.by_id.values())
    beside.close()
    levels = make_state(manifest, db_url)  # the same database, asked for levels from now on
    assert not any(info.is_pair for info in levels.catalogue.by_id.values())
    anna = sign_in(levels, "anna")
    (item,) = anna.items()
    assert answer(anna, item, "left").json()["code"] == "fields"
    assert anna.vote(item, 4).status_code == 200
    done = export_manifest(levels.store, manifest, method="median")
    assert (done.rows, done.votes, done.pairs) == (1, 1, 6)
    levels.close()


@pytest.mark.parametrize(
    ("options", "words"), [(["--blind"], "exclude each other"), (["--order", "model"], "needs levels")], ids=str
)
def test_what_does_not_go_with_pairs_is_said(tmp_path, capsys, options, words):
    manifest = make_manifest(tmp_path / "data", 2)
    assert main(["--manifest", str(manifest), "--against", str(manifest), *options]) == 2
    assert words in capsys.readouterr().err


def test_a_project_of_several_is_paired_by_its_file(tmp_path):
    (tmp_path / "projects.yaml").write_text(
        "a: {manifest: a.parquet, against: b.parquet}\nb: {manifest: b/m.parquet}\n"
    )
    found = read_projects(tmp_path / "projects.yaml", Settings(tmp_path / "x", against=tmp_path / "y"))
    assert {name: one.against for name, one in found.items()} == {"a": tmp_path / "b.parquet", "b": None}


def test_a_second_manifest_without_another_prediction_is_refused(tmp_path, sqlite_url):
    manifest = make_manifest(tmp_path / "data", 2)
    with pytest.raises(ManifestError, match="has no other prediction of any triplet"):
        make_state(manifest, sqlite_url, against=make_manifest(tmp_path / "same", 2))
