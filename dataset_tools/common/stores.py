"""Object stores: the connection to one, and what its errors mean to a user."""

import os
import re
from datetime import timedelta
from functools import lru_cache
from typing import Any

_AWS_ERROR = re.compile(r"AWS Error ([A-Z_]+)")
_MEANINGS = {  # what the libraries' names of errors mean to a user
    "NO_SUCH_BUCKET": "there is no such bucket",
    "ACCESS_DENIED": "access is denied; see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy",
    "INVALID_ACCESS_KEY_ID": "the key is not known there; see AWS_ACCESS_KEY_ID",
    "SIGNATURE_DOES_NOT_MATCH": "the secret key is wrong; see AWS_SECRET_ACCESS_KEY",
    "NETWORK_CONNECTION": "no connection; see the network, and AWS_ENDPOINT_URL for other servers than Amazon's",
}
_GOOGLE_MEANINGS = {  # by what its library says somewhere in a page of text
    "OAuth2 access token": "nobody is signed in; see GOOGLE_APPLICATION_CREDENTIALS",
    "UNAUTHENTICATED": "the key is not known there; see GOOGLE_APPLICATION_CREDENTIALS",
    "PERMISSION_DENIED": "access is denied; see GOOGLE_APPLICATION_CREDENTIALS and the bucket's policy",
    "CURL error": "no connection; see the network",
    "NOT_FOUND": "there is no such bucket",
}
GOOGLE_EMULATOR = "CLOUD_STORAGE_EMULATOR_ENDPOINT"  # a variable of Google's library: a server for tests
_GOOGLE_RETRY_SECONDS = 20  # its own limit is a quarter of an hour, also for one who is not signed in


def connect(url: str) -> Any:
    """Return the ``pyarrow.fs.FileSystem`` of a URL's store; one for all that is asked of a bucket."""
    scheme, _, key = url.partition("://")
    return connection(scheme, key.partition("/")[0])


@lru_cache(maxsize=16)
def connection(scheme: str, bucket: str) -> Any:
    """Return the ``pyarrow.fs.FileSystem`` of a bucket, made once; servers and keys come from the environment."""
    from pyarrow import fs

    if scheme == "gs":
        return fs.GcsFileSystem(
            anonymous=GOOGLE_EMULATOR in os.environ,  # such a server knows nobody
            retry_time_limit=timedelta(seconds=_GOOGLE_RETRY_SECONDS),
        )
    return fs.FileSystem.from_uri(f"{scheme}://{bucket}")[0]


def was_used() -> bool:
    """Return whether this process has spoken to a store; one that is forked from it cannot, and must be spawned."""
    return connection.cache_info().currsize > 0


def reason(error: OSError) -> str:
    """Return why a store refused, as a clause of one line."""
    said = str(error).strip().partition("\n")[0]
    if "google::cloud" in said:
        return next((clause for word, clause in _GOOGLE_MEANINGS.items() if word in str(error)), said)
    name = _AWS_ERROR.search(said)
    return _MEANINGS.get(name[1], said) if name else said or type(error).__name__
