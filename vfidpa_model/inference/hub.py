"""Checkpoints on the Hugging Face Hub: fetched by their id, pushed with their model card."""

import re
from pathlib import Path

from vfidpa_model.inference.checkpoint import RECORD_NAME, WEIGHTS_NAME, CheckpointError

CARD_NAME = "README.md"
_FILES = [RECORD_NAME, WEIGHTS_NAME, CARD_NAME]
_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_hub_id(name: str) -> bool:
    """Return whether ``name`` can only mean the hub: ``owner/name``, and no folder ``owner`` where the program runs."""
    return bool(_ID.fullmatch(name)) and not Path(name).parent.exists()


def fetch_checkpoint(repo_id: str, *, revision: str | None = None) -> Path:
    """Return the folder of a checkpoint of the hub: from the hub's cache, fetched where it is not there or older.

    Raises:
        CheckpointError: There is no such repository, or the hub cannot be reached and the cache does not have it.
    """
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repo_id, revision=revision, allow_patterns=_FILES))
    except Exception as error:  # the hub client raises its own kinds, of several libraries
        raise CheckpointError(
            f"no folder {repo_id}, and no such model could be had from the Hugging Face Hub ({_first_line(error)}); "
            f"give the folder of a run or checkpoint"
        ) from error


def push_checkpoint(folder: Path, repo_id: str, *, private: bool, message: str) -> str:
    """Put the files of a checkpoint folder into a repository of the hub, made where there is none; returns its address.

    Raises:
        CheckpointError: The hub cannot be reached, or the token that ``hf auth login`` stored may not write there.
    """
    from huggingface_hub import HfApi

    hub = HfApi()
    try:
        address = hub.create_repo(repo_id, private=private, exist_ok=True)
        hub.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=_FILES, commit_message=message)
    except Exception as error:  # as above
        raise CheckpointError(f"cannot push to {repo_id} on the Hugging Face Hub: {_first_line(error)}") from error
    return str(address)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
