"""Every export is read back with another library, holds the same pixels (or none), and names nobody."""

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import mlcroissant
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
import yaml
from PIL import Image

from dataset_tools import export
from dataset_tools import filter as filter_command
from dataset_tools.columns.file import open_manifest
from dataset_tools.common.files import sha256_file
from dataset_tools.frames import read_image
from dataset_tools.manifest import IMAGE_COLUMNS, SCHEMA, read_manifest
from dataset_tools.publishing.huggingface import write_huggingface
from dataset_tools.publishing.meanings import MEANINGS
from dataset_tools.publishing.shards import HUB_SPLITS
from dataset_tools.publishing.source import Outgoing
from dataset_tools.publishing.webdataset import sample_key, write_webdataset


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


def load(out, monkeypatch, name, **options):
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    import datasets

    return datasets.load_dataset(str(out), name, cache_dir=str(out.parent / "cache"), **options)


def test_huggingface(labelled, tmp_path, monkeypatch):
    out = run(labelled, "huggingface", tmp_path / "hf")
    files = sorted(path.relative_to(out).as_posix() for path in (out / "data").rglob("*.parquet"))
    assert files == ["data/256p/train-00000.parquet", "data/256p/validation-00000.parquet"]
    loaded = load(out, monkeypatch, "256p")
    assert {name: len(part) for name, part in loaded.items()} == {"train": 2, "validation": 3}
    streamed = load(out, monkeypatch, "256p", split="validation", streaming=True)
    originals = {row["triplet_id"]: row for row in labelled.rows()}
    rows = [*loaded["train"], *streamed]
    assert {row["triplet_id"] for row in rows} == set(originals)
    for row in rows:
        original = originals[row["triplet_id"]]
        for column in IMAGE_COLUMNS:
            assert np.array_equal(np.asarray(row[column].convert("RGB")), read_image(labelled.file(original, column)))
        for name in ("level", "pred_lpips", "width", "clip_group", "gt_sha256", "gt_fingerprint"):
            assert row[name] == original[name]
    names = {vote["annotator"] for row in rows for vote in row["votes"] or []}
    assert names == {"annotator-1", "annotator-2"}
    label = loaded["train"].features["difficulty"]
    assert {label.int2str(row["difficulty"]) for row in rows} == {"slight"}


def test_the_card(labelled, tmp_path):
    out = run(labelled, "huggingface", tmp_path / "hf")
    _, front, body = (out / "README.md").read_text().split("---\n", 2)
    head = yaml.safe_load(front)
    assert (head["license"], head["pretty_name"], head["size_categories"]) == ("other", "Frame triplets", ["n<1K"])
    (config,) = head["configs"]
    assert config["data_files"][1] == {"split": "validation", "path": "data/256p/validation-*.parquet"}
    (info,) = head["dataset_info"]
    assert info["splits"] == [{"name": "train", "num_examples": 2}, {"name": "validation", "num_examples": 3}]
    kinds = {entry["name"]: entry for entry in info["features"]}
    assert kinds["img0"]["dtype"] == "image"
    assert kinds["difficulty"]["dtype"]["class_label"]["names"] == dict(
        zip("0123", ("easy", "slight", "hard", "failed"), strict=True)
    )
    assert "| `motion` | mean optical flow" in body
    assert "| videos | the owner of the clips |" in body
    assert set(SCHEMA.names) <= set(MEANINGS)


ODD_COLUMNS = {
    "day": (pa.date32(), [None] * 5, True),
    "price": (pa.decimal128(10, 2), [None] * 5, True),
    "tags": (pa.list_(pa.string()), [["a", "b"], [], None, ["c"], []], True),
    "kind": (pa.dictionary(pa.int8(), pa.string()), ["x", "y", None, "x", "x"], True),
    "nested": (pa.struct([("a", pa.int32()), ("b", pa.list_(pa.float64()))]), [{"a": 1, "b": [0.5]}] * 5, True),
    "pairs": (pa.map_(pa.string(), pa.int32()), [[("a", 1)]] * 5, False),
    "fixed": (pa.binary(2), [b"ab"] * 5, False),
    "no: yes": (pa.bool_(), [True] * 5, True),
}


