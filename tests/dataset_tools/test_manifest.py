"""The manifest: schema, round trip, old and new versions, hostile paths."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dataset_tools.common.parquet import read_batches
from dataset_tools.errors import ManifestError
from dataset_tools.manifest import CLIP_COLUMNS, SCHEMA, extraction_options, from_rows, read_manifest

VOTE = {"annotator": "ada", "level": 3, "created_at": datetime(2026, 1, 2, tzinfo=UTC), "seconds": 2.5, "flagged": True}
ROW = {
    "triplet_id": "videos/a.mp4/0-2-4@256p",
    "source": "videos",
    "clip": "a.mp4",
    "resolution": "256p",
    "img0": "frames/a/0.png",
    "interval": 2,
    "level": 3.0,
    "votes": [VOTE],
}


def test_columns_are_those_of_the_design():
    assert SCHEMA.names[:5] == ["triplet_id", "source", "clip", "clip_sha256", "resolution"]
    assert SCHEMA.names[36:40] == [f"{name}_fingerprint" for name in ("img0", "gt", "img1", "pred")]
    accurate = ["accurate_predictor", "accurate_predictor_sha256", "accurate_psnr", "accurate_lpips", "accurate_gain"]
    assert SCHEMA.names[40:45] == accurate
    assert SCHEMA.names[45:53] == ["clip_group", *CLIP_COLUMNS]
    assert SCHEMA.names[53:57] == ["score_pairs", "score_pairs_low", "score_pairs_high", "num_pairs"]
    assert SCHEMA.names[57:] == ["pred_flolpips", "pred_psnr_div"]
    assert SCHEMA.field("img0_index").type == pa.int64()
    assert SCHEMA.field("votes").type.value_type.field("created_at").type == pa.timestamp("us", tz="UTC")


def test_round_trip_keeps_rows_order_metadata_and_unknown_columns(tmp_path):
    path = tmp_path / "m.parquet"
    rows = [{**ROW, "triplet_id": name} for name in ("b", "a")]
    from_rows(path, rows, metadata={"seed": "7", "extraction": '{"count": 2}'}).with_columns(
        {"score": [1.5, 2.5]}
    ).write()
    manifest = read_manifest(path)
    assert [row["triplet_id"] for row in manifest.rows()] == ["a", "b"]
    assert [row["score"] for row in manifest.rows()] == [1.5, 2.5]
    assert manifest.rows()[0]["votes"] == [VOTE]
    assert manifest.metadata["seed"] == "7"
    assert manifest.metadata["schema_version"] == "1.4"
    assert extraction_options(manifest) == {"count": 2}
    first = path.read_bytes()
    manifest.write()
    assert path.read_bytes() == first


def test_older_file_gets_null_columns(tmp_path):
    path = tmp_path / "old.parquet"
    pq.write_table(pa.table({"triplet_id": ["a"], "interval": pa.array([3], pa.int64())}), path)
    (row,) = read_manifest(path).rows()
    assert row["interval"] == 3
    assert row["motion"] is None
    assert row["gt_fingerprint"] is None
    assert row["accurate_gain"] is None


def _with_version(version):
    return pa.table({"triplet_id": ["a"]}).replace_schema_metadata({"schema_version": version})


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (_with_version("2.0"), "newer than 1.4"),
        (_with_version("soon"), "must be like 1.4"),
        (_with_version("²"), "must be like 1.4"),
        (pa.Table.from_arrays([pa.array(["a"])] * 3, ["triplet_id", "x", "x"]), "column 'x' must be there once"),
        (pa.table({"x": [1]}), "no column triplet_id"),
        (pa.table({"triplet_id": ["a", "a"]}), "unique, found twice"),
        (pa.table({"triplet_id": ["a", None]}), "without triplet_id"),
        (
            pa.table({"triplet_id": ["a"], "interval": ["far"]}),
            "column interval has the wrong type string, must be int32",
        ),
        (pa.table({"triplet_id": ["a"], "img0": ["../../etc/passwd"]}), "must stay inside"),
        (pa.table({"triplet_id": ["a"], "gt": ["/etc/passwd"]}), "must stay inside"),
        (pa.table({"triplet_id": ["a"], "pred": ["a\\b.png"]}), "must stay inside"),
    ],
)
def test_refuses(tmp_path, table, message):
    path = tmp_path / "m.parquet"
    pq.write_table(table, path)
    with pytest.raises(ManifestError, match=message):
        read_manifest(path)


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(ManifestError, match="does not exist"):
        read_manifest(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(ManifestError, match="not a readable Parquet file"):
        read_manifest(tmp_path / "text.parquet")


def test_metadata_that_is_no_text_is_read(tmp_path):
    table = pa.table({"triplet_id": ["a"]}).replace_schema_metadata({b"\xff": b"\xff", b"seed": b"7"})
    pq.write_table(table, tmp_path / "m.parquet")
    assert read_manifest(tmp_path / "m.parquet").metadata["seed"] == "7"


def test_from_rows_refuses_doubles_and_wrong_values(tmp_path):
    with pytest.raises(ManifestError, match="found twice"):
        from_rows(tmp_path / "m.parquet", [ROW, ROW])
    with pytest.raises(ManifestError, match="does not fit"):
        from_rows(tmp_path / "m.parquet", [{**ROW, "interval": "far"}])


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "secret.png").write_text("secret")
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    manifest = from_rows(tmp_path / "set" / "m.parquet", [{**ROW, "img0": "link.png"}])
    with pytest.raises(ManifestError, match="must stay inside"):
        manifest.file(manifest.rows()[0], "img0")
    with pytest.raises(ManifestError, match="has no pred"):
        manifest.file(manifest.rows()[0], "pred")


def test_a_stream_holds_a_piece_and_not_all_that_it_has_read(tmp_path):
    """PyArrow's reading ahead would keep every piece until the file is closed."""
    noise = np.random.default_rng(0)
    schema = pa.schema([("triplet_id", pa.string()), ("gt_fingerprint", pa.binary())])
    with pq.ParquetWriter(tmp_path / "m.parquet", schema) as writer:
        for group in range(16):
            names = [f"{group:02}/{number:04}" for number in range(1000)]
            writer.write_table(pa.table([names, [noise.bytes(1000) for _ in names]], schema=schema))
    before, held = pa.total_allocated_bytes(), []
    for piece in read_batches(tmp_path / "m.parquet", rows=1000):
        held.append(pa.total_allocated_bytes() - before)
        assert len(piece) == 1000
    assert len(held) == 16
    assert max(held) < 6_000_000  # of 16 million bytes
