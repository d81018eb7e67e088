"""The desk by command: list, set aside and take in again, ask again, give to a person, decide, make gold, comment."""

import json

import pytest
from typer.main import get_command

from labeling_app.__main__ import main
from labeling_app.annotation import voting
from labeling_app.annotation.serving import next_items
from labeling_app.commands.serve import app
from labeling_app.desk.actions import ACTIONS
from labeling_app.schemas import VoteRequest
from tests.labeling_app.helpers import add_user, make_state


@pytest.fixture
def labelled(manifest):
    """The manifest beside a database in which anna voted 2 on five triplets; ben did not vote."""
    state = make_state(manifest)
    anna, _ = add_user(state.store, "anna"), add_user(state.store, "ben")
    for row in next_items(state, anna, count=5)[0]:
        voting.vote(state, anna, VoteRequest(vote_id=f"vote-{row['id']:05d}", assignment_id=row["id"], level=2))
    state.close()
    return manifest


@pytest.fixture
def run(labelled, capsys):
    def run(*argv):
        code = main([*argv, "--manifest", str(labelled)])
        return code, capsys.readouterr()

    run.manifest = labelled
    return run


def test_the_leads_day_by_command(run):
    steps = [
        (["exclude", "--where", "person=anna", "--preview"], "would change: 5 items, 5 votes\n  anna: 5 votes\n"),
        (["exclude", "--where", "person=anna", "--reason", "clicked"], "changed: 5 items, 5 votes\n  anna: 5 votes\n"),
        (["export"], "0 levels (median) from 0 votes, 5 set aside\n"),
        (["include", "--where", "person=anna"], "changed: 5 items, 5 votes\n  anna: 5 votes\n"),
        (["export"], "5 levels (median) from 5 votes\n"),
        (["ask-again", "--where", "votes=1-", "--votes", "2"], "warning: 5 items want more votes than people are left"),
        (["assign", "ben", "--where", "votes=yes"], "changed: 5 items, 0 votes\n"),
        (["decide", "4", "--where", "votes=1-"], "changed: 5 items, 0 votes\n"),
        (["export"], "5 levels (median) from 5 votes\n"),
        (["comment", "watch the hand", "--where", "votes=yes", "--preview"], "would change: 5 items, 0 votes\n"),
        (["items", "--where", "commented=yes"], "0 of 0 items\n"),
        (["comment", "watch the hand", "--where", "votes=yes"], "changed: 5 items, 0 votes\n"),
        (["items", "--where", "commented=yes"], "5 of 5 items, 5 decided\n"),
    ]
    for argv, said in steps:
        code, captured = run(*argv)
        assert (code, captured.err) == (0, "")
        assert said in captured.out, argv
    listed = json.loads(run("items", "--where", "status=decided", "--json")[1].out)
    assert (listed["total"], {item["level"] for item in listed["items"]}) == (5, {4.0})
    assert "37 open" in run("items", "--limit", "1")[1].out


def test_gold_by_filter(run):
    steps = [
        (["set-gold", "3", "--where", "interval=2", "--preview"], "would change: 11 items, 0 votes\n"),
        (["set-gold", "3", "--where", "interval=2", "--purpose", "training", "--note", "a ghost"], "changed: 11 items"),
        (["set-gold", "none", "--where", "interval=2", "--where", "resolution=256p"], "changed: 3 items, 0 votes\n"),
        (["items", "--where", "status=gold"], "8 of 8 items, 8 gold\n"),
    ]
    for argv, said in steps:
        code, captured = run(*argv)
        assert (code, captured.err) == (0, "")
        assert said in captured.out, argv
    state = make_state(run.manifest)
    assert {(gold.level, gold.purpose, gold.note) for gold in state.gold.values()} == {(3, "training", "a ghost")}
    state.close()


def test_the_command_line_has_every_action_of_the_desk():
    commands = set(get_command(app).commands)
    names = {"ask_again": "ask-again", "gold": "set-gold", "note": "comment"}
    assert {names.get(action, action) for action in ACTIONS} <= commands
    for action in ACTIONS:
        assert {"preview", "where"} <= {one.name for one in get_command(app).commands[names.get(action, action)].params}


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["exclude"], "say which items with --where"),
        (["ask-again", "--where", "colour=red"], "filter 'colour' must be one of"),
        (["items", "--sort", "colour"], "sort 'colour' must be one of"),
        (["items", "--where", "spread=x"], "range 'x' must be N"),
        (["items", "--where", "level=1", "--where", "level=2"], "filter 'level' is given twice"),
        (["set-gold", "3"], "say which items with --where"),
        (["set-gold", "5", "--where", "level=1"], "'5' is not one of '1', '2', '3', '4', 'none'"),
        (["set-gold", "3", "--where", "level=1", "--purpose", "fun"], "'fun' is not one of"),
        (["comment", "odd"], "say which items with --where"),
        (["comment", "", "--where", "level=1"], "a comment needs a text"),
    ],
)
def test_wrong_usage_is_one_line(run, argv, said):
    code, captured = run(*argv)
    assert (code, captured.err.count("\n")) == (2, 1)
    assert said in captured.err
