"""Frames of a manifest made again from the clips, and checked against its hashes."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from dataset_tools.checks.pixels import MAX_FRAME_DIFFERENCE, Check, Difference
from dataset_tools.columns.file import ManifestFile
from dataset_tools.common.progress import track
from dataset_tools.common.remote import Folder
from dataset_tools.errors import VfiError
from dataset_tools.manifest import extraction_options
from dataset_tools.sampling.splits import Key
from dataset_tools.sources import Clip, list_sources
from dataset_tools.sources.clip_frames import treatment_of
from dataset_tools.video import check_decoder
from dataset_tools.workers.messages import Answer, RebuildJob, WantedFrame
from dataset_tools.workers.ray_pool import Pool

_CLIP_FACTS = ("clip_sha256", "field_order", "transfer")
_COLUMNS = (
    *("triplet_id", "source", "clip", *_CLIP_FACTS, "width", "height"),
    *(f"{name}{part}" for name in ("img0", "gt", "img1") for part in ("", "_index", "_sha256", "_fingerprint")),
)


def rebuild_frames(
    manifest: ManifestFile,
    *,
    sources: Sequence[str],
    out: Folder,
    decoder: str | None,
    pool: Pool,
    only: Collection[str] | None = None,
) -> Check:
    """Write the frames of a manifest under ``out``, at the manifest's relative paths, and return the check.

    Args:
        decoder: That of the extraction by default.
        only: Paths of the image files to make; by default all.

    Raises:
        UsageError: A source is not usable.
        VfiError: A frame cannot be written.
    """
    clips = {clip.key: clip for clip in list_sources(sources).clips}
    check = Check()
    wanted, facts = _wanted_frames(manifest, check, only)
    for key in wanted.keys() - clips.keys():
        check.faults.append(f"clip {key[1]}: not found in any source of kind {key[0]}")
    options = extraction_options(manifest)
    decoder = check_decoder(decoder or options.get("decoder", "pyav"), name="--decoder")
    policy = {name: options.get(name, "keep") for name in ("interlaced", "hdr")}
    # Resolved, so that one folder under two names is known to be one: originals in it are not overwritten.
    originals, out = manifest.frames.resolve(), out.resolve()

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
    manifest: ManifestFile, check: Check, only: Collection[str] | None
) -> tuple[dict[Key, list[WantedFrame]], dict[Key, dict[str, Any]]]:
    """Return the different image files of every clip, and what is known of the clips; incomplete rows are faults."""
    wanted: dict[Key, dict[str, WantedFrame]] = {}
    facts: dict[Key, dict[str, Any]] = {}
    for row in (row for piece in manifest.batches(_COLUMNS) for row in piece.to_pylist()):
        key = row["source"], row["clip"]
        facts[key] = {name: row[name] for name in _CLIP_FACTS}
        for name in ("img0", "gt", "img1"):
            if only is not None and row[name] not in only:
                continue
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
