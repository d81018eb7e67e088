"""Each role's commands run with only its own libraries, and name the extra of what they lack."""

import json
import shutil
import subprocess
import sys

import pytest

from dataset_tools.common.extras import EXTRAS
from dataset_tools.manifest import from_rows
from tests.dataset_tools.replicas import read_frames, write_video
from tests.roles import ROOT, declared, distributions, environment_of, normal, packages
from tests.vfidpa_model.labelled_set import labelled_rows
from tests.vfidpa_model.light_checkpoint import save_light_run

_PROGRAM = """
import importlib, json, sys
if __name__ == "__main__":
    for module, *arguments in json.loads(sys.argv[1]):
        found = importlib.import_module(module)
        code = found.main(arguments) if arguments else 0
        print(f"exit {code}: {module} {' '.join(arguments)}", file=sys.stderr)
"""


def run(environment, *commands):
    """Run commands (a module alone is imported) in one process and return their exit codes, and all that was said."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, json.dumps([list(map(str, command)) for command in commands])],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    codes = [int(line.split()[1].rstrip(":")) for line in done.stderr.splitlines() if line.startswith("exit ")]
    return codes, done.stdout + done.stderr


@pytest.fixture(scope="module")
def made(tmp_path_factory, demo_clips):
    """A folder with short clips, a labelled manifest and a run whose checkpoint has seeded weights."""
    folder = tmp_path_factory.mktemp("roles")
    write_video(folder / "clips" / "street.mp4", read_frames(demo_clips / "bikes.mp4", start=0, count=6))
    rows = labelled_rows(folder, demo_clips)
    few = [rows[i] for i in range(0, len(rows), 5)]
    from_rows(folder / "data_manifest.parquet", few).write()
    save_light_run(folder / "run")
    return folder


def test_the_core_does_its_work_and_names_the_extras_of_the_rest(tmp_path, made):
    manifest, run_folder = tmp_path / "data" / "data_manifest.parquet", made / "run"
    extraction = ["--count", 2, "--resolutions", "256p", "--intervals", "1", "--workers", 1]
    done = [
        ["extract", "--source", f"videos:{made / 'clips'}", "--out", manifest.parent, *extraction],
        ["verify", manifest],
        ["report", manifest],
        ["assess", run_folder, "--manifest", manifest],
        ["interpolate", made / "clips" / "street.mp4", tmp_path / "out.mp4"],
    ]
    refused = {
        "label": [["label", "--open"], ["label", "users", "list"]],
        "train": [["train", manifest, "--out", tmp_path / "new"], ["evaluate", run_folder, made / manifest.name]],
        "onnx": [["export-model", run_folder, "--format", "onnx"]],
        "openvino": [["export-model", run_folder, "--format", "openvino"]],
        "studio": [["studio", "--port", 0]],
    }
    commands = [*done, *(command for some in refused.values() for command in some)]
    codes, said = run(environment_of(tmp_path / "core"), *(["dataset_tools.vfi", *command] for command in commands))
    assert codes == [0] * 5 + [2] * 7, said
    lines = [line for line in said.splitlines() if line.startswith("vfi ") and "needs the extra" in line]
    expected = [(command[0], extra) for extra, some in refused.items() for command in some]
    for line, (command, extra) in zip(lines, expected, strict=True):
        assert line.startswith(f"vfi {command}: ")
        assert line.endswith(
            f" is not installed: this needs the extra {extra!r}: pip install 'vfi-difficulty[{extra}]'"
        )


def test_the_label_role_keeps_accounts_and_votes(tmp_path):
    shutil.copy(ROOT / "data_manifest.parquet", tmp_path)
    named = ["--manifest", tmp_path / "data_manifest.parquet"]
    codes, said = run(
        environment_of(tmp_path / "label", "label"),
        ["dataset_tools.vfi", "label", "users", "add", "ada", *named],
        ["dataset_tools.vfi", "label", "overlap", "3", *named],
        ["dataset_tools.vfi", "label", "stats", *named],
        ["dataset_tools.vfi", "label", "export", *named],
        ["crowdkit.aggregation"],
        ["labeling_app.web.app"],
        ["dataset_tools.vfi", "label", "stats", "--db", "postgresql://127.0.0.1:1/none"],
    )
    assert codes == [0] * 6 + [2], said
    assert "psycopg is not installed: this needs the extra 'postgresql'" in said


def test_the_train_role_trains_and_evaluates(tmp_path, made):
    manifest, environment = made / "data_manifest.parquet", environment_of(tmp_path / "train", "train")
    options = ["--backbone", "efficientnet_lite0", "--epochs", 1, "--crop", 64, "--device", "cpu"]
    codes, said = run(
        environment,
        ["dataset_tools.vfi", "train", manifest, "--out", tmp_path / "run", *options],
        ["dataset_tools.vfi", "evaluate", tmp_path / "run", manifest],
        ["vfidpa_model.benchmarking.pair_measurement"],
    )
    assert codes == [0, 0, 0], said


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("onnx", ["onnx", "onnxscript", "onnxruntime"]),
        ("openvino", ["openvino"]),
        ("postgresql", ["psycopg"]),
        ("studio", ["vfidpa_model.studio_page.page"]),
    ],
)
def test_a_small_extra_is_whole(tmp_path, extra, modules):
    codes, said = run(environment_of(tmp_path, extra), *([module] for module in modules))
    assert codes == [0] * len(modules), said


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_table_of_extras_is_that_of_the_project(extra):
    core, whole = distributions(), distributions(extra)
    brought = {normal(one.name) for one in declared(extra)} - {"vfi-difficulty"}
    homes = {module: set(map(normal, packages()[module])) for module in EXTRAS[extra]}
    assert brought <= set.union(*homes.values()), "a dependency without a module in dataset_tools.common.extras"
    for module, names in homes.items():
        assert names & whole, f"{module} does not come with {extra}"
        assert not names & core, f"{module} is in the core"
