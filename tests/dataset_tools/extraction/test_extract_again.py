"""A second run of an extraction: it adds what is missing, and leaves rows, frames and votes alone."""

import shutil
from pathlib import Path

import pytest

from dataset_tools.extraction import rounds as run_rounds
from dataset_tools.extraction import run as extraction
from dataset_tools.extraction.journal import open_journal
from tests.dataset_tools import replicas
from tests.dataset_tools.extracting import contents, extract, manifest_of, rejected_of


def test_a_second_run_changes_nothing(first, clips, capsys):
    before = {path: (first / path).stat().st_mtime_ns for path in contents(first)}
    assert extract(clips, first) == 0
    assert {path: (first / path).stat().st_mtime_ns for path in contents(first)} == before
    assert capsys.readouterr().out.splitlines()[-1].endswith("0 rows done, 24 skipped, 0 rejected")


def test_a_larger_count_adds_rows_and_keeps_votes(first, clips, tmp_path):
    out = Path(shutil.copytree(first, tmp_path / "set"))
    manifest = manifest_of(out)
    levels = [float(number % 4 + 1) for number in range(24)]
    manifest.with_columns({"level": levels, "note": [f"n{number}" for number in range(24)]}).write()
    assert extract(clips, out, count=30) == 0
    rows = manifest_of(out).rows()
    assert len(rows) == 30
    old = {row["triplet_id"]: row for row in rows}
    for row, level in zip(manifest.rows(), levels, strict=True):
        assert {**row, "level": level, "note": old[row["triplet_id"]]["note"]} == old[row["triplet_id"]]
    assert sum(row["note"] is not None for row in rows) == 24
    fresh = tmp_path / "fresh"
    assert extract(clips, fresh, count=30) == 0
    identity = ["triplet_id", "split", "img0_sha256", "gt_sha256", "img1_sha256"]
    assert manifest_of(fresh).table.select(identity).equals(manifest_of(out).table.select(identity))


def test_other_clips_are_asked_for_what_is_missing_only(clips, tmp_path, capsys):
    """They once gave the whole count, of which all but the missing rows was thrown away again."""
    out, sources = tmp_path / "set", {}
    for name in ("bunny.mov", "street.mp4"):
        sources[name] = tmp_path / name.partition(".")[0]
        sources[name].mkdir()
        shutil.copy(clips / name, sources[name])
    assert extract(sources["bunny.mov"], out, count=12) == 0
    assert extract(sources["street.mp4"], out, count=15) == 0
    before = contents(out)
    assert extract(sources["street.mp4"], out, count=15) == 0
    assert contents(out) == before
    assert capsys.readouterr().out.splitlines()[-1].endswith("0 rows done, 15 skipped, 0 rejected")
    rows = manifest_of(out).rows()
    assert [row["clip"] for row in rows].count("bunny.mov") == 12
    assert [row["clip"] for row in rows].count("street.mp4") == 3
    with open_journal(out) as journal:
        stored = journal.facts["extract"]["videos", "street.mp4"]["stored"]
    assert sum(len(frames) for frames in stored.values()) <= 3 * 3


def test_another_file_of_the_same_name_leaves_the_rows_and_their_frames(clips, tmp_path):
    source, out = tmp_path / "clips", tmp_path / "set"
    frames = [replicas.vimeo_crop(frame) for frame in replicas.read_frames(clips / "street.mp4")]
    replicas.write_video(source / "a.mp4", frames)
    replicas.make_vimeo_triplet(tmp_path, frames)
    sequences = tmp_path / "vimeo_triplet" / "sequences"
    more = ["--source", f"vimeo90k:{tmp_path}"]
    assert extract(source, out, *more, count=10) == 0
    before = contents(out)
    replicas.write_video(source / "a.mp4", frames[::-1])  # as long as the other: its triplets have the same indices
    for name in ("im1", "im3"):
        shutil.copy(sequences / "00001/0001/im2.png", sequences / f"00002/0001/{name}.png")
    assert extract(source, out, *more, count=12) == 0
    rows = {row["clip"]: row for row in rejected_of(out)}
    assert {(clip, row["reason"]) for clip, row in rows.items()} == {
        ("a.mp4", "changed"),
        ("triplet/00002/0001", "changed"),
    }
    assert "bring that back, or use another --out" in rows["a.mp4"]["message"]
    assert {path: data for path, data in contents(out).items() if path.endswith(".png")} == {
        path: data for path, data in before.items() if path.endswith(".png")
    }
    replicas.write_video(source / "a.mp4", frames)
    assert extract(source, out, *more, count=12) == 0
    assert len(manifest_of(out)) == 12


