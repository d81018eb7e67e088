"""Asks a manifest by SQL (DuckDB): counts, joins and filters over columns, within a bound of memory."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from dataset_tools.columns.file import ManifestFile
from dataset_tools.common.cores import num_cores
from dataset_tools.errors import UsageError
from dataset_tools.manifest import SCHEMA

MEMORY_LIMIT = "3GB"  # beyond that DuckDB puts intermediate results on disk
_SIMPLE = {
    "string": "VARCHAR",
    "binary": "BLOB",
    "bool": "BOOLEAN",
    "int8": "TINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "timestamp[us, tz=UTC]": "TIMESTAMPTZ",
}


@contextmanager
def query(manifest: ManifestFile, *, columns: Sequence[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection in which the view ``triplets`` is the manifest, with the types of the schema.

    Columns that an older manifest lacks are null.

    Args:
        columns: What of it the view has, by default every column of the schema and the unknown ones.
    """
    names = list(columns or dict.fromkeys((*SCHEMA.names, *manifest.names)))
    with tempfile.TemporaryDirectory(prefix="vfi-duckdb-") as folder, duckdb.connect() as connection:
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
        connection.execute(f"SET threads = {num_cores()}")
        connection.execute("SET preserve_insertion_order = false")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(f"SET temp_directory = {literal(folder)}")
        files = ", ".join(literal(_no_pattern(str(part))) for part in manifest.parts)
        chosen = ", ".join(_column(name, name in manifest.names) for name in names)
        source = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        connection.execute(f"CREATE VIEW triplets AS SELECT {chosen} FROM {source}")
        yield connection


def _column(name: str, is_there: bool) -> str:
    quoted = quote(name)
    kind = duck_type(SCHEMA.field(name).type) if name in SCHEMA.names else None
    if not is_there:
        return f"CAST(NULL AS {kind or 'VARCHAR'}) AS {quoted}"
    return f"CAST({quoted} AS {kind}) AS {quoted}" if kind else quoted


def duck_type(kind: pa.DataType) -> str:
    """Return DuckDB's name of an Arrow type of the schema."""
    if pa.types.is_dictionary(kind):
        return duck_type(kind.value_type)
    if pa.types.is_list(kind):
        return f"{duck_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{quote(part.name)} {duck_type(part.type)}' for part in kind)})"
    return _SIMPLE[str(kind)]


def select_ids(manifest: ManifestFile, where: str) -> pa.Array:
    """Return the ``triplet_id`` of the rows for which an SQL expression holds, sorted.

    Raises:
        UsageError: The expression is wrong; the message is DuckDB's first line.
    """
    with query(manifest) as connection:
        try:
            found = connection.sql(f"SELECT triplet_id FROM triplets WHERE ({where}\n)").to_arrow_table()
        except duckdb.Error as error:
            raise UsageError(f"--where {where!r}: {str(error).splitlines()[0]}") from error
    ids = found.column("triplet_id").combine_chunks()
    return ids.cast(pa.string()).sort()


def quote(name: str) -> str:
    """Return a name as SQL writes one."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def _no_pattern(path: str) -> str:
    """Return a path in which no sign means more than itself."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in path)
