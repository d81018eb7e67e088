"""What comes out: levels in the manifest, the long table, statistics."""

import json
import re
from dataclasses import asdict

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dataset_tools.errors import ManifestError
from dataset_tools.manifest import from_rows, read_manifest
from labeling_app.annotation import voting
from labeling_app.annotation.review import review_queue, store_gold, store_verdict
from labeling_app.annotation.serving import next_items
from labeling_app.desk.reading import desk_table
from labeling_app.exchange import exporting
from labeling_app.exchange.exporting import export_manifest, export_table, read_long_table, watch
from labeling_app.quality.consensus import consensus
from labeling_app.quality.stats import compute_stats
from labeling_app.quality.votes import long_table, read_votes
from labeling_app.schemas import GoldRequest, ReviewRequest, VoteRequest
from tests.labeling_app.helpers import add_rows, add_user, make_manifest, make_state

LEVELS = {"anna": 1, "ben": 2, "cleo": 4}


@pytest.fixture
def manifest(tmp_path):
    """A manifest of 14 triplets over 7 clips."""
    return make_manifest(tmp_path / "data", 14)


@pytest.fixture
def state(sqlite_url, manifest):
    """Anna, Ben and Cleo have voted 1, 2 and 4 on everything."""
    opened = make_state(manifest, sqlite_url)
    for name, level in LEVELS.items():
        label_all(opened, add_user(opened.store, name), level)
    yield opened
    opened.close()


def label_all(state, user, level, limit=1000):
    for number in range(limit):
        rows, _ = next_items(state, user, count=1)
        if not rows:
            return
        fields = {"flagged": number == 0, "seconds": 1.5, "view": {"mode": "+1"}}
        fields["comment"] = {0: "=HYPERLINK(1)", 1: 'a\r"b",\x00c\r\n\ud83d'}.get(number)
        request = VoteRequest(vote_id=f"vote-{rows[0]['id']:05d}", assignment_id=rows[0]["id"], level=level, **fields)
        voting.vote(state, user, request)


def test_votes_on_removed_triplets_are_in_no_figure_and_stay_in_the_table(state, manifest):
    present = read_manifest(manifest)
    from_rows(manifest, present.rows()[4:], metadata=present.metadata).write()
    state.refresh(force=True)
    with state.store.read() as connection:
        stats = compute_stats(connection)
    assert (stats.items, stats.items_full, stats.votes, stats.votes_wanted, stats.votes_removed) == (10, 10, 30, 30, 12)
    assert (stats.histogram, sum(who.votes for who in stats.annotators)) == ([10, 10, 0, 10], 30)
    assert stats.disagreeing == review_queue(state, limit=50).total == 10
    with state.store.read() as connection:
        table = desk_table(state, connection)
    assert table.items["votes"].tolist() == [3] * 10
    assert len(read_long_table(state.store)) == 42
    assert export_manifest(state.store, manifest, method="median").votes == 30
    present.write()  # the rows come back, and their votes with them
    state.refresh(force=True)
    with state.store.read() as connection:
        back = compute_stats(connection)
    assert (back.votes, back.votes_removed) == (42, 0)


def test_votes_and_consensus_go_into_the_manifest(state, manifest):
    before = read_manifest(manifest)
    done = export_manifest(state.store, manifest, method="median")
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
def test_the_method_is_an_option(state, manifest, method, level):
    export_manifest(state.store, manifest, method=method)
    assert read_manifest(manifest).rows()[0]["level"] == pytest.approx(level, abs=0.05)


def test_a_verdict_stands_in_place_of_the_consensus_and_the_votes_stay(state, manifest):
    rita = add_user(state.store, "rita", role="reviewer")
    item = int(state.catalogue.ids[0])
    store_verdict(state, rita, ReviewRequest(verdict_id="verdict-01", item_id=item, level=3))
    export_manifest(state.store, manifest, method="median")
    row = read_manifest(manifest).rows()[0]
    assert (row["level"], row["num_annotations"]) == (3.0, 3)


