"""Serves the API of a manifest: python -m tests.labeling_app.api_server MANIFEST DB_URL PORT. Prints its port first."""

import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from labeling_app.annotation.state import open_state
from labeling_app.settings import Settings
from labeling_app.web.api import install


def main() -> None:
    manifest, db_url, port = sys.argv[1:]
    listener = socket.create_server(("127.0.0.1", int(port)))
    state = open_state(Settings(Path(manifest), db_url=db_url, gold_rate=0.0, repeat_rate=0.0))
    app = FastAPI()
    install(app, state)
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, log_level="error", proxy_headers=False, access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
