"""Files written by hand: one sentence for each way in which they can be wrong, a name that stands twice among them."""

import json

import pytest

from dataset_tools.common.yaml_file import read_yaml
from dataset_tools.errors import UsageError

MERGED = """
a: {deep: &base {x: 1, y: 1}}
b: {<<: *base, x: 3}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: {a: 1}\n", {"a": 1, "b": {"a": 1}}),
        ('1: number\n"1": text\n', {1: "number", "1": "text"}),
        (json.dumps({"a": [1, None]}), {"a": [1, None]}),
        (MERGED, {"a": {"deep": {"x": 1, "y": 1}}, "b": {"x": 3, "y": 1}}),  # overriding what is merged is meant
        ("", None),
    ],
)
def test_what_is_right_is_read(tmp_path, text, expected):
    (tmp_path / "file").write_text(text)
    assert read_yaml(tmp_path / "file", what="file") == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cats: 1\ndogs: 2\ncats: 3\n", ", line 3: 'cats' stands twice; keep one of them"),
        ("a:\n  b: 1\n  b: 1\n", ", line 3: 'b' stands twice; keep one of them"),
        ('{"a": 1,\n "a": 1}', ", line 2: 'a' stands twice; keep one of them"),
        ('cats: 1\n"cats": 2', ", line 2: 'cats' stands twice; keep one of them"),
        ("a: [", " is not YAML: while parsing"),
        ("\x00", " is not YAML: unacceptable character"),
        ("a: 2026-13-01", " is not YAML: month must be in 1..12"),
        (b"\xff", " is not YAML: 'utf-8' codec"),
        (None, ": No such file or directory"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "file"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UsageError) as caught:
        read_yaml(path, what="projects file")
    assert str(caught.value).startswith(f"projects file {path}{words}")
    assert "\n" not in str(caught.value)