def test_changed_pixels_are_a_new_item_and_old_votes_stay_with_the_old_pixels(state, manifest):
    labelled = read_manifest(manifest)
    new = {**labelled.rows()[0], "triplet_id": "videos/new/0-1-2@256p", "clip": "new"}
    changed = make_manifest(manifest.parent, 14, changes={5: {"pred_sha256": "f" * 64}})
    add_rows(read_manifest(changed), manifest, [new])
    state.refresh(force=True)
    assert len(state.catalogue.ids) == 15
    done = export_manifest(state.store, manifest, method="median")
    assert (done.rows, done.votes) == (13, 39)
    unlabelled = [row["triplet_id"] for row in read_manifest(manifest).rows() if row["level"] is None]
    assert len(unlabelled) == 2
    with state.store.read() as connection:
        assert len(read_votes(connection)) == 42
    anna = add_user(state.store, "dora")
    rows, _ = next_items(state, anna, count=5)
    assert len(rows) == 2  # only what has no three votes yet


def test_rows_without_votes_keep_what_they_have(db_url, manifest):
    proxies = read_manifest(manifest)
    proxies.with_columns({"level": [2.5] * 14, "level_source": ["proxy"] * 14}).write()
    state = make_state(manifest, db_url)
    anna = add_user(state.store, "anna")
    label_all(state, anna, 4, limit=3)
    voting.undo(state, anna, "undo-00001")
    export_manifest(state.store, manifest, method="median")
    with state.store.read() as connection:
        assert compute_stats(connection).histogram == [0, 0, 0, 2]
    sources = [(row["level"], row["level_source"]) for row in read_manifest(manifest).rows()]
    assert (sources.count((4.0, "human")), sources.count((2.5, "proxy"))) == (2, 12)
    state.close()


def test_long_table_as_parquet_and_csv(state, tmp_path):
    paths = [tmp_path / "votes.parquet", tmp_path / "votes.csv"]
    assert [export_table(state.store, path) for path in paths] == [42, 42]
    table, text = pq.read_table(paths[0]).to_pandas(), pd.read_csv(paths[1])
    assert list(table.columns) == list(text.columns)
    assert table["level"].tolist() == text["level"].tolist()
    assert table.groupby("annotator")["level"].first().to_dict() == LEVELS
    assert str(table["created_at"].dt.tz) == "UTC"
    assert table["comment"].dropna().tolist() == ["=HYPERLINK(1)", 'a\r"b",\x00c\r\n?'] * 3  # half an emoji at the end
    # A spreadsheet must not run it, and no row ends early.
    assert text["comment"].dropna().tolist() == ["'=HYPERLINK(1)", 'a\n"b",c\n?'] * 3
    assert (set(table["mode"]), set(text["mode"])) == ({"+1"}, {"'+1"})


def test_the_table_has_the_same_types_without_any_vote(state, manifest, tmp_path):
    empty = make_state(manifest, f"sqlite:///{tmp_path}/empty.sqlite")
    tables = [tmp_path / "votes.parquet", tmp_path / "none.parquet"]
    assert [export_table(opened.store, path) for opened, path in zip((state, empty), tables, strict=True)] == [42, 0]
    assert pq.read_schema(tables[0]).equals(pq.read_schema(tables[1]))
    empty.close()


class StopWatchingError(Exception):
    """Ends a watch that would run for ever."""


def watching(state, manifest, naps, *, out=None):
    """Watch while the steps ``naps`` happen in between; return the exports done and the notes printed."""
    exports, notes, steps = [], [], iter(naps)

    def once():
        exports.append(export_manifest(state.store, manifest, method="median", out=out))
        return exports[-1]

    def sleep(_):
        step = next(steps, None)
        if step is None:
            raise StopWatchingError
        step()

    with pytest.raises(StopWatchingError):
        watch(once, state.store, manifest, every_seconds=9, note=notes.append, sleep=sleep)
    return exports, notes


