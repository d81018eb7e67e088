"""A server for tests that speaks like Google Cloud Storage: gcp-storage-emulator's, which keeps all in memory."""

import os
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dataset_tools.common.stores import GOOGLE_EMULATOR, connection
from tests.s3_server import free_port, listening


@contextmanager
def bucket() -> Iterator[str]:
    """Yield the URL of a bucket of a server that the environment names until the block ends."""
    port = free_port()
    arguments = ["-m", "gcp_storage_emulator", "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    with pytest.MonkeyPatch.context() as patch, listening(arguments, port=port, environment=os.environ):
        patch.setenv(GOOGLE_EMULATOR, f"http://127.0.0.1:{port}")
        create = urllib.request.Request(
            f"http://127.0.0.1:{port}/storage/v1/b?project=test",
            data=b'{"name": "bucket"}',
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(create, timeout=30).close()
        yield "gs://bucket"
        connection.cache_clear()  # it is of this server
