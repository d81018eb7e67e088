"""The command line: every command does its work in process, and wrong usage is one clear line."""

import io
import json
import re
import signal
import sqlite3
import subprocess
import sys

import httpx
import pandas as pd
import pytest
from typer.main import get_command

from dataset_tools.manifest import read_manifest
from labeling_app.__main__ import main
from labeling_app.annotation import voting
from labeling_app.annotation.serving import next_items
from labeling_app.commands.serve import app
from labeling_app.schemas import VoteRequest
from tests.labeling_app.helpers import ROOT, add_user, first_line, make_state


@pytest.fixture
def labelled(manifest):
    """The manifest beside a database in which anna voted on five triplets."""
    state = make_state(manifest)
    anna = add_user(state.store, "anna")
    for number, row in enumerate(next_items(state, anna, count=5)[0]):
        voting.vote(
            state, anna, VoteRequest(vote_id=f"vote-{number:05d}", assignment_id=row["id"], level=1 + number % 4)
        )
    state.close()
    return manifest


def run(capsys, *argv, manifest=None):
    """Return (exit code, standard output, standard error) of a command."""
    options = [] if manifest is None else ["--manifest", str(manifest)]
    code = main([*map(str, argv), *options])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_export_writes_levels_and_tables(labelled, capsys, tmp_path):
    csv, studio = tmp_path / "votes.csv", tmp_path / "studio.json"
    code, out, _ = run(capsys, "export", "--table", csv, "--label-studio", studio, manifest=labelled)
    assert (code, out) == (0, f"{labelled}: 5 levels (median) from 5 votes\n")
    assert sum(row["level"] is not None for row in read_manifest(labelled).rows()) == 5
    assert len(pd.read_csv(csv)) == len(json.loads(studio.read_text())) == 5
    code, out, _ = run(capsys, "import", studio, manifest=labelled)
    assert (code, out) == (0, f"{studio}: 0 votes taken in, 5 known already, 0 rejected\n")


def test_stats_and_audit(labelled, capsys):
    code, out, _ = run(capsys, "stats", "--json", manifest=labelled)
    assert code == 0
    assert json.loads(out)["histogram"] == [2, 1, 1, 1]
    code, out, _ = run(capsys, "stats", manifest=labelled)
    assert "levels 1..4  2 1 1 1\n" in out
    assert "5 of 126 votes" in out
    voted = run(capsys, "export", manifest=labelled) and [
        row["triplet_id"] for row in read_manifest(labelled).rows() if row["num_annotations"]
    ]
    capsys.readouterr()
    code, out, _ = run(capsys, "audit", voted[0], manifest=labelled)
    assert re.match(r"20\d\d-\S+Z  #\d+  vote      anna  \{", out)
    assert run(capsys, "audit", manifest=labelled)[1] == "every quota and every state agrees with the log\n"


def test_users(labelled, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("a good password\n"))
    assert run(capsys, "users", "add", "rita", "--role", "reviewer", "--password-stdin", manifest=labelled)[0] == 0
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    out = run(capsys, "users", "add", "boss", "--role", "admin", manifest=labelled)[1]
    assert re.fullmatch(r"added admin boss, password \S{16}\n", out)  # no terminal: made up, shown once
    assert run(capsys, "users", "token", "rita", manifest=labelled)[1].startswith("vfi_")
    assert run(capsys, "users", "role", "anna", "reviewer", manifest=labelled)[1] == "anna is reviewer now\n"
    assert run(capsys, "users", "disable", "anna", manifest=labelled)[1] == "disabled anna\n"
    lines = run(capsys, "users", "list", manifest=labelled)[1].splitlines()
    assert [line.split("\t")[0:2] + line.split("\t")[4:] for line in lines] == [
        ["anna", "reviewer", "disabled, no password"], ["boss", "admin", ""], ["rita", "reviewer", "token"],
    ]  # fmt: skip
    assert run(capsys, "users", "disable", "anna", "--undo", manifest=labelled)[1] == "enabled anna\n"


def test_backup_and_migrate(labelled, capsys, tmp_path):
    copy, moved = tmp_path / "copy.sqlite", tmp_path / "moved.sqlite"
    assert run(capsys, "backup", copy, manifest=labelled)[0] == 0
    code, out, _ = run(capsys, "migrate", f"sqlite:///{copy}", f"sqlite:///{moved}")
    assert code == 0
    assert "events: " in out
    assert out.endswith("done: every table has the same rows and the same hash in both databases\n")


def test_overlap_by_filter_holds_beside_a_server_and_for_new_triplets(labelled, capsys):
    code, out, _ = run(
        capsys, "overlap", "5", "--where", "resolution=1080p", "--where", "interval=1-2", manifest=labelled
    )
    assert (code, out) == (0, "7 triplets want 5 votes now\n")
    assert json.loads(run(capsys, "stats", "--json", manifest=labelled)[1])["votes_wanted"] == 42 * 3 + 7 * 2
    again = make_state(labelled, overlap=3)
    again.close()
    assert json.loads(run(capsys, "stats", "--json", manifest=labelled)[1])["votes_wanted"] == 42 * 3 + 7 * 2


