"""Files that people write by hand, YAML or JSON: a name that stands twice is refused, not taken from its last place."""

from pathlib import Path
from typing import Any

import yaml

from dataset_tools.errors import UsageError


def read_yaml(path: Path, *, what: str) -> Any:
    """Return what a file holds; JSON is YAML, too.

    Args:
        path: The file, in UTF-8.
        what: What errors call it, e.g. ``--config``.

    Raises:
        UsageError: It cannot be read, is not YAML, or one of its mappings has a name twice.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_OnceEach)
    except OSError as error:
        raise UsageError(f"{what} {path}: {error.strerror}") from error
    except _TwiceError as error:
        raise UsageError(f"{what} {path}, {error}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{what} {path} is not YAML: {' '.join(str(error).split())}") from error


class _TwiceError(Exception):
    """A mapping has one name twice."""


class _OnceEach(yaml.SafeLoader):
    """PyYAML takes the last of two values of one name without a word, against YAML's own rule."""

    def compose_mapping_node(self, anchor: Any) -> Any:
        # Here is what was written: further on, what a merge (<<) brings in stands among it and may be overridden.
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if (key.tag, key.value) in seen:
                raise _TwiceError(f"line {key.start_mark.line + 1}: {key.value!r} stands twice; keep one of them")
            seen.add((key.tag, key.value))
        return node