def test_columns_of_any_type_survive_or_are_named(labelled, tmp_path, capsys, monkeypatch):
    columns = {}
    for name, (kind, values, _) in ODD_COLUMNS.items():
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        array = pa.array(values, plain)
        columns[name] = array.dictionary_encode() if pa.types.is_dictionary(kind) else array
    labelled.with_columns(columns).write()
    out = run(labelled, "huggingface", tmp_path / "hf")
    said = capsys.readouterr().out
    loaded = load(out, monkeypatch, "256p", split="train+validation")
    rows = {row["triplet_id"]: row for row in loaded}
    for name, (_, values, is_kept) in ODD_COLUMNS.items():
        assert (f"column {name} (" in said) == (not is_kept)
        assert (name in loaded.column_names) == is_kept
        if is_kept:
            ids = labelled.table.column("triplet_id").to_pylist()
            assert [rows[row_id][name] for row_id in ids] == values
    described = run(labelled, "croissant", tmp_path / "croissant") / "croissant.json"
    fields = {field["name"]: field for field in json.loads(described.read_text())["recordSet"][0]["field"]}
    assert fields["tags"]["repeated"] is True
    assert "pairs" not in fields


def test_without_hashes(labelled, tmp_path):
    out = tmp_path / "hf"
    assert export.main([str(labelled.path), "--format", "huggingface", "--out", str(out), "--no-hashes"]) == 0
    names = pq.read_schema(out / "data/256p/train-00000.parquet").names
    assert not [name for name in names if "sha256" in name or "fingerprint" in name]


def test_webdataset(labelled, tmp_path):
    out = run(labelled, "webdataset", tmp_path / "wds")
    again = run(labelled, "webdataset", tmp_path / "again")
    originals = {sample_key(row["triplet_id"]): row for row in labelled.rows()}
    seen = 0
    for path in sorted((out / "256p").iterdir()):
        assert sha256_file(path) == sha256_file(again / "256p" / path.name)
        for sample in webdataset.WebDataset(str(path), shardshuffle=False).decode("rgb8"):
            original = originals[sample["__key__"]]
            facts = sample["json"]
            split = path.name.split("-")[0]
            assert (facts["triplet_id"], split) == (original["triplet_id"], HUB_SPLITS[original["split"]])
            assert bytes.fromhex(facts["gt_fingerprint"]) == original["gt_fingerprint"]
            for column in IMAGE_COLUMNS:
                assert np.array_equal(sample[f"{column}.png"], read_image(labelled.file(original, column)))
            seen += 1
    assert seen == len(originals)
    few = tmp_path / "few"
    assert filter_command.main([str(labelled.path), "--where", "split = 'train'", "--out", str(few)]) == 0
    fewer = run(read_manifest(few), "webdataset", tmp_path / "few_wds")
    with tarfile.open(fewer / "256p" / "train-000000.tar") as archive:
        keys = {name.split(".")[0] for name in archive.getnames()}
    assert keys < set(originals)  # the same triplet has the same key in another data set


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
    records, sources = described["recordSet"]
    columns = pq.read_schema(out / file["contentUrl"]).names
    found = [field["source"]["extract"]["column"] for field in records["field"]]
    assert found == [name for name in columns if name != "votes"]  # nested
    kinds = {field["name"]: field["dataType"] for field in records["field"]}
    assert [kinds[name] for name in ("triplet_id", "split", "width", "motion")] == [
        "sc:Text",
        "sc:Text",
        "sc:Integer",
        "sc:Float",
    ]
    assert records["key"] == {"@id": "triplets/triplet_id"}
    assert sources["data"] == [{"sources/source": "videos", "sources/rights": "the owner of the clips"}]


