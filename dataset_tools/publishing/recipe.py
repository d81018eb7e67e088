"""A data set without its pixels: the manifest and how to make the frames again, for clips that may not be re-hosted."""

from pathlib import Path

import pyarrow.parquet as pq

from dataset_tools.common.files import atomic_writer, write_bytes
from dataset_tools.common.parquet import ROWS_PER_GROUP
from dataset_tools.manifest import DEFAULT_NAME, SCHEMA_VERSION, created_by
from dataset_tools.publishing.source import Outgoing


def write_recipe(manifest: Outgoing, out: Path) -> list[str]:
    """Write the manifest alone, with how to rebuild the pixels from the clips; return no notes."""
    write_manifest(manifest, out / DEFAULT_NAME)
    text = (
        f"# {manifest.pretty_name}, without its pixels\n\n"
        f"{len(manifest)} frame triplets: which frames of which clips, their hashes, metrics and levels. The frames\n"
        "are rebuilt from the clips, which you get from their owners, and checked against the hashes:\n\n"
        "```\n"
        f"python -m dataset_tools.materialize {DEFAULT_NAME} --source KIND:PATH --predictions\n"
        f"python -m dataset_tools.verify {DEFAULT_NAME}\n"
        "```\n"
    )
    write_bytes(out / "README.md", text.encode())
    return []


def write_manifest(manifest: Outgoing, path: Path) -> None:
    """Write the manifest as one Parquet file, annotators numbered."""
    metadata = {"created_by": created_by(), **manifest.metadata, "schema_version": SCHEMA_VERSION}
    with atomic_writer(path) as file:
        schema = manifest.schema.with_metadata(metadata)
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for piece in manifest.pieces():
                writer.write_table(piece.cast(schema), row_group_size=ROWS_PER_GROUP)
