"""Frames in an object store (an S3 server on this machine) or another folder, by every command that uses them."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from dataset_tools import export, extract, materialize, merge, predict, relocate, report, verify
from dataset_tools import filter as filter_command
from dataset_tools.common.files import inside
from dataset_tools.common.remote import parse_place
from dataset_tools.manifest import FRAMES_ROOT, IMAGE_COLUMNS, read_manifest
from tests import s3_server
from tests.dataset_tools.extracting import contents
from tests.dataset_tools.prediction.test_predict import MEAN
from tests.dataset_tools.small_data_set import build_small_data_set
from tests.labeling_app.helpers import PASSWORD, Client, FakeClock, add_user, make_manifest, make_state
from tests.vfidpa_model.light_checkpoint import save_light_run
from vfidpa_model import predict as assess


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """The URL of a bucket."""
    with s3_server.bucket() as url:
        yield url


@pytest.fixture(params=["s3", "folder"])
def place(request, bucket, tmp_path) -> str:
    """Where frames go: a URL in the bucket, or a folder elsewhere."""
    return f"{bucket}/{tmp_path.name}/sets/one" if request.param == "s3" else str(tmp_path / "elsewhere")


@pytest.fixture(scope="module")
def small(tmp_path_factory, demo_clips) -> Path:
    """Five triplets without predictions; not to be changed."""
    root = tmp_path_factory.mktemp("small")
    build_small_data_set(root, demo_clips)
    return root


@pytest.fixture
def here(small, tmp_path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "here"))


@pytest.fixture
def there(small, place, tmp_path) -> Path:
    """The same, with the frames at the place and none beside the manifest."""
    folder = Path(shutil.copytree(small, tmp_path / "there"))
    assert relocate.main([str(folder), "--to", place]) == 0
    shutil.rmtree(folder / "frames")
    return folder


def names(place: str) -> set[str]:
    if not place.startswith("s3:"):
        return {path.relative_to(place).as_posix() for path in Path(place).rglob("*.png")}
    store, top = fs.FileSystem.from_uri(place)
    found = store.get_file_info(fs.FileSelector(top, recursive=True, allow_not_found=True))
    return {item.path.removeprefix(f"{top}/") for item in found if item.type == fs.FileType.File}


def remove(place: str, name: str) -> None:
    store, top = fs.FileSystem.from_uri(place)
    store.delete_file(f"{top}/{name}")


def same_rows(a: Path, b: Path) -> bool:
    return read_manifest(a).table.equals(read_manifest(b).table)


def test_predictions_checks_scores_and_report(here, there, place, tmp_path, capsys):
    run = tmp_path / "run"
    save_light_run(run)
    for folder in (here, there):
        assert predict.main([str(folder), "--predictor", MEAN, "--device", "cpu"]) == 0
        assert assess.main([str(run), "--manifest", str(folder), "--device", "cpu"]) == 0
        assert verify.main([str(folder)]) == 0
        assert report.main([str(folder), "--out", str(folder / "card.html")]) == 0
    assert same_rows(here, there)
    assert names(place) == {name for name in contents(here) if name.endswith(".png")}
    assert not list(there.rglob("*.png"))
    pictures = [(folder / "card.html").read_text().count("data:image") for folder in (here, there)]
    assert pictures[0] == pictures[1] > 0
    capsys.readouterr()
    assert predict.main([str(there), "--predictor", MEAN, "--device", "cpu"]) == 0
    assert ": 0 rows predicted, 5 up to date" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["huggingface", "webdataset", "recipe"])
def test_exports_are_the_same(here, there, tmp_path, name):
    outs = []
    for folder in (here, there):
        outs.append(tmp_path / f"out-{folder.name}")
        assert export.main([str(folder), "--format", name, "--out", str(outs[-1])]) == 0
    assert contents(outs[0]).keys() == contents(outs[1]).keys()
    for manifest in outs[1].glob("data_manifest.parquet"):
        assert FRAMES_ROOT not in read_manifest(manifest).metadata  # a place of ours is nobody else's
    if name != "recipe":
        assert contents(outs[0]) == contents(outs[1])


def test_filter_and_merge_leave_frames_where_they_are(here, there, tmp_path, capsys):
    for number, clip in enumerate(("bikes.mp4", "bigbuckbunny.mp4")):
        part = tmp_path / f"part{number}"
        assert filter_command.main([str(there), "--where", f"clip = '{clip}'", "--out", str(part)]) == 0
    both = tmp_path / "both"
    assert merge.main([str(tmp_path / "part0"), str(tmp_path / "part1"), "--out", str(both)]) == 0
    assert len(read_manifest(both)) == 5
    assert not list(both.rglob("*.png"))
    assert verify.main([str(both)]) == 0
    assert merge.main([str(here), str(there), "--out", str(tmp_path / "mixed")]) == 2
    assert "lie at different places" in capsys.readouterr().err


def test_back_home(there, here):
    assert relocate.main([str(there), "--to", str(there)]) == 0
    assert {name: data for name, data in contents(there).items() if name.endswith(".png")} == {
        name: data for name, data in contents(here).items() if name.endswith(".png")
    }
    assert FRAMES_ROOT not in read_manifest(there).metadata
    assert verify.main([str(there)]) == 0


def test_a_file_that_is_missing_keeps_the_manifest_as_it_is(here, place, capsys):
    missing = read_manifest(here).rows()[0]["gt"]
    (here / missing).unlink()
    before = (here / "data_manifest.parquet").read_bytes()
    assert relocate.main([str(here), "--to", place]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"cannot read {here / missing}: no such file"
    assert said[1].startswith(f"{here / 'data_manifest.parquet'}: stays as it is, 1 files could not be copied to ")
    assert (here / "data_manifest.parquet").read_bytes() == before


@pytest.fixture(scope="module")
def extracted(tmp_path_factory, demo_clips) -> Path:
    out = tmp_path_factory.mktemp("extracted") / "set"
    assert run_extract(demo_clips, out) == 0
    return out


def run_extract(clips: Path, out: Path, *more: str, count: int = 6) -> int:
    options = ["--count", str(count), "--intervals", "1-2", "--resolutions", "256p", "--predictor", "none"]
    command = ["--source", f"videos:{clips / 'bikes.mp4'}", "--out", str(out), "--workers", "1"]
    return extract.main([*command, *options, *more])


def test_extraction_writes_there(extracted, demo_clips, place, tmp_path, capsys):
    out = tmp_path / "set"
    assert run_extract(demo_clips, out, "--frames-root", place) == 0
    assert same_rows(out, extracted)
    assert names(place) >= {name for name in contents(extracted) if name.endswith(".png")}
    assert not list(out.rglob("*.png"))
    assert verify.main([str(out)]) == 0
    gone = sorted(names(place))[0]
    remove(place, gone)
    assert run_extract(demo_clips, out, "--frames-root", place) == 0  # makes what is missing again
    assert gone in names(place)
    for more in ([], ["--frames-root", f"{place}-other"]):
        assert run_extract(demo_clips, out, *more, count=9) == 2
        assert f"are at {place}: give --frames-root {place}" in capsys.readouterr().err


def test_frames_repaired_and_made_again(extracted, demo_clips, place, tmp_path, capsys):
    folder = Path(shutil.copytree(extracted, tmp_path / "set"))
    assert relocate.main([str(folder), "--to", place]) == 0
    shutil.rmtree(folder / "frames")
    whole = names(place)
    for name in sorted(whole)[:2]:
        remove(place, name)
    assert verify.main([str(folder)]) == 1
    assert capsys.readouterr().out.count("no such file") == 2
    source = ["--source", f"videos:{demo_clips}"]
    assert verify.main([str(folder), "--repair", *source]) == 0
    assert names(place) == whole
    assert materialize.main([str(folder), *source, "--out", f"{place}-again"]) == 0
    assert names(f"{place}-again") == whole
    assert not list(folder.rglob("*.png"))


def test_machines_of_a_cluster_write_there(extracted, demo_clips, bucket, tmp_path):
    out, place = tmp_path / "set", f"{bucket}/cluster"
    options = ["--count", "6", "--intervals", "1-2", "--resolutions", "256p", "--predictor", "none"]
    command = ["--source", f"videos:{demo_clips / 'bikes.mp4'}", "--out", str(out), "--frames-root", place]
    assert extract.main([*command, *options, "--ray", "local"]) == 0
    assert same_rows(out, extracted)
    assert names(place) >= {name for name in contents(extracted) if name.endswith(".png")}


def test_the_labelling_server_serves_them(place, tmp_path):
    manifest = make_manifest(tmp_path / "data", 1)
    pictures = {name: (manifest.parent / f"{name}.png").read_bytes() for name in IMAGE_COLUMNS}
    assert relocate.main([str(manifest), "--to", place]) == 0
    for name in IMAGE_COLUMNS:
        (manifest.parent / f"{name}.png").unlink()
    state = make_state(manifest, f"sqlite:///{tmp_path / 'labels.sqlite'}", clock=FakeClock())
    try:
        add_user(state.store, "anna", role="annotator", password=PASSWORD)
        client = Client(state)
        client.sign_in("anna")
        images = client.items()[0]["images"]
        assert {name: client.get(images[name]).content for name in IMAGE_COLUMNS} == pictures
        inside(parse_place(place), "gt.png").write_bytes(b"root:x:0:0")
        remove(place, "pred.png")
        assert [client.get(images[name]).status_code for name in ("img0", "gt", "pred")] == [200, 404, 404]
    finally:
        state.close()


def test_training_reads_from_a_forked_and_a_spawned_process(there, place, small):
    code = """
