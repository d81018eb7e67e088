"""A manifest described for machines (Croissant 1.0): its columns, and who has rights to the frames of each source."""

from datetime import date
from pathlib import Path
from typing import Any

from dataset_tools.common.files import sha256_file, write_json
from dataset_tools.manifest import DEFAULT_NAME
from dataset_tools.publishing.features import croissant_field, plain
from dataset_tools.publishing.meanings import HASHES, MEANINGS, RIGHTS
from dataset_tools.publishing.recipe import write_manifest
from dataset_tools.publishing.source import Outgoing

_CROISSANT = "http://mlcommons.org/croissant/"


def write_croissant(manifest: Outgoing, out: Path) -> list[str]:
    """Write the manifest and ``croissant.json``; return notes on columns that it does not describe."""
    write_manifest(manifest, out / DEFAULT_NAME)
    fields, notes = [], []
    for field in manifest.schema:
        described = croissant_field(plain(field.type))
        if described is None or (not manifest.with_hashes and field.name in HASHES):
            if described is None:
                notes.append(
                    f"column {field.name} ({field.type}) is in the Parquet file and not described: it is nested"
                )
            continue
        fields.append(_field("triplets", field.name, described, "manifest"))
    write_json(
        out / "croissant.json",
        {
            "@context": _context(),
            "@type": "sc:Dataset",
            "name": "vfi-difficulty-triplets",
            "description": f"{len(manifest)} frame triplets with difficulty levels of video frame interpolation.",
            "conformsTo": f"{_CROISSANT}1.0",
            "version": "1.0.0",
            "url": "https://example.org/",
            "license": manifest.license,
            "citeAs": "Dynamic Video Frame Interpolator with Integrated Difficulty Pre-Assessment, ICASSP 2024",
            "datePublished": date.today().isoformat(),
            "distribution": [
                {
                    "@type": "cr:FileObject",
                    "@id": "manifest",
                    "name": "manifest",
                    "contentUrl": DEFAULT_NAME,
                    "encodingFormat": "application/x-parquet",
                    "sha256": sha256_file(out / DEFAULT_NAME),
                }
            ],
            "recordSet": [
                {
                    "@type": "cr:RecordSet",
                    "@id": "triplets",
                    "name": "triplets",
                    "description": "One triplet at one resolution.",
                    "key": {"@id": "triplets/triplet_id"},
                    "field": fields,
                },
                _sources(manifest),
            ],
        },
    )
    return notes


def _field(records: str, name: str, described: dict[str, Any], file: str | None) -> dict[str, Any]:
    found = {"@type": "cr:Field", "@id": f"{records}/{name}", "name": name, **described}
    if name in MEANINGS:
        found["description"] = MEANINGS[name]
    if file is not None:
        found["source"] = {"fileObject": {"@id": file}, "extract": {"column": name}}
    return found


def _sources(manifest: Outgoing) -> dict[str, Any]:
    """Return the record set that says for each source who has the rights."""
    text = {"dataType": "sc:Text"}
    return {
        "@type": "cr:RecordSet",
        "@id": "sources",
        "name": "sources",
        "description": "Where the clips are from, and who has rights to their frames.",
        "key": {"@id": "sources/source"},
        "field": [_field("sources", name, text, None) for name in ("source", "rights")],
        "data": [
            {"sources/source": source, "sources/rights": RIGHTS.get(source, "see its owner")}
            for source in manifest.sources
        ],
    }


def _context() -> dict[str, Any]:
    terms = ("citeAs", "column", "extract", "field", "fileObject", "key", "recordSet", "repeated", "source")
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "cr": _CROISSANT,
        "dct": "http://purl.org/dc/terms/",
        "sc": "https://schema.org/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        **{term: f"cr:{term}" for term in terms},
    }
