"""What comes out: levels in the manifest, the long table, Label Studio both ways, statistics."""

import json

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dataset_tools.manifest import read_manifest
from labeling_app import voting
from labeling_app.ballots import long_table, read_votes
from labeling_app.consensus import consensus
from labeling_app.exporting import export_label_studio, export_manifest, export_table, watch
from labeling_app.label_studio import LabelStudioError, import_tasks, read_tasks
from labeling_app.review import store_verdict
from labeling_app.schemas import ReviewRequest, VoteRequest
from labeling_app.serving import next_items
from labeling_app.stats import compute_stats
from tests.labeling_app.helpers import add_rows, add_user, make_bench, make_manifest

LEVELS = {"anna": 1, "ben": 2, "cleo": 4}


@pytest.fixture
def manifest(tmp_path):
    """A manifest of 14 triplets over 7 clips."""
    return make_manifest(tmp_path / "data", 14)


@pytest.fixture
def bench(sqlite_url, manifest):
    """Anna, Ben and Cleo have voted 1, 2 and 4 on everything."""
    opened = make_bench(manifest, sqlite_url)
    for name, level in LEVELS.items():
        label_all(opened, add_user(opened.store, name), level)
    yield opened
    opened.close()


def label_all(bench, user, level, limit=1000):
    for number in range(limit):
        rows, _ = next_items(bench, user, count=1)
        if not rows:
            return
        fields = {"flagged": number == 0, "comment": "=HYPERLINK(1)" if number == 0 else None, "seconds": 1.5}
        request = VoteRequest(vote_id=f"vote-{rows[0]['id']:05d}", assignment_id=rows[0]["id"], level=level, **fields)
        voting.vote(bench, user, request)


def test_votes_and_consensus_go_into_the_manifest(bench, manifest):
    before = read_manifest(manifest)
    done = export_manifest(bench.store, manifest, method="median")
    assert (done.rows, done.votes) == (14, 42)
    after = read_manifest(manifest)
    for name in before.table.column_names:
        if name not in ("level", "level_source", "num_annotations", "votes"):
            assert after.table.column(name).equals(before.table.column(name)), name
    row = after.rows()[0]
    assert (row["level"], row["level_source"], row["num_annotations"]) == (2.0, "human", 3)
    assert {vote["annotator"]: vote["level"] for vote in row["votes"]} == LEVELS
    assert row["votes"][0]["created_at"].tzinfo is not None
    assert row["votes"][0]["seconds"] == 1.5
    assert sum(vote["flagged"] for each in after.rows() for vote in each["votes"]) == 3
    stamp = json.loads(after.metadata["consensus"])
    assert (stamp["method"], stamp["votes"], stamp["rows"]) == ("median", 42, 14)


@pytest.mark.parametrize(("method", "level"), [("mean", 7 / 3), ("majority", 4.0), ("raters", 7 / 3)])
def test_the_method_is_an_option(bench, manifest, method, level):
    export_manifest(bench.store, manifest, method=method)
    assert read_manifest(manifest).rows()[0]["level"] == pytest.approx(level, abs=0.05)


def test_a_verdict_stands_in_place_of_the_consensus_and_the_votes_stay(bench, manifest):
    rita = add_user(bench.store, "rita", role="reviewer")
    item = int(bench.catalogue.ids[0])
    store_verdict(bench, rita, ReviewRequest(verdict_id="verdict-01", item_id=item, level=3))
    export_manifest(bench.store, manifest, method="median")
    row = read_manifest(manifest).rows()[0]
    assert (row["level"], row["num_annotations"]) == (3.0, 3)


def test_changed_pixels_are_a_new_item_and_old_votes_stay_with_the_old_pixels(bench, manifest):
    labelled = read_manifest(manifest)
    new = {**labelled.rows()[0], "triplet_id": "videos/new/0-1-2@256p", "clip": "new"}
    changed = make_manifest(manifest.parent, 14, changes={5: {"pred_sha256": "f" * 64}})
    add_rows(read_manifest(changed), manifest, [new])
    bench.refresh(force=True)
    assert len(bench.catalogue.ids) == 15
    done = export_manifest(bench.store, manifest, method="median")
    assert (done.rows, done.votes) == (13, 39)
    unlabelled = [row["triplet_id"] for row in read_manifest(manifest).rows() if row["level"] is None]
    assert len(unlabelled) == 2
    with bench.store.read() as connection:
        assert len(read_votes(connection)) == 42
    anna = add_user(bench.store, "dora")
    rows, _ = next_items(bench, anna, count=5)
    assert len(rows) == 2  # only what has no three votes yet


def test_rows_without_votes_keep_what_they_have(db_url, manifest):
    proxies = read_manifest(manifest)
    proxies.with_columns({"level": [2.5] * 14, "level_source": ["proxy"] * 14}).write()
    bench = make_bench(manifest, db_url)
    anna = add_user(bench.store, "anna")
    label_all(bench, anna, 4, limit=3)
    voting.undo(bench, anna, "undo-00001")
    export_manifest(bench.store, manifest, method="median")
    with bench.store.read() as connection:
        assert compute_stats(connection).histogram == [0, 0, 0, 2]
    sources = [(row["level"], row["level_source"]) for row in read_manifest(manifest).rows()]
    assert (sources.count((4.0, "human")), sources.count((2.5, "proxy"))) == (2, 12)
    bench.close()


