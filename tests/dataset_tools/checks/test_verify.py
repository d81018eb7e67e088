"""``verify`` passes a sound data set and names every kind of fault."""

import shutil
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_tools import verify
from dataset_tools.frames import read_image, write_image
from dataset_tools.manifest import read_manifest


def set_values(manifest, number, **values):
    """Write the manifest with some values of one row changed."""
    columns = {
        name: [value if at == number else row[name] for at, row in enumerate(manifest.rows())]
        for name, value in values.items()
    }
    manifest.with_columns(columns).write()
    return manifest.path


def run(path, capsys, *options):
    code = verify.main([str(path), *options])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out + captured.err


@pytest.mark.parametrize("which", ["predicted", "unpredicted"])
def test_a_sound_data_set(request, capsys, which):
    manifest = request.getfixturevalue(which)
    code, said = run(manifest.path, capsys)
    assert code == 0
    number = 20 if which == "predicted" else 15
    assert f"5 rows, {number} files, 0 accepted with differences, 0 faults\n" in said


VOTE = {"annotator": "a", "level": 7, "created_at": datetime(2026, 1, 1, tzinfo=UTC), "seconds": 1.0, "flagged": False}
GOOD = {**VOTE, "level": 3}
OTHER = "0" * 64


@pytest.mark.parametrize(
    ("number", "values", "says"),
    [
        (0, {"split": "train"}, "clip videos/bigbuckbunny.mp4 must be in one split, found in train, val"),
        (0, {"split": None}, "split must not be null"),
        (0, {"split": "dev"}, "split 'dev' must be one of train, val, test"),
        (0, {"interval": 3}, r"indices [3, 5, 7] must be 3 (interval) apart"),
        (1, {"resolution": "4k"}, "resolution '4k' must be one of 256p"),
        (1, {"resolution": "720p"}, "height 256 must be that of 720p"),
        (1, {"native_height": 200}, "144x256 is larger than the source, 1280x200"),
        (2, {"level": 2.0}, "must be both there or both null"),
        (2, {"level": 5.0, "level_source": "human"}, "level 5.0 must be in 1..4"),
        (2, {"level": 2.0, "level_source": "guess"}, "must be human or proxy"),
        (2, {"votes": [VOTE]}, "a vote's level must be in 1..4"),
        (2, {"votes": [None]}, "a vote must not be null"),
        (2, {"votes": [GOOD, GOOD]}, "an annotator has voted twice"),
        (3, {"predictor": None}, "half a prediction"),
        (3, {"img0_sha256": OTHER, "img0_fingerprint": None}, "differ from the manifest's hash, and it has no finger"),
        (3, {"img0_sha256": OTHER, "img0_fingerprint": b"short"}, "a fingerprint of 5 bytes must have 96"),
        (3, {"pred_sha256": OTHER, "pred_fingerprint": bytes(96)}, "in block means, at most 0.1/255 is accepted"),
        (3, {"img0_sha256": None}, "has no hash in the manifest"),
    ],
)
def test_faults_of_rows(predicted, capsys, number, values, says):
    code, said = run(set_values(predicted, number, **values), capsys)
    assert code == 1
    assert says in said


def test_a_fault_is_one_line_whatever_the_name(predicted, capsys):
    before = run(predicted.path, capsys)[1].count("\n")
    ids = ["a\x1b[2J\nb", *predicted.table.column("triplet_id").to_pylist()[1:]]
    predicted.with_columns({"triplet_id": ids, "split": [None, "val", "val", "train", "train"]}).write()
    said = run(predicted.path, capsys)[1]
    assert "a\\x1b[2J\\nb: split must not be null" in said
    assert "clip videos/bigbuckbunny.mp4 must be in one split, found in train, val" in said  # without one: as if train
    assert said.count("\n") == before + 2


def test_leaks_and_duplicates_by_content(predicted, capsys):
    rows = predicted.rows()
    twin = {name: rows[1][name] for name in ("img0", "gt", "img1", "img0_sha256", "gt_sha256", "img1_sha256")}
    set_values(predicted, 0, **twin)
    set_values(read_manifest(predicted.path), 4, clip="copy.mp4", split="test")  # still with the hash of bikes.mp4
    code, said = run(predicted.path, capsys, "--rows-only")
    assert code == 1
    assert f"2 triplets hold the same pictures: {rows[0]['triplet_id']}, {rows[1]['triplet_id']}" in said
    assert "one clip file in two splits: videos/bikes.mp4 and videos/copy.mp4, in test and train" in said


def test_files_missing_damaged_resized(predicted, capsys):
    rows = predicted.rows()
    predicted.file(rows[0], "gt").unlink()
    path = predicted.file(rows[1], "img0")
    path.write_bytes(path.read_bytes()[:-400])
    write_image(predicted.file(rows[2], "img1"), np.zeros((10, 20, 3), np.uint8))
    code, said = run(predicted.path, capsys)
    assert code == 1
    assert f"gt {rows[0]['gt']}: cannot read" in said
    assert f"img0 {rows[1]['img0']}: cannot read" in said
    assert f"img1 {rows[2]['img1']}: is 20x10, must be 144x256" in said
    assert "3 faults" in said


@pytest.mark.parametrize(
    ("column", "every", "levels", "says"),
    [
        ("gt", 1, 1, "accepted: {}: differs by up to 1/255 in block means"),
        ("gt", 1, 2, "{}: differs by up to 2/255 in block means, at most 1/255 is accepted"),
        ("pred", 5, 1, "accepted: {}: differs by up to 0.0"),  # every 25th pixel
        ("pred", 2, 1, "{}: differs by up to 0.2"),  # every 4th pixel
        ("pred", 1, 100, "in block means, at most 0.1/255 is accepted"),
    ],
)
def test_files_of_another_machine(predicted, capsys, column, every, levels, says):
    """Pixels differ a little from those the manifest was made from: its fingerprints tell by how much."""
    row = predicted.rows()[4]
    pixels = read_image(predicted.file(row, column)).astype(int)
    pixels[::every, ::every] += levels
    write_image(predicted.file(row, column), pixels.clip(0, 255).astype(np.uint8))
    code, said = run(predicted.path, capsys)
    assert says.format(f"{row['triplet_id']}: {column} {row[column]}") in said
    is_accepted = says.startswith("accepted")
    assert code == (0 if is_accepted else 1)
    assert f"{int(is_accepted)} accepted with differences, {int(not is_accepted)} faults" in said


@pytest.mark.parametrize("kind", ["leaves the folder", "newer", "not parquet", "missing", "link"])
def test_manifests_that_are_refused(predicted, tmp_path, capsys, kind):
    path = predicted.path
    if kind == "leaves the folder":
        table = predicted.table.set_column(
            predicted.table.column_names.index("gt"), "gt", pa.array(["../../etc/passwd"] * 5)
        )
        pq.write_table(table, path)
        says = "'../../etc/passwd' must stay inside"
    elif kind == "newer":
        pq.write_table(predicted.table.replace_schema_metadata({"schema_version": "2.0"}), path)
        says = "schema_version 2.0, newer than"
    elif kind == "not parquet":
        path.write_text("a table")
        says = "is not a readable Parquet file"
    elif kind == "missing":
        path = tmp_path / "none.parquet"
        says = "does not exist"
    else:
        folder = predicted.root / "frames" / "videos"
        shutil.move(folder, tmp_path / "elsewhere")
        folder.symlink_to(tmp_path / "elsewhere")
        says = "must stay inside"
    code, said = run(path, capsys)
    assert code == 1
    assert says in said
    assert said.count("\n") == 1 or kind == "link"  # that one shows file by file: opening a manifest touches none
