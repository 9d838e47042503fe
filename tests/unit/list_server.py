"""A web server of one threat feed, as real ones are: with validators, until it breaks.

Belongs here: what a feed's server says. Nothing of the code under test.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class ListServer(ThreadingHTTPServer):
    """Serves `body` with `headers`, or only `status`; remembers the conditions of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 200
        self.body = b""
        self.headers: dict[str, str] = {}
        self.asked: list[tuple[str | None, str | None]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/list.txt"

    @property
    def feed(self) -> str:
        return self.url.removeprefix("http://")

    def serve(self, *entries: str, etag: str | None = None, modified: str | None = None) -> None:
        """From now on the server is well and has this list."""
        self.status = 200
        self.body = "".join(f"{entry}\n" for entry in entries).encode()
        told = {"ETag": etag, "Last-Modified": modified}
        self.headers = {name: value for name, value in told.items() if value is not None}


class _Handler(BaseHTTPRequestHandler):
    server: ListServer  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        etag, since = self.headers["If-None-Match"], self.headers["If-Modified-Since"]
        self.server.asked.append((etag, since))
        held = self.server.headers
        # RFC 9110: where there is an ETag to compare, the time does not count.
        is_same = etag == held.get("ETag") if etag else since == held.get("Last-Modified")
        if self.server.status == 200 and (etag or since) and is_same:
            self.send_response(304)
            self.end_headers()
            return
        self.send_response(self.server.status)
        for name, value in held.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(self.server.body)))
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@contextmanager
def list_server() -> Generator[ListServer]:
    """A server on loopback, until the block ends."""
    with ListServer() as serving:
        thread = Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield serving
        finally:
            serving.shutdown()
            thread.join()