def test_a_clip_found_again_under_another_name_does_not_leak_into_another_split(first, clips, tmp_path):
    """The folder above the clips as source: all names change. A clip of two names could be in two splits."""
    out = Path(shutil.copytree(first, tmp_path / "set"))
    shutil.copytree(clips, tmp_path / "all" / "clips")
    assert extract(tmp_path / "all", out, count=30) == 0
    assert len(manifest_of(out)) == 24
    assert {(row["clip"], row["reason"]) for row in rejected_of(out)} == {
        ("clips/bunny.mov", "same file"),
        ("clips/day 2/street.mkv.mp4", "same file"),
        ("clips/street.mp4", "same file"),
    }


def test_votes_that_come_while_it_runs_are_kept(first, clips, tmp_path, monkeypatch):
    out = Path(shutil.copytree(first, tmp_path / "set"))

    def run_and_vote(*arguments, **options):
        manifest_of(out).with_columns({"level": [2.0] * 24, "level_source": ["human"] * 24}).write()
        return run_rounds.run_rounds(*arguments, **options)

    monkeypatch.setattr(extraction, "run_rounds", run_and_vote)
    assert extract(clips, out, count=27) == 0
    assert [row["level_source"] for row in manifest_of(out).rows()].count("human") == 24


def test_clips_that_are_added_take_turns(first, clips, tmp_path):
    out, more = Path(shutil.copytree(first, tmp_path / "set")), tmp_path / "more"
    frames = [replicas.vimeo_crop(frame) for frame in replicas.read_frames(clips / "street.mp4")]
    for number, name in enumerate(("x.mp4", "y.mp4", "z.mp4")):
        replicas.write_video(more / name, frames[6 * number : 6 * number + 9])
    sources = ["--source", f"videos:{more}", "--resolutions", "256p,720p,1080p"]
    assert extract(clips, out, *sources, count=27) == 0
    assert [row["clip"] for row in manifest_of(out).rows() if row["clip"] in ("x.mp4", "y.mp4", "z.mp4")] == [
        "x.mp4",
        "y.mp4",
        "z.mp4",
    ]
    journal = (out / ".extraction" / "journal.jsonl").read_bytes()
    assert extract(clips, out, *sources, count=27) == 0
    assert (out / ".extraction" / "journal.jsonl").read_bytes() == journal  # nothing was decoded again


@pytest.mark.parametrize("has_journal", [True, False])
def test_lost_frames_are_made_again(first, clips, tmp_path, has_journal):
    out = Path(shutil.copytree(first, tmp_path / "set"))
    rows = manifest_of(out).rows()
    for row, name in ((rows[0], "img0"), (rows[-1], "gt")):
        (out / row[name]).unlink()
    if not has_journal:
        (out / rows[5]["gt"]).write_bytes(b"damaged")
        shutil.rmtree(out / ".extraction")
    assert extract(clips, out) == 0
    assert contents(out) == contents(first)


def test_an_extraction_that_ended_before_its_first_clip_holds_nobody_to_its_options(first, clips, tmp_path):
    out = tmp_path / "set"
    (out / ".extraction").mkdir(parents=True)
    lines = (first / ".extraction" / "journal.jsonl").read_text().splitlines(keepends=True)
    options = lines[0].replace('"count":24', '"count":240').replace('"seed":7', '"seed":8')
    assert options != lines[0]
    probes = [line for line in lines if '"kind":"probe"' in line]
    (out / ".extraction" / "journal.jsonl").write_text("".join([options, *probes]))
    assert extract(clips, out) == 0
    assert contents(out) == contents(first)