def test_gold_from_a_table(labelled, capsys, tmp_path):
    triplet_id = read_manifest(labelled).rows()[0]["triplet_id"]
    file = tmp_path / "gold.csv"
    note = "see the edge,\nthere"  # as a spreadsheet writes it
    file.write_text(f'triplet_id,level,purpose,note\n{triplet_id},3,training,"{note}"\nnone,1,,\n')
    code, out, err = run(capsys, "gold", file, manifest=labelled)
    assert (code, out) == (1, f"{file}: 1 of 2 gold items set\n")
    assert err == "triplet 'none' is not in the manifest\n"
    state = make_state(labelled)
    assert [(gold.level, gold.purpose, gold.note) for gold in state.gold.values()] == [(3, "training", note)]
    state.close()


def test_a_gold_table_that_contradicts_itself_is_refused(labelled, capsys, tmp_path):
    (tmp_path / "gold.csv").write_text("triplet_id,level\na,3\nb,1\na,4\n")
    code, _, err = run(capsys, "gold", tmp_path / "gold.csv", manifest=labelled)
    assert (code, err.count("\n")) == (2, 1)
    assert "line 4: triplet 'a' stands in line 2 already; keep one" in err


def test_what_the_database_refuses_is_one_line(labelled, capsys):
    with sqlite3.connect(labelled.parent / "labels.sqlite") as connection:
        connection.execute("CREATE TRIGGER full BEFORE INSERT ON events BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    connection.close()
    code, out, err = run(capsys, "users", "add", "ben", manifest=labelled)
    assert (code, out, err) == (1, "", "python -m labeling_app: the database refused: disk is full\n")


def test_a_gold_table_in_another_encoding_is_one_line(labelled, capsys, tmp_path):
    (tmp_path / "gold.csv").write_bytes("triplet_id,level,note\nx,3,Grüße\n".encode("latin-1"))
    code, _, err = run(capsys, "gold", tmp_path / "gold.csv", manifest=labelled)
    assert code == 2
    assert "must be a CSV file in UTF-8" in err


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["export", "--consensus", "best"], 2, "consensus 'best' must be one of median"),
        (["export", "--table", "votes.txt"], 2, "must end in .csv or .parquet"),
        (["overlap", "5", "--where", "tier=1080p"], 2, "filter 'tier' must be one of"),
        (["overlap", "500"], 2, r"overlap \(500\) must be in 0..100"),
        (["audit", "videos/none"], 1, "is not in the database"),
        (["users", "add", "${x}"], 1, "must be 1 to 64 letters"),
        (["users", "add", "ben", "--role", "king"], 2, "role 'king' must be one of"),
        (["users", "token", "nobody"], 1, "there is no account 'nobody'"),
        (["import", "nowhere.json"], 1, "nowhere.json: No such file"),
        (["gold", "nowhere.csv"], 1, "nowhere.csv: No such file"),
        (["stats", "--db", "mysql://x/y"], 2, "'mysql' must be sqlite"),
        (["stats", "--db", "sqlite:////nowhere/x.sqlite"], 1, "does not exist; label something first"),
        (["--language", "klingon"], 2, "language 'klingon' must be one of de, en"),
        (["--order", "best"], 2, "'best' is not one of"),
        (["--host", "0.0.0.0", "--open"], 2, "--open is for localhost only"),
        (["no-such-command"], 2, "No such command"),
    ],
)
def test_wrong_usage_is_one_line(labelled, capsys, argv, code, message):
    given = [] if argv[0] == "no-such-command" else ["--manifest", str(labelled)]
    argv = [*given, *argv] if argv[0].startswith("--") else [*argv, *given]
    assert main(argv) == code
    err = capsys.readouterr().err
    assert err.startswith("python -m labeling_app: ")
    assert err.count("\n") == 1
    assert re.search(message, err)


def test_a_missing_manifest_is_one_line(capsys, tmp_path):
    for argv in ([], ["export"], ["stats"], ["users", "list"]):
        code, _, err = run(capsys, *argv, manifest=tmp_path / "none.parquet")
        assert code == 2
        assert "none.parquet does not exist" in err
    assert list(tmp_path.iterdir()) == []  # nor does it leave a database behind


def test_a_wrong_manifest_leaves_no_database_behind(capsys, tmp_path):
    manifest = tmp_path / "data_manifest.parquet"
    manifest.write_bytes(b"not parquet")
    code, _, err = run(capsys, "--port", "0", manifest=manifest)
    assert code == 1
    assert "is not a readable Parquet file" in err
    assert [path.name for path in tmp_path.iterdir()] == ["data_manifest.parquet"]


def test_every_command_and_option_has_help_and_an_example():
    group = get_command(app)
    for name, command in _commands(group):
        assert "Example: python -m labeling_app" in (command.help or ""), name
        for parameter in command.params:
            if parameter.name not in ("help", "install_completion", "show_completion"):
                assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_serve_says_where_it_is_and_ends_on_ctrl_c(labelled, tmp_path):
    command = [sys.executable, "-m", "labeling_app", "--manifest", str(labelled), "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as server:
        try:
            line = first_line(server)
            address = re.fullmatch(r"labelling .+ on (http://127\.0\.0\.1:\d+) \(a name is enough to sign in\)\n", line)
            assert address, line
            answer = httpx.post(f"{address[1]}/signin", json={"name": "anna"}, timeout=60)
            assert answer.json()["user"] == "anna"
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=60) == 0
        finally:
            server.kill()


def test_help_comes_without_the_heavy_packages():
    program = (
        "import sys; from labeling_app.__main__ import main; main(['--help']);"
        "print([name for name in ('gradio', 'torch', 'crowdkit') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert "export" in done.stdout


def _commands(group, prefix=""):
    yield prefix or "serve", group
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from ((f"{name} {sub}", each) for sub, each in command.commands.items())
        else:
            yield name, command