import sys
from pathlib import Path
from dataset_tools.columns.file import open_manifest
from dataset_tools.common.stores import was_used
from vfidpa_model.pairs.loading import FrameReader, TrainingPairs, read_batches
from vfidpa_model.pairs.labels import select_samples
def main():
    for folder in sys.argv[1:]:
        samples = select_samples(open_manifest(Path(folder)), resolution="256p", labels="any")
        pairs = TrainingPairs(samples, reader=FrameReader(), crop=64, seed=1)
        for batch in read_batches(pairs, [[(0, 0), (0, 1)]], workers=1):
            print(was_used(), float(batch["img0"].double().sum()))
if __name__ == "__main__":
    main()
"""
    levels = {"level": [1.0, 2.0, 3.0, 4.0, 1.0], "level_source": ["proxy"] * 5}
    script = there / "load.py"
    script.write_text(code)
    read_manifest(there).with_columns(levels).write()
    local = Path(shutil.copytree(small, there / "local"))
    read_manifest(local).with_columns(levels).write()
    command = [sys.executable, str(script), str(local), str(there)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    used, sums = zip(*(line.split(" ", 1) for line in done.stdout.splitlines()), strict=True)
    assert used == ("False", str(place.startswith("s3:")))  # by which the loading process is forked or spawned
    assert len(set(sums)) == 1
