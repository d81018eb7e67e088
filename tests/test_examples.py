"""The examples do what they say, as a reader would run them; none is long."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from dataset_tools import extract
from dataset_tools.assets import fetch_demo_clips
from dataset_tools.frames import read_image, to_rgb, to_tensor
from dataset_tools.interpolators import create_interpolator, list_interpolators
from dataset_tools.manifest import read_manifest
from dataset_tools.rejected import read_rejected

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.rglob("*.py"))


def run(script, *arguments):
    """Run an example in a process of its own and return what it prints."""
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_fits_on_a_screen_and_says_how_to_run_it(script):
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert f"python examples/{script.name}" in text or "after installing this folder" in text


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """Install the plugin as an installer does: its modules and the record of its entry points on the path."""
    project = tomllib.loads((EXAMPLES / "plugin" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site = tmp_path_factory.mktemp("site")
    record = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in entries.items())])
        for group, entries in project["entry-points"].items()
    )
    (record / "entry_points.txt").write_text("\n".join(groups))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLES / "plugin"))
        patch.syspath_prepend(str(site))
        yield


@pytest.fixture(scope="module")
def data_set(plugin, tmp_path_factory):
    """Three rows at 256p from the example's own source."""
    root = tmp_path_factory.mktemp("own")
    (root / "clips").mkdir()
    (root / "clips" / "bikes.mp4").write_bytes((fetch_demo_clips() / "bikes.mp4").read_bytes())
    (root / "clips" / "clips.csv").write_text("file,split\nbikes.mp4,test\ngone.mp4,\n", encoding="utf-8")
    options = ["--count", "3", "--resolutions", "256p", "--intervals", "2", "--workers", "1", "--device", "cpu"]
    assert extract.main(["--source", f"scenes:{root / 'clips'}", "--out", str(root / "set"), *options]) == 0
    return root / "set"


def test_own_source(data_set):
    rows = read_manifest(data_set / "data_manifest.parquet").rows()
    assert [(row["source"], row["clip"], row["split"]) for row in rows] == [("scenes", "bikes.mp4", "test")] * 3
    turned_down = read_rejected(data_set / "rejected.parquet")
    told = [(item["source"], item["clip"], item["reason"]) for item in turned_down]
    assert told == [("scenes", "gone.mp4", "missing")]


def test_read_manifest(data_set):
    lines = run("read_manifest.py", data_set / "data_manifest.parquet").splitlines()
    assert lines[0] == "3 rows from 1 clips"
    assert lines[1].split() == ["256p", "3"]
    shown = [float(line.split("LPIPS ")[1].split(",")[0]) for line in lines if "LPIPS" in line]
    assert len(shown) == 3
    assert shown == sorted(shown, reverse=True)
    files = [file for line in lines[3::2] for file in line.split() if file != "beside"]
    assert len(files) == 6
    assert all(Path(file).is_file() for file in files)


def test_route_pair(data_set, tmp_path):
    row = read_manifest(data_set / "data_manifest.parquet").rows()[0]
    first, last = data_set / row["img0"], data_set / row["img1"]
    said = run("route_pair.py", first, last, tmp_path / "middle.png")
    name = "rife" if "route='fast'" in said else "rife-refined"
    assert f"route='{'fast' if name == 'rife' else 'accurate'}'" in said
    pair = [to_tensor(read_image(path)) for path in (first, last)]
    made = to_rgb(create_interpolator(name).interpolate(*pair)[0])
    np.testing.assert_allclose(read_image(tmp_path / "middle.png").astype(int), made, atol=1)


def test_own_interpolator(plugin):
    (info,) = [info for info in list_interpolators() if info.name == "blend"]
    assert info.licence == "see vfi-example-plugin"
    img0, img1 = torch.rand(2, 1, 3, 17, 33).unbind()
    made = create_interpolator("blend").interpolate(img0, img1, 0.25)
    torch.testing.assert_close(made, 0.75 * img0 + 0.25 * img1)


def test_own_interpolator_doubles_a_file(plugin, tmp_path):
    from vfidpa_model import interpolate

    with av.open(tmp_path / "in.mkv", "w") as file:
        stream = file.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "gray"
        for level in (100, 120, 140):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64), level, np.uint8), format="gray")
            file.mux(stream.encode(picture))
        file.mux(stream.encode(None))
    options = ["--codec", "ffv1", "--fast", "blend", "--accurate", "blend"]
    assert interpolate.main([str(tmp_path / "in.mkv"), str(tmp_path / "out.mkv"), *options]) == 0
    with av.open(tmp_path / "out.mkv") as file:
        levels = [frame.to_ndarray(format="gray").mean() for frame in file.decode(video=0)]
    assert levels == pytest.approx([100, 110, 120, 130, 140, 140], abs=1)


def test_vote_by_api(tmp_path):
    from labeling_app.accounts import set_token
    from labeling_app.database.store import Store
    from labeling_app.quality.votes import read_votes
    from tests.labeling_app.helpers import ApiServer, add_user, make_manifest

    manifest = make_manifest(tmp_path, 4)
    url = f"sqlite:///{tmp_path / 'labels.sqlite'}"
    store = Store(url)
    add_user(store, "robot")
    with store.write() as connection:
        token = set_token(connection, "robot", now_us=1)
    with ApiServer(manifest, url) as server:
        said = run("vote_by_api.py", server.url, token)
    with store.read() as connection:
        votes = read_votes(connection)
    assert len(votes) == 4
    assert votes["triplet_id"].nunique() == 4
    assert votes["level"].between(1, 4).all()
    assert "'done': 4" in said
    store.close()
