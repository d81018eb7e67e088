"""The web server around the application: how long it waits for whom."""

import asyncio
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 20.0


class PromptProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose request line and headers do not come: uvicorn waits for ever."""

    header_seconds = HEADER_SECONDS
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """Take data in; the wait ends with the headers' last line, and begins with the first byte of the next ones."""
        super().data_received(data)
        if self._is_answering():
            self._stop_waiting()
        elif self._deadline is None:
            self._await_headers()

    def on_response_complete(self) -> None:
        """Go on to the next request; of that one a part may be here already."""
        super().on_response_complete()
        if self._deadline is None and not self._is_answering() and self.conn.trailing_data[0]:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the wait."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_headers(self) -> None:
        self._deadline = asyncio.get_running_loop().call_later(self.header_seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if not self._is_answering() and not self.transport.is_closing():
            self.transport.close()


def server_config(application: ASGIApp) -> uvicorn.Config:
    """Return how the application is served; it reads forwarding headers itself, from trusted proxies only."""
    return uvicorn.Config(
        application,
        http=PromptProtocol,
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_level="warning",
        timeout_keep_alive=75,  # longer than one looks at an item: the vote finds its connection open
        timeout_graceful_shutdown=5,
    )
