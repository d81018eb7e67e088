"""Which extra brings a library that is not installed: the core does without those of the other roles."""

import importlib
from typing import Any

from dataset_tools.errors import UsageError

# extra -> the top-level modules it brings, as pyproject.toml declares them. Those that gradio brings are with it.
EXTRAS = {
    "label": (
        "alembic",
        "argon2",
        "confusable_homoglyphs",
        "crowdkit",
        "fastapi",
        "gradio",
        "sqlalchemy",
        "starlette",
        "uvicorn",
    ),
    "train": ("accelerate", "skimage", "sklearn", "tensorboard"),
    "postgresql": ("psycopg",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
    "openvino": ("openvino",),
    "ncnn": ("ncnn",),
    "wandb": ("wandb",),
    "studio": ("fastapi", "gradio", "starlette", "uvicorn"),
    "ray": ("ray",),
}


def explain_missing(error: ImportError, *, extra: str | None = None) -> str | None:
    """Return one line that names the extra of the module an import did not find; None when no extra brings it.

    Args:
        extra: The one to name; by default the first that brings it.
    """
    library = (error.name or "").partition(".")[0]
    extra = extra or next((extra for extra, libraries in EXTRAS.items() if library in libraries), None)
    if extra is None or not isinstance(error, ModuleNotFoundError):
        return None
    return f"{library} is not installed: this needs the extra {extra!r}: pip install 'vfi-difficulty[{extra}]'"


def require(module: str, *, extra: str | None = None) -> Any:
    """Import a module that an extra brings, and return it.

    Args:
        extra: The one to name where it is missing and several bring it.

    Raises:
        UsageError: It is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        reason = explain_missing(error, extra=extra)
        if reason is None:
            raise
        raise UsageError(reason) from error