@pytest.mark.parametrize("in_place", [True, False])
def test_watch_exports_when_something_new_has_come(state, manifest, tmp_path, in_place):
    rita = add_user(state.store, "rita")
    verdict = ReviewRequest(verdict_id="verdict-01", item_id=int(state.catalogue.ids[0]), level=3)
    fresh = read_manifest(manifest)
    naps = [
        (lambda: None, 0),
        (lambda: voting.save_settings(state, rita, {}), 0),  # changes no label
        (lambda: store_verdict(state, rita, verdict), 1),
        (fresh.write, 1),  # an extraction wrote the manifest anew, without levels
        (lambda: None, 0),
    ]
    out = None if in_place else tmp_path / "labelled.parquet"
    exports, notes = watching(state, manifest, [nap for nap, _ in naps], out=out)
    assert (len(exports), notes) == (1 + sum(more for _, more in naps), [])
    assert {row["level_source"] for row in read_manifest(out or manifest).rows()} == {"human"}


def test_watch_goes_on_after_a_failure_but_not_after_a_wrong_start(state, manifest):
    whole = manifest.read_bytes()
    naps = [lambda: manifest.write_bytes(b"half copied"), manifest.unlink, lambda: manifest.write_bytes(whole)]
    exports, notes = watching(state, manifest, naps)
    assert [done.votes for done in exports] == [42, 42]
    assert [re.search("not a readable|No such file", note)[0] for note in notes] == ["not a readable", "No such file"]
    assert "\n" not in "".join(notes)
    manifest.write_bytes(b"not parquet")
    with pytest.raises(ManifestError):
        watch(lambda: export_manifest(state.store, manifest, method="median"), state.store, manifest,
              every_seconds=9, note=notes.append)  # fmt: skip


def test_rows_that_come_during_an_export_are_not_lost(state, manifest, monkeypatch):
    labelled, meanwhile = exporting._labelled, iter([True])

    def slow(store, read, method):
        if next(meanwhile, False):  # once
            add_rows(read, manifest, [{**read.rows()[0], "triplet_id": "videos/new/0-1-2@256p"}])
        return labelled(store, read, method)

    monkeypatch.setattr(exporting, "_labelled", slow)
    assert export_manifest(state.store, manifest, method="median").votes == 42
    assert len(read_manifest(manifest)) == 15
    monkeypatch.setattr(exporting, "_labelled", lambda *given: (read_manifest(manifest).write(), labelled(*given))[1])
    with pytest.raises(ManifestError, match="is being written by something else"):
        export_manifest(state.store, manifest, method="median")


def test_what_is_no_longer_gold_has_no_level(sqlite_url, manifest):
    opened = make_state(manifest, sqlite_url)
    rita, item = add_user(opened.store, "rita", role="reviewer"), int(opened.catalogue.ids[0])
    for number, level in enumerate([2, None]):
        store_gold(opened, rita, GoldRequest(gold_id=f"gold-{number:04d}", item_id=item, level=level))
        export_manifest(opened.store, manifest, method="median")
        assert [row["level"] for row in read_manifest(manifest).rows()] == [level] + [None] * 13
    opened.close()


@pytest.mark.parametrize("levels", [{}, {"anna": 2}, {"anna": 2, "ben": 2}, {"anna": 1, "ben": 4}])
def test_statistics_are_json_whatever_the_votes(sqlite_url, manifest, levels):
    opened = make_state(manifest, sqlite_url)
    for name, level in levels.items():
        label_all(opened, add_user(opened.store, name), level)
    with opened.store.read() as connection:
        stats = json.loads(json.dumps(asdict(compute_stats(connection)), allow_nan=False))
    assert stats["votes"] == 14 * len(levels)
    assert stats["alpha"][0]["alpha"] == (pytest.approx(-13 / 14) if 4 in levels.values() else None)
    opened.close()


def test_statistics_of_votes_with_known_figures(state):
    with state.store.read() as connection:
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
