"""Command line: make the frames of a manifest again from the clips, and check them against its hashes."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dataset_tools.checks.pixels import MAX_FRAME_DIFFERENCE, Check, Difference
from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.common import cli
from dataset_tools.common.cores import num_cores
from dataset_tools.common.progress import track
from dataset_tools.errors import UsageError, VfiError
from dataset_tools.manifest import extraction_options
from dataset_tools.sampling.splits import Key
from dataset_tools.sources import Clip, list_sources
from dataset_tools.sources.clip_frames import treatment_of
from dataset_tools.video import check_decoder
from dataset_tools.workers.messages import Answer, RebuildJob, WantedFrame
from dataset_tools.workers.pool import WorkerPool

_CLIP_FACTS = ("clip_sha256", "field_order", "transfer")
_COLUMNS = (
    *("triplet_id", "source", "clip", *_CLIP_FACTS, "width", "height"),
    *(f"{name}{part}" for name in ("img0", "gt", "img1") for part in ("", "_index", "_sha256", "_fingerprint")),
)


def materialize(
    manifest: Annotated[Path, typer.Argument(help="The manifest (data_manifest.parquet).")],
    source: Annotated[list[str], typer.Option(help="Where the clips are: KIND:PATH, or demo. Repeatable.")],
    out: Annotated[Path | None, typer.Option(help="Folder for the frames; the manifest's own by default.")] = None,
    predictions: Annotated[bool, typer.Option("--predictions", help="Make the predictions again, too.")] = False,
    predictor: Annotated[str, typer.Option(help="Interpolator that made them.")] = "rife",
    weights: Annotated[Path | None, typer.Option(help="Its weights file; RIFE has its own by default.")] = None,
    device: Annotated[str, typer.Option(help="For the predictions: auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="Engine that made the predictions: torch, or ncnn.")] = "torch",
    decoder: Annotated[str | None, typer.Option(help="pyav or decord; that of the extraction by default.")] = None,
    workers: Annotated[int, typer.Option(help="Decoding processes; 0 means one per core.", min=0)] = 0,
    clip_timeout: Annotated[float, typer.Option(help="Give a clip up after so many seconds without a frame.")] = 60.0,
) -> int:
    """Make all frames of a manifest again from the clips it was extracted from, and check their hashes.

    Where a hash differs, one line says by how much: from the original if that is still in the manifest's folder, else
    from the fingerprint in the manifest (means of 16 blocks). One level of 255 is accepted, 0.1 levels on average for
    predictions. Originals that have the manifest's hash are never overwritten. Ends with 1 when anything differs more,
    cannot be judged or cannot be made.

    Example: python -m dataset_tools.materialize data_manifest.parquet --source demo --out demo
    """
    if not clip_timeout > 0:  # nan is not, either
        raise UsageError(f"--clip-timeout {clip_timeout} must be more than 0 seconds")
    if decoder is not None:
        check_decoder(decoder, name="--decoder")
    table = open_manifest(manifest)
    out = out or table.root
    if predictions:
        from dataset_tools.prediction.predictor import Predictor

        # A wrong name should not wait for the frames.
        engine = Predictor(predictor, weights=weights, device=device, backend=backend)
    with WorkerPool(workers or num_cores(), silence_seconds=clip_timeout) as pool:
        checks = {"frames": materialize_frames(table, sources=source, out=out, decoder=decoder, pool=pool)}
    if predictions:
        from dataset_tools.checks.predictions import rebuild_predictions

        checks["predictions"] = rebuild_predictions(table, out=out, engine=engine)
    for check in checks.values():
        for fault in check.faults:
            cli.say(fault)
        for line in check.accepted:
            cli.say(f"accepted: {line}")
    for name, check in checks.items():
        accepted = f"{len(check.accepted)} accepted with differences"
        cli.say(f"{out}: {check.num_equal} {name} equal, {accepted}, {len(check.faults)} faults")
    return cli.FAILED if any(check.faults for check in checks.values()) else cli.OK


def materialize_frames(
    manifest: ManifestFile, *, sources: Sequence[str], out: Path, decoder: str | None, pool: WorkerPool
) -> Check:
    """Write the frames of a manifest under ``out``, at the manifest's relative paths, and return the check.

    Raises:
        UsageError: A source is not usable.
        VfiError: A frame cannot be written.
    """
    clips = {clip.key: clip for clip in list_sources(sources).clips}
    check = Check()
    wanted, facts = _wanted_frames(manifest, check)
    for key in wanted.keys() - clips.keys():
        check.faults.append(f"clip {key[1]}: not found in any source of kind {key[0]}")
    options = extraction_options(manifest)
    decoder = check_decoder(decoder or options.get("decoder", "pyav"), name="--decoder")
    policy = {name: options.get(name, "keep") for name in ("interlaced", "hdr")}
    # Resolved, so that one folder under two names is known to be one: originals in it are not overwritten.
    originals, out = manifest.root.resolve(), out.resolve()

    def jobs() -> Iterator[tuple[Key, RebuildJob]]:
        for key, frames in wanted.items():
            if key in clips:
                yield (
                    key,
                    RebuildJob(
                        clip=clips[key],
                        wanted=tuple(frames),
                        sha256=facts[key]["clip_sha256"],
                        originals=originals,
                        out=out,
                        decoder=decoder,
                        treatment=treatment_of(facts[key], **policy),
                    ),
                )

    with track("frames", sum(len(frames) for key, frames in wanted.items() if key in clips)) as progress:
        for key, answer in pool.run(jobs()):
            _judge(clips[key], answer, check)
            progress.advance(len(wanted[key]))
    check.faults.sort()
    check.accepted.sort()
    return check


def _wanted_frames(
    manifest: ManifestFile, check: Check
) -> tuple[dict[Key, list[WantedFrame]], dict[Key, dict[str, Any]]]:
    """Return the different image files of every clip, and what is known of the clips; incomplete rows are faults."""
    wanted: dict[Key, dict[str, WantedFrame]] = {}
    facts: dict[Key, dict[str, Any]] = {}
    for row in (row for piece in manifest.batches(_COLUMNS) for row in piece.to_pylist()):
        key = row["source"], row["clip"]
        facts[key] = {name: row[name] for name in _CLIP_FACTS}
        for name in ("img0", "gt", "img1"):
            needed = ("clip_sha256", "width", "height", name, f"{name}_index", f"{name}_sha256")
            if missing := [column for column in needed if row[column] is None]:
                check.faults.append(f"triplet {row['triplet_id']}: {', '.join(missing)} must not be null")
                continue
            known = row[f"{name}_fingerprint"]
            item = WantedFrame(
                row[f"{name}_index"],
                row[name],
                row["width"],
                row["height"],
                row[f"{name}_sha256"],
                None if known is None else known.hex(),
            )
            wanted.setdefault(key, {})[item.file] = item
    return {key: list(files.values()) for key, files in wanted.items()}, facts


def _judge(clip: Clip, answer: Answer, check: Check) -> None:
    if answer.outcome == "stop":
        raise VfiError(answer.message)
    if answer.outcome != "done":
        message = answer.message
        check.faults.append(message if message.startswith("clip ") else f"clip {clip.name}: {message}")
        return
    for frame in answer.value:
        if frame.get("is_missing"):
            check.faults.append(f"{frame['file']}: beyond the end of clip {clip.name}")
        else:
            difference = Difference(**frame["difference"]) if frame["difference"] else None
            check.add(frame["file"], is_equal=frame["is_equal"], difference=difference, accepted=MAX_FRAME_DIFFERENCE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return cli.run(materialize, argv, prog="python -m dataset_tools.materialize")


if __name__ == "__main__":
    sys.exit(main())
