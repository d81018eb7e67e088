"""How columns of any Arrow type are called elsewhere: by Hugging Face's ``datasets``, and by Croissant."""

import re
from typing import Any

import pyarrow as pa

_SAME = re.compile(
    r"bool|u?int(8|16|32|64)|large_(string|binary)|string|binary|date(32|64)(\[\w+\])?|time(32|64)\[\w+\]"
    r"|timestamp\[\w+(, tz=[^\]]+)?\]|duration\[\w+\]|decimal(128|256)\(\d+, -?\d+\)"
)
_OTHERS = {"halffloat": "float16", "float": "float32", "double": "float64", "null": "null"}


def plain(kind: pa.DataType) -> pa.DataType:
    """Return a type without dictionaries: what is stored for others."""
    if pa.types.is_dictionary(kind):
        return plain(kind.value_type)
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(part.name, plain(part.type)) for part in kind])
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(plain(kind.value_type))
    return kind


def feature(kind: pa.DataType) -> dict[str, Any] | None:
    """Return a column's type as a dataset card's YAML has it; ``None`` for one that ``datasets`` does not know."""
    name = str(kind)
    if name in _OTHERS or _SAME.fullmatch(name):
        return {"dtype": _OTHERS.get(name, name.split("[")[0] if name.startswith("date") else name)}
    if pa.types.is_list(kind):
        inner = feature(kind.value_type)
        if inner is None:
            return None
        return {"list": inner.get("dtype", inner.get("struct", inner))}
    if pa.types.is_struct(kind):
        parts = [(part.name, feature(part.type)) for part in kind]
        if not parts or any(inner is None for _, inner in parts):
            return None
        return {"struct": [{"name": name, **(inner or {})} for name, inner in parts]}
    return None


def croissant_field(kind: pa.DataType) -> dict[str, Any] | None:
    """Return ``dataType``, and ``repeated`` for lists, as Croissant 1.0 has them; ``None`` for nested columns."""
    if pa.types.is_list(kind):
        inner = croissant_field(kind.value_type)
        return None if inner is None or "repeated" in inner else {**inner, "repeated": True}
    if pa.types.is_boolean(kind):
        return {"dataType": "sc:Boolean"}
    if pa.types.is_integer(kind):
        return {"dataType": "sc:Integer"}
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return {"dataType": "sc:Float"}
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return {"dataType": "sc:Date"}
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        return {"dataType": "sc:Text"}
    return None
