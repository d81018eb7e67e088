"""Every export is read back with another library, holds the same pixels (or none), and names nobody."""

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from dataset_tools import export
from dataset_tools.common.files import sha256_file
from dataset_tools.frames import read_image
from dataset_tools.manifest import IMAGE_COLUMNS, read_manifest
from dataset_tools.publishing.formats import ROWS_PER_SHARD


def vote(name, day):
    moment = datetime(2026, 1, day, tzinfo=UTC)
    return {"annotator": name, "level": 2, "created_at": moment, "seconds": 2.5, "flagged": False}


@pytest.fixture
def labelled(predicted):
    votes = [[vote("zoe", 1), vote("adam", 2)], [vote("adam", 3)], None, [], []]
    predicted.with_columns({"votes": votes, "level": [2.0] * 5, "level_source": ["human"] * 5}).write()
    return read_manifest(predicted.path)


def run(manifest, format_name, out):
    assert export.main([str(manifest.path), "--format", format_name, "--out", str(out)]) == 0
    for path in out.rglob("*"):
        assert path.is_dir() or not {b"zoe", b"adam"} & set(path.read_bytes().split(b'"'))
    return out


def pixels(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_huggingface(labelled, tmp_path):
    out = run(labelled, "huggingface", tmp_path / "hf")
    files = sorted(path.name for path in (out / "data").iterdir())
    assert files == ["train-00000-of-00001.parquet", "val-00000-of-00001.parquet"]
    rows = [row for name in files for row in pq.read_table(out / "data" / name).to_pylist()]
    originals = {row["triplet_id"]: row for row in labelled.rows()}
    assert len(rows) == len(originals)
    for row in rows:
        original = originals[row["triplet_id"]]
        for column in IMAGE_COLUMNS:
            assert row[column]["path"] == original[column]
            assert np.array_equal(pixels(row[column]["bytes"]), read_image(labelled.file(original, column)))
        assert (row["level"], row["pred_lpips"]) == (2.0, original["pred_lpips"])
    names = {vote["annotator"] for row in rows for vote in row["votes"] or []}
    assert names == {"annotator-1", "annotator-2"}
    card = (out / "README.md").read_text()
    assert "- split: val\n    path: data/val-*.parquet" in card
    assert "- name: img0\n    dtype: image" in card
    assert "- name: pred_lpips\n    dtype: float32" in card
    assert "- name: gt_fingerprint\n    dtype: binary" in card


def test_webdataset(labelled, tmp_path):
    out = run(labelled, "webdataset", tmp_path / "wds")
    again = run(labelled, "webdataset", tmp_path / "again")
    originals = labelled.rows()
    seen = 0
    for path in sorted(out.iterdir()):
        assert sha256_file(path) == sha256_file(again / path.name)
        with tarfile.open(path) as archive:
            names = archive.getnames()
            assert len({name.split(".")[0] for name in names[:5]}) == 1  # a sample's files lie together
            for name in names:
                key, _, suffix = name.partition(".")
                data = archive.extractfile(name).read()
                original = originals[int(key)]
                if suffix == "json":
                    facts = json.loads(data)
                    assert (facts["triplet_id"], facts["split"]) == (original["triplet_id"], path.name.split("-")[0])
                    assert bytes.fromhex(facts["gt_fingerprint"]) == original["gt_fingerprint"]
                    seen += 1
                else:
                    column = suffix.removesuffix(".png")
                    assert np.array_equal(pixels(data), read_image(labelled.file(original, column)))
    assert seen == len(originals)


def test_recipe_holds_no_pixels(labelled, tmp_path):
    out = run(labelled, "recipe", tmp_path / "recipe")
    assert sorted(path.name for path in out.rglob("*")) == ["README.md", "data_manifest.parquet"]
    recipe, original = read_manifest(out / "data_manifest.parquet"), labelled
    assert recipe.table.drop_columns("votes").equals(original.table.drop_columns("votes"))
    assert recipe.metadata["seed"] == "7"
    assert [vote["annotator"] for vote in recipe.rows()[0]["votes"]] == ["annotator-1", "annotator-2"]
    assert "dataset_tools.materialize data_manifest.parquet" in (out / "README.md").read_text()


def test_croissant(labelled, tmp_path):
    out = run(labelled, "croissant", tmp_path / "croissant")
    described = json.loads((out / "croissant.json").read_text())
    (file,) = described["distribution"]
    assert described["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert file["sha256"] == sha256_file(out / file["contentUrl"])
    (records,) = described["recordSet"]
    columns = pq.read_schema(out / file["contentUrl"]).names
    assert [field["source"]["extract"]["column"] for field in records["field"]] == [
        name
        for name in columns
        if name not in ("votes", "accurate_gain")  # nested
    ]
    kinds = {field["name"]: field["dataType"] for field in records["field"]}
    assert [kinds[name] for name in ("triplet_id", "split", "width", "motion")] == [
        "sc:Text",
        "sc:Text",
        "sc:Integer",
        "sc:Float",
    ]
    assert records["key"] == {"@id": "triplets/triplet_id"}


def test_rows_without_predictions_and_many_shards(unpredicted, tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_tools.publishing.formats.ROWS_PER_SHARD", 2)
    assert ROWS_PER_SHARD == 1000
    out = run(unpredicted, "huggingface", tmp_path / "hf")
    files = sorted((out / "data").glob("val-*"))
    assert [path.name for path in files] == ["val-00000-of-00002.parquet", "val-00001-of-00002.parquet"]
    assert [row["pred"] for path in files for row in pq.read_table(path).to_pylist()] == [None] * 3


def test_unfinished_votes_of_another_program(labelled):
    votes = [[vote("zoe", 1)], [None, {"level": 3}], None, [], [{"annotator": "adam"}]]
    renamed = export.without_names(labelled.with_columns({"votes": votes})).table.column("votes").to_pylist()
    names = [[each and each["annotator"] for each in listed or []] for listed in renamed]
    assert names == [["annotator-1"], [None, "annotator-2"], [], [], ["annotator-3"]]


def test_the_folder_one_is_in(unpredicted, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    run(unpredicted, "recipe", Path())
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"README.md", "data_manifest.parquet"}


def test_nothing_appears_unless_it_is_whole(predicted, tmp_path, capsys):
    out = tmp_path / "out"
    predicted.file(predicted.rows()[4], "img1").unlink()
    assert export.main([str(predicted.path), "--format", "webdataset", "--out", str(out)]) == 1
    assert "run dataset_tools.verify" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == []


@pytest.mark.parametrize(
    ("format_name", "out", "says"), [("zip", "new", "must be one of huggingface"), ("recipe", "full", "must be a new")]
)
def test_usage(predicted, tmp_path, capsys, format_name, out, says):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert export.main([str(predicted.path), "--format", format_name, "--out", str(tmp_path / out)]) == 2
    assert says in capsys.readouterr().err