def test_croissant_is_valid(labelled, tmp_path):
    out = run(labelled, "croissant", tmp_path / "croissant")
    described = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
    assert not described.metadata.ctx.issues.errors
    assert not described.metadata.ctx.issues.warnings
    found = {record["triplets/triplet_id"].decode(): record for record in described.records("triplets")}
    for row in labelled.rows():
        assert found[row["triplet_id"]]["triplets/width"] == row["width"]
    (source,) = described.records("sources")
    assert source["sources/source"] == "videos"


def test_rows_without_predictions_and_many_shards(unpredicted, tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_tools.publishing.shards.MAX_BYTES", 300_000)
    out = run(unpredicted, "huggingface", tmp_path / "hf")
    files = sorted((out / "data").rglob("validation-*"))
    assert len(files) > 1
    assert [path.name for path in files] == [f"validation-{number:05d}.parquet" for number in range(len(files))]
    assert [row["pred"] for path in files for row in pq.read_table(path).to_pylist()] == [None] * 3


class CountingRows(Outgoing):
    """A manifest that counts the rows read of it."""

    num_read = 0

    def batches(self, *arguments, **options):
        for piece in super().batches(*arguments, **options):
            self.__dict__["num_read"] = self.num_read + len(piece)
            yield piece


@pytest.mark.parametrize("write", [write_huggingface, write_webdataset])
def test_rows_are_read_twice_however_many_shards(unpredicted, tmp_path, monkeypatch, write):
    monkeypatch.setattr("dataset_tools.publishing.shards.MAX_BYTES", 100)  # a row each
    manifest = CountingRows(open_manifest(unpredicted.path))
    write(manifest, tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("*-0*"))) == len(manifest)
    assert manifest.num_read == 2 * len(manifest)  # to plan, and to write


def test_a_broken_off_export_goes_on(unpredicted, tmp_path, monkeypatch):
    monkeypatch.setattr("dataset_tools.publishing.shards.MAX_BYTES", 100)  # a row each
    monkeypatch.setattr("dataset_tools.publishing.shards._Sizes.of", lambda self, relative: 50)
    last = unpredicted.file(unpredicted.rows()[2], "img1")
    away = last.rename(tmp_path / "away.png")
    out = tmp_path / "wds"
    assert export.main([str(unpredicted.path), "--format", "webdataset", "--out", str(out)]) == 1
    written = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob(".wds.unfinished/256p/*.tar")}
    assert len(written) == 4
    assert not out.exists()
    away.rename(last)
    assert export.main([str(unpredicted.path), "--format", "webdataset", "--out", str(out)]) == 0
    assert {name: (out / "256p" / name).stat().st_mtime_ns for name in written} == written
    assert len(list(out.rglob("*"))) == 1 + 5
    assert not list(tmp_path.glob(".wds.unfinished"))


def test_unfinished_votes_of_another_program(labelled):
    votes = [[vote("zoe", 1)], [None, {"level": 3}], None, [], [{"annotator": "adam"}]]
    labelled.with_columns({"votes": votes}).write()
    (piece,) = Outgoing(open_manifest(labelled.path)).batches(["votes"])
    renamed = piece.column("votes").to_pylist()
    names = [None if listed is None else [each and each["annotator"] for each in listed] for listed in renamed]
    assert names == [["annotator-1"], [None, "annotator-2"], None, [], ["annotator-3"]]


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
    assert not out.exists()


@pytest.mark.parametrize(
    ("format_name", "out", "says"), [("zip", "new", "must be one of huggingface"), ("recipe", "full", "must be a new")]
)
def test_usage(predicted, tmp_path, capsys, format_name, out, says):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    assert export.main([str(predicted.path), "--format", format_name, "--out", str(tmp_path / out)]) == 2
    assert says in capsys.readouterr().err
