"""Rows as columns, put beside those that are there: by the same rules as plain Python has over dictionaries."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dataset_tools.errors import ManifestError
from dataset_tools.extraction import rows as rows_module
from dataset_tools.extraction.rows import (
    choose_new,
    count_others,
    facts_of_clips,
    files_of_clips,
    remove_unused,
    to_table,
    with_facts,
    without,
)
from dataset_tools.frames.paths import frame_path
from dataset_tools.manifest import SCHEMA, from_rows, from_table


def a_row(clip: str, index: int, *, tier: str = "256p", source: str = "videos", **more: object) -> dict[str, object]:
    indices = {"img0_index": index, "gt_index": index + 2, "img1_index": index + 4, "interval": 2}
    paths = {
        name: frame_path(source, clip, tier, index + 2 * place) for place, name in enumerate(("img0", "gt", "img1"))
    }
    name = f"{source}/{clip}/{index}@{tier}"
    return {"triplet_id": name, "source": source, "clip": clip, "resolution": tier, **indices, **paths, **more}


ROWS = st.lists(
    st.tuples(st.sampled_from(["a.mp4", "b.mp4", "c.mp4"]), st.integers(0, 5), st.sampled_from(["256p", "720p"])),
    unique=True,
    max_size=20,
)


def chosen(found: list[dict], kept: list[dict], count: int) -> list[str]:
    """Return the ids of the new rows, by dictionaries."""
    known, numbers, new = {row["triplet_id"] for row in kept}, {}, []
    for row in found:
        of_clip = numbers.setdefault((row["source"], row["clip"]), {})
        number = of_clip.setdefault((row["img0_index"], row["interval"]), len(of_clip))
        if row["triplet_id"] not in known:
            new.append((number, row["triplet_id"]))
    return [name for _, name in sorted(new, key=lambda pair: pair[0])][: max(0, count - len(kept))]


@settings(deadline=None, max_examples=30)
@given(found=ROWS, kept=ROWS, count=st.integers(0, 30))
def test_the_clips_with_fewest_triplets_come_first(found, kept, count):
    found_rows, kept_rows = ([a_row(clip, at, tier=tier) for clip, at, tier in rows] for rows in (found, kept))
    new = choose_new(to_table(found_rows), to_table(kept_rows), count=count)
    assert new.column("triplet_id").to_pylist() == chosen(found_rows, kept_rows, count)
    assert new.schema.equals(SCHEMA)


@settings(deadline=None, max_examples=30)
@given(rows=ROWS, order=st.randoms(use_true_random=False), cut=st.integers(0, 20))
def test_a_manifest_is_the_same_file_in_whatever_order_and_pieces_its_rows_came(rows, order, cut, tmp_path_factory):
    made = [a_row(clip, at, tier=tier, split=f"{tier} {clip}") for clip, at, tier in rows]
    folder = tmp_path_factory.mktemp("manifest")
    from_rows(folder / "one.parquet", made).write()
    order.shuffle(made)
    pieces = pa.concat_tables([to_table(made[:cut]), to_table(made[cut:])])
    from_table(folder / "other.parquet", pieces).write()
    assert (folder / "one.parquet").read_bytes() == (folder / "other.parquet").read_bytes()


def test_rows_make_a_table_block_by_block(monkeypatch):
    monkeypatch.setattr(rows_module, "ROWS_PER_GROUP", 4)
    table = to_table(a_row("a.mp4", index) for index in range(7))
    assert [len(chunk) for chunk in table.column("clip").chunks] == [4, 3]
    assert table.column("img0_index").to_pylist() == list(range(7))
    assert set(table.column("source").to_pylist()) == {"videos"}
    assert to_table([]).equals(SCHEMA.empty_table())


def test_a_triplet_twice_is_refused():
    table = to_table([a_row("a.mp4", 1), a_row("a.mp4", 1)])
    with pytest.raises(ManifestError, match=r"'videos/a\.mp4/1@256p' must be unique, found twice"):
        from_table(Path("x.parquet"), table)


def test_facts_of_clips_and_rows_with_facts():
    table = to_table(
        [
            a_row("a.mp4", 1, split="val"),
            a_row("b.mp4", 1),
            a_row("a.mp4", 3, split="val"),
            a_row("a.mp4", 3, source="vimeo90k", split="test"),
        ]
    )
    assert facts_of_clips([table.slice(0, 2), table.slice(2)], ["clip_group", "split"]) == {
        ("videos", "a.mp4"): {"clip_group": None, "split": "val"},
        ("videos", "b.mp4"): {"clip_group": None, "split": None},
        ("vimeo90k", "a.mp4"): {"clip_group": None, "split": "test"},
    }
    facts = {
        ("vimeo90k", "a.mp4"): {"clip_group": "g", "split": "train"},
        ("videos", "a.mp4"): {"clip_group": "h", "split": "test"},
    }
    assert count_others([table.slice(0, 2), table.slice(2)], {("videos", "a.mp4"), ("videos", "c.mp4")}) == 2
    told = with_facts(table, facts, ["clip_group", "split"])
    assert told.select(["triplet_id", "clip_group", "split"]).to_pylist() == [
        {"triplet_id": "videos/a.mp4/1@256p", "clip_group": "h", "split": "test"},
        {"triplet_id": "videos/a.mp4/3@256p", "clip_group": "h", "split": "test"},
        {"triplet_id": "vimeo90k/a.mp4/3@256p", "clip_group": "g", "split": "train"},
    ]
    assert told.schema.equals(SCHEMA)
    assert len(with_facts(SCHEMA.empty_table(), facts, ["split"])) == 0


def test_without_leaves_only_other_triplets():
    table, others = to_table([a_row("a.mp4", 1), a_row("b.mp4", 1)]), to_table([a_row("b.mp4", 1), a_row("c.mp4", 1)])
    assert without(table, others).column("clip").to_pylist() == ["a.mp4"]
    assert without(table, SCHEMA.empty_table()) is table


def test_only_frames_that_no_row_names_are_removed(tmp_path):
    rows = [a_row("a.mp4", 1, pred="pred/rife/a/3.png"), a_row("b.mp4", 1)]
    clips = {("videos", name) for name in ("a.mp4", "b.mp4", "gone.mp4")}
    used = dict(files_of_clips(to_table([*rows, a_row("unwanted.mp4", 1)]), clips))
    assert used.keys() == {("videos", "a.mp4"), ("videos", "b.mp4")}
    assert used["videos", "a.mp4"] == {row for row in rows[0].values() if str(row).endswith(".png")}
    unused = [frame_path("videos", clip, "256p", 9) for clip in ("a.mp4", "gone.mp4")]
    theirs = [frame_path("videos", "other.mp4", "256p", 9), "frames/videos/a.mp4/256p/notes.png"]
    wanted = {*used["videos", "a.mp4"], *used["videos", "b.mp4"]} - {"pred/rife/a/3.png"}
    for path in (*wanted, *unused, *theirs, "frames/videos/a.mp4/256p/.000009.png.tmp"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    remove_unused(tmp_path, clips, to_table(rows))
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {*wanted, *theirs}
