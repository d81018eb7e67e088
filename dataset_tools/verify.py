"""Command line: is this data set whole, readable and free of leaks between its splits?"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from dataset_tools.checks.files import Finding, check_files
from dataset_tools.checks.leaks import find_recordings, leaks
from dataset_tools.checks.rows import check_duplicates, check_rows, count_files
from dataset_tools.columns.file import ManifestFile, open_manifest
from dataset_tools.common import cli
from dataset_tools.common.cluster import Cluster, RayOption, join_cluster
from dataset_tools.common.parquet import Columns
from dataset_tools.common.progress import track
from dataset_tools.errors import UsageError
from dataset_tools.workers import SILENCE_SECONDS


@dataclass
class Verdict:
    """What ``verify_data_set`` found.

    Attributes:
        num_rows, num_files: Rows and different image files looked at.
        row_faults: One line each about rows and splits; empty for a sound data set.
        findings: About image files.
    """

    num_rows: int
    num_files: int = 0
    row_faults: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """One line each; empty for a sound data set."""
        return self.row_faults + [finding.text for finding in self.findings if not finding.is_accepted]

    @property
    def accepted(self) -> list[str]:
        """Of image files that differ from their hash, but by no more than another machine's rounding."""
        return [finding.text for finding in self.findings if finding.is_accepted]


def verify_data_set(manifest: Columns, *, files: bool = True, cluster: Cluster | None = None) -> Verdict:
    """Return what is wrong with a data set; paths that leave its folder were refused when they were read.

    Args:
        files: Also read every image file and compare size and hash; where the hash differs, the fingerprint.
        cluster: Of machines that read the files; this one by default.
    """
    verdict = Verdict(sum(len(piece) for piece in manifest.batches(["triplet_id"])))
    verdict.row_faults += check_rows(manifest)
    verdict.row_faults += leaks(find_recordings(manifest))
    verdict.row_faults += check_duplicates(manifest)
    if files:
        verdict.num_files = count_files(manifest)
        with track("verify", verdict.num_files) as progress:
            verdict.findings = check_files(manifest, progress=progress, cluster=cluster)
    return verdict


def repair_frames(
    manifest: ManifestFile, verdict: Verdict, *, sources: Sequence[str], cluster: Cluster | None = None
) -> list[str]:
    """Make the frames again that ``verify_data_set`` found missing or damaged, and look at them again.

    The manifest stays as it is, with its votes and levels; sound files are not touched. ``verdict`` then holds what is
    still wrong.

    Returns:
        Why frames could not be made, one line each.

    Raises:
        UsageError: A source is not usable.
        VfiError: A frame cannot be written.
    """
    from dataset_tools.extraction.rebuilding import rebuild_frames
    from dataset_tools.workers.ray_pool import open_pool

    broken = {found.file for found in verdict.findings if not found.is_accepted and found.column != "pred"}
    if not broken:
        return []
    with open_pool(0, silence_seconds=SILENCE_SECONDS, cluster=cluster) as pool:
        made = rebuild_frames(manifest, sources=sources, out=manifest.frames, decoder=None, pool=pool, only=broken)
    others = [found for found in verdict.findings if found.file not in broken]
    with track("verify", len(broken)) as progress:
        verdict.findings = others + check_files(manifest, progress=progress, cluster=cluster, only=broken)
    return made.faults


def verify(
    manifest: Annotated[Path, typer.Argument(help="The manifest, data_manifest.parquet.")],
    rows_only: Annotated[bool, typer.Option("--rows-only", help="Do not read the image files.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make missing and damaged frames again from the clips; see --source.")
    ] = False,
    source: Annotated[
        list[str] | None, typer.Option(help="Where the clips are, for --repair: KIND:PATH, or demo. Repeatable.")
    ] = None,
    ray: RayOption = None,
) -> int:
    """Check a data set: schema, rows, split leakage, duplicates, and every image file with its hash.

    Where a hash differs, one line says by how much: up to one level of 255 is accepted, 0.1 for predictions, in the
    means of 16 blocks that the manifest holds. A frame made on another machine may differ so much.

    Ends with 1 and one line per fault when anything is wrong. --repair makes frames that are missing or damaged again;
    the manifest, its votes and its levels stay as they are.

    \b
    Examples:
      python -m dataset_tools.verify data/data_manifest.parquet
      python -m dataset_tools.verify data/data_manifest.parquet --repair --source videos:clips
    """
    if repair != bool(source):
        raise UsageError("--repair and --source go together: frames are made again from the clips")
    if repair and rows_only:
        raise UsageError("--repair and --rows-only exclude each other: what is broken is found by reading the files")
    table = open_manifest(manifest)
    with join_cluster(ray, reads=table.frames, writes_to=table.frames if repair else None) as cluster:
        verdict = verify_data_set(table, files=not rows_only, cluster=cluster)
        num_broken = len(verdict.faults)
        not_made = repair_frames(table, verdict, sources=source, cluster=cluster) if source else []
    for line in (*verdict.faults, *not_made):
        cli.say(line)
    for line in verdict.accepted:
        cli.say(f"accepted: {line}")
    counts = f"{verdict.num_rows} rows, {verdict.num_files} files, {len(verdict.accepted)} accepted with differences"
    repaired = f", {num_broken - len(verdict.faults)} repaired" if repair else ""
    cli.say(f"{manifest}: {counts}{repaired}, {len(verdict.faults)} faults")
    return cli.FAILED if verdict.faults else cli.OK


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``python -m dataset_tools.verify`` and return its exit code."""
    return cli.run(verify, argv, prog="python -m dataset_tools.verify")


if __name__ == "__main__":
    sys.exit(main())
