"""filter, drop and merge on real data sets: rows, files, votes; and manifests that are folders."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dataset_tools import drop, filter, merge, verify  # noqa: A004
from dataset_tools.columns.file import open_manifest
from dataset_tools.columns.rewrite import Updates, rewrite_manifest, with_values
from dataset_tools.common.parquet import write_partitioned
from dataset_tools.errors import ManifestError
from dataset_tools.frames import fingerprint, pixels_sha256, read_image, write_image
from dataset_tools.manifest import SCHEMA, from_rows, read_manifest
from dataset_tools.prediction.run import predict_rows


def vote(name, level, day=1):
    moment = datetime(2026, 1, day, tzinfo=UTC)
    return {"annotator": name, "level": level, "created_at": moment, "seconds": 2.5, "flagged": False}


def write_votes(manifest, votes):
    manifest.with_columns({"votes": votes, "num_annotations": [len(each or []) for each in votes]}).write()
    return read_manifest(manifest.path)


@pytest.fixture
def labelled(unpredicted):
    return write_votes(unpredicted, [[vote("ada", 2)], [], None, [vote("ben", 4), vote("ada", 3)], []])


def test_filter_makes_a_whole_data_set(labelled, tmp_path, capsys):
    out = tmp_path / "voted"
    assert filter.main([str(labelled.root), "--where", "len(votes) > 0", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out}/data_manifest.parquet: 2 of 5 rows\n"
    chosen = read_manifest(out / "data_manifest.parquet")
    assert chosen.rows() == [row for row in labelled.rows() if row["votes"]]
    assert chosen.metadata == labelled.metadata
    assert verify.main([str(out)]) == 0
    first = chosen.rows()[0]["gt"]
    assert (out / first).samefile(labelled.root / first)  # no second copy on the disk


def test_filter_beside_the_manifest(labelled):
    out = labelled.root / "wide.parquet"
    assert (
        filter.main([str(labelled.path), "--where", "\"interval\" >= 2 and clip like 'big%'", "--out", str(out)]) == 0
    )
    assert [row["interval"] for row in read_manifest(out).rows()] == [2, 8]
    assert len(read_manifest(labelled.path)) == 5


@pytest.mark.parametrize(
    ("where", "says"),
    [("no_such > 1", "no_such"), ("level >", "syntax error"), ("level > 9", "no row of"), ("1); drop table x; --", "")],
)
def test_wrong_expressions_are_wrong_usage(labelled, tmp_path, capsys, where, says):
    assert filter.main([str(labelled.path), "--where", where, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_drop_keeps_what_people_voted_on(labelled, capsys):
    assert drop.main([str(labelled.path), "--clip", "videos/bigbuckbunny.mp4"]) == 0
    assert "2 rows dropped, 3 left, 1 kept because of their votes" in capsys.readouterr().out
    assert [row["clip"] for row in read_manifest(labelled.path).rows()] == [
        "bigbuckbunny.mp4",
        "bikes.mp4",
        "bikes.mp4",
    ]
    assert drop.main([str(labelled.path), "--where", "clip = 'bikes.mp4'", "--with-votes"]) == 0
    assert len(read_manifest(labelled.path)) == 1
    assert drop.main([str(labelled.path)]) == 2


def split_off(manifest, folder: Path, keep: slice, votes=None) -> Path:
    """Return a data set of some rows of another one."""
    shutil.copytree(manifest.root, folder)
    rows = manifest.rows()[keep]
    for row in rows:
        row["votes"] = (votes or {}).get(row["triplet_id"], row["votes"])
    from_rows(folder / "data_manifest.parquet", rows, metadata=manifest.metadata).write()
    return folder


def test_merge_joins_doubles_and_keeps_votes(labelled, tmp_path, capsys):
    ids = [row["triplet_id"] for row in labelled.rows()]
    monday = split_off(labelled, tmp_path / "monday", slice(0, 3))
    newer = {ids[0]: [vote("ada", 1, day=2), vote("cyd", 3)]}
    tuesday = split_off(labelled, tmp_path / "tuesday", slice(0, 5), newer)
    out = tmp_path / "both"
    assert merge.main([str(monday), str(tuesday), "--out", str(out)]) == 0
    assert f"{out}: 5 rows, 3 doubles joined, 0 clips moved" in capsys.readouterr().out
    rows = {row["triplet_id"]: row for row in read_manifest(out).rows()}
    assert list(rows) == ids
    given = {each["annotator"]: each["level"] for each in rows[ids[0]]["votes"]}
    assert given == {"ada": 1, "cyd": 3}  # of each annotator the newest
    assert rows[ids[0]]["num_annotations"] == 2
    assert [each["annotator"] for each in rows[ids[3]]["votes"]] == ["ben", "ada"]
    assert verify.main([str(out)]) == 0


def test_merge_leaves_another_clip_of_the_same_name_out_and_puts_a_recording_into_one_split(labelled, tmp_path, capsys):
    one = split_off(labelled, tmp_path / "one", slice(0, 3))  # bigbuckbunny, val
    rows = [{**row, "clip": "copy.mp4", "split": "train", "clip_sha256": "1" * 64} for row in labelled.rows()[:3]]
    rows = [{**row, "triplet_id": row["triplet_id"].replace("bigbuckbunny", "copy")} for row in rows]
    changed = {"interval": 1, "gt_index": 4, "img1_index": 5, "gt_sha256": "2" * 64}  # another triplet of the recording
    other = {**labelled.rows()[4], "clip": "bigbuckbunny.mp4", "clip_sha256": "3" * 64}
    two = tmp_path / "two"
    shutil.copytree(labelled.root, two)
    from_rows(two / "data_manifest.parquet", [{**rows[0], **changed}, other], metadata=labelled.metadata).write()
    out = tmp_path / "both"
    assert merge.main([str(one), str(two), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "1 rows are in" in said
    assert "4 rows, 0 doubles joined, 2 clips moved to one split" in said or "1 clips moved" in said
    merged = read_manifest(out)
    assert len({row["split"] for row in merged.rows()}) == 1
    assert [row["triplet_id"] for row in read_manifest(out / "left_out.parquet").rows()] == [other["triplet_id"]]


SCORED = {"score_pairs": 0.5, "score_pairs_low": -0.5, "score_pairs_high": 1.5, "num_pairs": 3}


def test_merge_of_two_predictions_keeps_the_judged_one(labelled, tmp_path):
    """Judged by votes or in pairs; where both were, the second is left out with what was said of it."""
    ids = [row["triplet_id"] for row in labelled.rows()]
    sets = []
    for name, place, levels, in_pairs in (("one", 0, 90, (4,)), ("two", 3, 120, (2, 4))):
        folder = tmp_path / name
        shutil.copytree(labelled.root, folder)
        rows = read_manifest(folder).rows()
        for number, row in enumerate(rows):
            pixels = np.full_like(read_image(folder / row["gt"]), levels)
            row["pred"] = f"pred/{name}/{number}.png"
            row |= {"pred_sha256": pixels_sha256(pixels), "pred_fingerprint": fingerprint(pixels)}
            row |= {"predictor": name, "predictor_sha256": name, "votes": [vote("ada", 2)] if number == place else []}
            row |= SCORED if number in in_pairs else {}
            write_image(folder / row["pred"], pixels)
        from_rows(folder / "data_manifest.parquet", rows, metadata=labelled.metadata).write()
        sets.append(str(folder))
    assert merge.main([*sets, "--out", str(tmp_path / "both")]) == 0
    merged = {row["triplet_id"]: row for row in read_manifest(tmp_path / "both").rows()}
    assert [merged[name]["predictor"] for name in ids] == ["one", "one", "two", "two", "one"]
    assert [len(merged[name]["votes"]) for name in ids] == [1, 0, 0, 1, 0]
    assert [merged[name]["num_pairs"] or 0 for name in ids] == [0, 0, 3, 0, 3]
    (out,) = read_manifest(tmp_path / "both" / "left_out.parquet").rows()
    assert (out["triplet_id"], out["predictor"]) == (ids[4], "two")
    assert {name: out[name] for name in SCORED} == SCORED


def test_merge_keeps_the_score_with_more_answers(labelled, tmp_path):
    sets = []
    for name, answers in (("one", (3, None, 2)), ("two", (5, 4, 1))):
        folder = tmp_path / name
        shutil.copytree(labelled.root, folder)
        rows = read_manifest(folder).rows()
        for row, num_pairs in zip(rows, answers, strict=False):
            row |= {"num_pairs": num_pairs, "score_pairs": num_pairs and float(num_pairs)}
        from_rows(folder / "data_manifest.parquet", rows, metadata=labelled.metadata).write()
        sets.append(str(folder))
    assert merge.main([*sets, "--out", str(tmp_path / "both")]) == 0
    rows = read_manifest(tmp_path / "both").rows()
    assert [(row["num_pairs"], row["score_pairs"]) for row in rows[:3]] == [(5, 5.0), (4, 4.0), (2, 2.0)]


def test_a_manifest_may_be_a_folder(predicted, capsys):
    whole = predicted.table
    predicted.path.unlink()
    write_partitioned(predicted.path, whole.replace_schema_metadata(predicted.metadata))
    parts = sorted(path.relative_to(predicted.path).as_posix() for path in predicted.path.rglob("*.parquet"))
    assert parts == ["source=videos/resolution=256p/part-0.parquet"]
    again = read_manifest(predicted.path)
    assert again.table.equals(whole)
    assert again.metadata == predicted.metadata
    assert read_manifest(predicted.root).table.equals(whole)  # found in its folder, too
    assert verify.main([str(predicted.path)]) == 0
    outcome = predict_rows(again, device="cpu")
    assert (outcome.num_done, outcome.num_current) == (0, 5)
    again.with_columns({"resolution": ["256p", "256p", "720p", "256p", "256p"]}).write()
    assert len(list(predicted.path.rglob("*.parquet"))) == 2
    assert [row["resolution"] for row in read_manifest(predicted.path).rows()][2] == "720p"
    assert (
        filter.main([str(predicted.path), "--where", "resolution = '720p'", "--out", f"{predicted.root}/few.parquet"])
        == 0
    )


def test_rewriting_in_pieces_is_the_same_as_at_once(predicted, monkeypatch):
    monkeypatch.setattr("dataset_tools.common.parquet.ROWS_PER_GROUP", 2)
    ids = predicted.table.column("triplet_id").to_pylist()
    new = pa.table({"triplet_id": [ids[4], "unknown", ids[1], ids[1]], "level": pa.array([1, 2, 3, 4], pa.float32())})
    updates = Updates(
        new.append_column("votes", pa.array([[vote("x", 1)], None, [], None], SCHEMA.field("votes").type))
    )
    rewrite_manifest(predicted.path, updates.over, metadata={"note": "yes"})
    after = read_manifest(predicted.path)
    assert after.table.column("level").to_pylist() == [None, 4.0, None, None, 1.0]
    assert after.rows()[4]["votes"] == [vote("x", 1)]
    assert after.metadata["note"] == "yes"
    others = [name for name in after.table.column_names if name not in ("level", "votes")]
    assert after.table.select(others).equals(predicted.table.select(others))
    stays = updates.over(after.table, stays=pa.array([True] * 5))
    assert stays.equals(after.table)


def test_an_unsorted_file_of_another_program_is_sorted(unpredicted):
    reverse = unpredicted.table.take(pa.array([4, 3, 2, 1, 0]))
    pq.write_table(reverse.replace_schema_metadata(unpredicted.metadata), unpredicted.path)
    score = pa.array([0.5] * 5, pa.float32())
    rewrite_manifest(unpredicted.path, lambda piece: with_values(piece, {"score": score.slice(0, len(piece))}))
    ids = read_manifest(unpredicted.path).table.column("triplet_id")
    assert ids.to_pylist() == unpredicted.table.column("triplet_id").to_pylist()
    assert open_manifest(unpredicted.path).names[-1] == "score"


def test_opening_touches_no_image_and_reads_only_what_is_asked_for(unpredicted, monkeypatch):
    shutil.rmtree(unpredicted.root / "frames")
    manifest = open_manifest(unpredicted.path)
    assert len(manifest) == 5
    monkeypatch.setattr("os.lstat", lambda path: pytest.fail(f"{path} was looked at"))
    table = manifest.read(["triplet_id", "img0", "score"], where=pc.greater(pc.field("triplet_id"), "videos/bik"))
    assert table.column_names == ["triplet_id", "img0", "score"]
    assert [name.split("/")[1] for name in table.column("triplet_id").to_pylist()] == ["bikes.mp4"] * 2
    assert table.column("score").null_count == 2


@pytest.mark.parametrize("path", ["../x.png", "/x.png", "a/../../x.png", "a/..", "a\\b.png", "", "a\0b.png", ".."])
def test_paths_are_checked_by_rule(unpredicted, path):
    unpredicted.with_columns({"gt": [path] * 5}).write()
    with pytest.raises(ManifestError, match="must stay inside"):
        open_manifest(unpredicted.path).read(["gt"])
    with pytest.raises(ManifestError, match="must stay inside"):
        read_manifest(unpredicted.path)


@pytest.mark.parametrize("path", ["a..b/c.png", "...", "a/..c"])
def test_dots_in_a_name_lead_nowhere(unpredicted, path):
    unpredicted.with_columns({"gt": [path, None, *["x.png"] * 3]}).write()
    assert open_manifest(unpredicted.path).read(["gt"]).column("gt").to_pylist() == [path, None, *["x.png"] * 3]
