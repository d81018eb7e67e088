"""The desk by command: list, set aside and take in again, ask again, give to a person, decide."""

import json

import pytest

from labeling_app.__main__ import main
from labeling_app.annotation import voting
from labeling_app.annotation.serving import next_items
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
    ]
    for argv, said in steps:
        code, captured = run(*argv)
        assert (code, captured.err) == (0, "")
        assert said in captured.out, argv
    listed = json.loads(run("items", "--where", "status=decided", "--json")[1].out)
    assert (listed["total"], {item["level"] for item in listed["items"]}) == (5, {4.0})
    assert "37 open" in run("items", "--limit", "1")[1].out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["exclude"], "say which items with --where"),
        (["ask-again", "--where", "colour=red"], "filter 'colour' must be one of"),
        (["items", "--sort", "colour"], "sort 'colour' must be one of"),
        (["items", "--where", "spread=x"], "range 'x' must be N"),
    ],
)
def test_wrong_usage_is_one_line(run, argv, said):
    code, captured = run(*argv)
    assert (code, captured.err.count("\n")) == (2, 1)
    assert said in captured.err