def test_long_table_as_parquet_and_csv(bench, tmp_path):
    paths = [tmp_path / "votes.parquet", tmp_path / "votes.csv"]
    assert [export_table(bench.store, path) for path in paths] == [42, 42]
    table, text = pq.read_table(paths[0]).to_pandas(), pd.read_csv(paths[1])
    assert list(table.columns) == list(text.columns)
    assert table["level"].tolist() == text["level"].tolist()
    assert table.groupby("annotator")["level"].first().to_dict() == LEVELS
    assert str(table["created_at"].dt.tz) == "UTC"
    assert table["comment"].dropna().tolist() == ["=HYPERLINK(1)"] * 3
    assert text["comment"].dropna().tolist() == ["'=HYPERLINK(1)"] * 3  # a spreadsheet must not run it


def test_label_studio_there_and_back(bench, sqlite_url, tmp_path):
    path = tmp_path / "tasks.json"
    assert export_label_studio(bench.store, path) == 14
    other = make_bench(bench.settings.manifest, f"sqlite:///{tmp_path / 'other.sqlite'}")
    tasks = read_tasks(path)
    for expected in ((42, 0), (0, 42)):  # the second time changes nothing
        with other.store.write() as connection:
            result = import_tasks(connection, tasks, now_us=1)
        assert (result.votes, result.known, result.rejected) == (*expected, [])
    with bench.store.read() as ours, other.store.read() as theirs:
        columns = ["item_key", "annotator", "level", "seconds", "created_at_us"]
        tables = [
            read_votes(connection)[columns].sort_values(["item_key", "annotator"]).to_numpy().tolist()
            for connection in (ours, theirs)
        ]
    assert tables[0] == tables[1]
    other.close()


@pytest.mark.parametrize(
    ("result", "level"),
    [
        ({"from_name": "level", "value": {"rating": 3}}, 3),
        ({"from_name": "level", "value": {"choices": ["2 slight"]}}, 2),
        ({"from_name": "level", "value": {"choices": ["12"]}}, None),
        ({"from_name": "level", "value": {"rating": 5}}, None),
        ({"from_name": "other", "value": {"rating": 3}}, None),
        ({"from_name": "level", "value": None}, None),
    ],
)
def test_what_label_studio_may_hold(sqlite_url, manifest, result, level):
    bench = make_bench(manifest, sqlite_url)
    triplet_id = read_manifest(manifest).rows()[0]["triplet_id"]
    annotation = {
        "id": 1,
        "completed_by": 7,
        "lead_time": "x",
        "created_at": "2026-01-02T03:04:05Z",
        "result": [result],
    }
    with bench.store.write() as connection:
        done = import_tasks(
            connection, [{"id": 1, "data": {"triplet_id": triplet_id}, "annotations": [annotation]}], now_us=1
        )
        votes = read_votes(connection)
    assert votes["level"].tolist() == ([] if level is None else [level])
    assert len(done.rejected) == (level is None)
    bench.close()


@pytest.mark.parametrize("content", ["", "{", '{"a": 1}', "[1]", "[" * 20_000])
def test_what_is_not_label_studio(tmp_path, content):
    path = tmp_path / "tasks.json"
    path.write_text(content)
    with pytest.raises(LabelStudioError, match=r"tasks\.json"):
        read_tasks(path)


def test_watch_exports_when_something_new_has_come(bench):
    class StopWatchingError(Exception):
        pass

    exports, naps = [], iter(["nothing new", "a vote", "stop"])

    def sleep(seconds):
        nap = next(naps)
        if nap == "a vote":
            dora = add_user(bench.store, "boss")
            voting.save_settings(bench, dora, {})  # changes no label
            item = int(bench.catalogue.ids[0])
            store_verdict(bench, dora, ReviewRequest(verdict_id="verdict-01", item_id=item, level=3))
        if nap == "stop":
            raise StopWatchingError

    with pytest.raises(StopWatchingError):
        watch(lambda: exports.append(1), bench.store, every_seconds=9, sleep=sleep)
    assert len(exports) == 2


def test_statistics_of_votes_with_known_figures(bench):
    with bench.store.read() as connection:
        stats = compute_stats(connection)
        votes = read_votes(connection)
    assert (stats.items, stats.items_full, stats.votes, stats.votes_wanted) == (14, 14, 42, 42)
    assert stats.histogram == [14, 14, 0, 14]
    assert stats.disagreeing == 14
    assert [alpha.group for alpha in stats.alpha] == [
        "all", "resolution 1080p", "resolution 256p", "resolution 720p", "source videos", "source vimeo90k",
    ]  # fmt: skip
    overall = stats.alpha[0]
    assert overall.alpha < 0
    assert overall.low <= overall.alpha <= overall.high
    assert [(pair.first, pair.second, pair.items) for pair in stats.pairs] == [
        ("anna", "ben", 14), ("anna", "cleo", 14), ("ben", "cleo", 14),
    ]  # fmt: skip
    bias = {who.name: who.bias for who in stats.annotators}
    assert bias == {name: pytest.approx(level - 7 / 3, abs=0.01) for name, level in LEVELS.items()}
    assert stats.days[-1].total == 42
    assert consensus(votes["item_id"], votes["annotator"], votes["level"], method="mean").mean() == pytest.approx(7 / 3)
    assert long_table(votes)["created_at"].is_monotonic_increasing
