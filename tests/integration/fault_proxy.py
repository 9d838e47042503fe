"""A proxy between the program and a storage endpoint that disturbs chosen requests.

Belongs here: forwarding, and the faults. A test says which requests meet which fault, for example
`proxy.script(reset(after=1000), on=CONTENT, first=2)`: the second request for a blob's content is
cut off after 1,000 bytes of its body. All others are passed on as they are. Only reading is passed
on at all, which holds the program to its promise to write nothing.
"""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "date", "server"}


@dataclass(frozen=True)
class Request:
    """A request as it came; `at` is of the monotonic clock."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    at: float


@dataclass(frozen=True)
class Response:
    """What the endpoint answered, or what the proxy answers in its place."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def with_header(self, name: str, value: str) -> Response:
        return replace(self, headers={**self.without_header(name).headers, name: value})

    def without_header(self, name: str) -> Response:
        return replace(
            self, headers={k: v for k, v in self.headers.items() if k.lower() != name.lower()}
        )

    def with_body(self, body: bytes) -> Response:
        return replace(self, body=body).with_header("Content-Length", str(len(body)))


Which = Callable[[Request], bool]


def is_listing(request: Request) -> bool:
    return request.query.get("comp") == "list"


def is_block_list(request: Request) -> bool:
    return request.query.get("comp") == "blocklist"


def is_content(request: Request) -> bool:
    return request.method == "GET" and "comp" not in request.query


def is_anything(request: Request) -> bool:
    return True


def is_next_page(request: Request) -> bool:
    """A page of a listing that is not its first."""
    return is_listing(request) and bool(request.query.get("marker"))


def of(text: str, which: Which = is_content) -> Which:
    """Those of a kind whose path or prefix has some text in it."""

    def matches(request: Request) -> bool:
        return which(request) and text in request.path + request.query.get("prefix", "")

    return matches


# --- faults --------------------------------------------------------------------------------------


class Exchange:
    """One request and the connection that it came on."""

    def __init__(self, request: Request, proxy: FaultProxy, connection: _Connection) -> None:
        self.request = request
        self._proxy = proxy
        self._connection = connection

    def forward(self) -> Response:
        """Ask the endpoint."""
        return self._proxy.ask_endpoint(self._connection.command, self._connection.path, self)

    def answer(self, response: Response, *, cut_after: int | None = None) -> None:
        """Send an answer, its body only up to a point if told so; its headers stay as they are."""
        self._connection.answer(response, cut_after)

    def close(self) -> None:
        """End the connection as a server does that has nothing more to say."""
        self._connection.close_connection = True

    def reset(self) -> None:
        """Break the connection, as a firewall or a crash does."""
        self._connection.close_connection = True
        # Lingering for no time: closing sends RST in place of FIN.
        self._connection.request.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )

    def keep_silent(self) -> None:
        """Send nothing until the other side gives up."""
        self._connection.wfile.flush()
        self._connection.request.settimeout(30)
        with suppress(OSError):
            self._connection.request.recv(1)
        self._connection.close_connection = True


Fault = Callable[[Exchange], None]


def status(code: int, word: str, **headers: str) -> Fault:
    """An error as the service words it: `status(503, "ServerBusy", Retry_After="1")`."""
    body = (
        f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{word}</Code>'
        f"<Message>{word}, as the service puts it.</Message></Error>"
    ).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = Response(
        code, {"x-ms-error-code": word, "Content-Type": "application/xml", **named}, body
    )

    def send(exchange: Exchange) -> None:
        exchange.answer(answer.with_body(b"" if exchange.request.method == "HEAD" else body))

    return send


def reset(after: int) -> Fault:
    """Reset the connection after so many bytes of the body; before the status line if negative."""

    def send(exchange: Exchange) -> None:
        if after >= 0:
            exchange.answer(exchange.forward(), cut_after=after)
        exchange.reset()

    return send


def close_early(after: int) -> Fault:
    """Close the connection after so many bytes of the body that the headers announce more of."""

    def send(exchange: Exchange) -> None:
        exchange.answer(exchange.forward(), cut_after=after)
        exchange.close()

    return send


def stall(after: int) -> Fault:
    """Fall silent after so many bytes of the body; before the status line if negative."""

    def send(exchange: Exchange) -> None:
        if after >= 0:
            exchange.answer(exchange.forward(), cut_after=after)
        exchange.keep_silent()

    return send


def change(how: Callable[[Response], Response]) -> Fault:
    """Answer something else than the endpoint did."""

    def send(exchange: Exchange) -> None:
        exchange.answer(how(exchange.forward()))

    return send


def shorten(to: int) -> Fault:
    """A body that ends early and whose headers say that this is all of it."""
    return change(lambda response: response.with_body(response.body[:to]))


def flip(at: int) -> Fault:
    """One bit of one byte of the body is another."""

    def flipped(response: Response) -> Response:
        body = bytearray(response.body)
        body[at] ^= 1
        return response.with_body(bytes(body))

    return change(flipped)


def meanwhile(action: Callable[[], object]) -> Fault:
    """Let something happen before the request is passed on."""

    def send(exchange: Exchange) -> None:
        action()
        exchange.answer(exchange.forward())

    return send


# --- the proxy -----------------------------------------------------------------------------------


@dataclass
class _Rule:
    fault: Fault
    matches: Which
    first: int
    times: int | None
    seen: int = 0

    def is_due(self, request: Request) -> bool:
        if not self.matches(request):
            return False
        self.seen += 1
        return self.seen >= self.first and (
            self.times is None or self.seen < self.first + self.times
        )


@dataclass
class FaultProxy:
    """A proxy that listens; `page_size`, if set, is how many blobs a page of a listing has."""

    host: str
    upstream_port: int
    port: int = 0
    page_size: int | None = None
    requests: list[Request] = field(default_factory=list[Request])
    faults_met: int = 0
    _rules: list[_Rule] = field(default_factory=list[_Rule])
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _server: _Server | None = None

    def script(
        self, fault: Fault, *, on: Which = is_content, first: int = 1, times: int | None = 1
    ) -> None:
        """Let the `first` request of a kind from now on and the following meet a fault.

        `times` is how many of them do; None means all.
        """
        with self._lock:
            self._rules.append(_Rule(fault, on, first, times))

    def calm(self) -> None:
        """Forget all faults, and what was asked."""
        with self._lock:
            self._rules.clear()
            self.requests.clear()
            self.faults_met = 0

    def up(self) -> None:
        """Listen, on the same port as before."""
        self._server = _Server((self.host, self.port), self)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections, and break those that are open."""
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()
            server.break_connections()

    def down_for(self, seconds: float) -> threading.Timer:
        """Refuse connections for a while."""
        self.down()
        timer = threading.Timer(seconds, self.up)
        timer.start()
        return timer

    def asked(self, which: Which) -> list[Request]:
        """The requests of a kind so far."""
        with self._lock:
            return [request for request in self.requests if which(request)]

    def fault_for(self, request: Request) -> Fault | None:
        """What this request meets."""
        with self._lock:
            self.requests.append(request)
            due = [rule for rule in self._rules if rule.is_due(request)]
            self.faults_met += bool(due)
            return due[0].fault if due else None

    def ask_endpoint(self, method: str, target: str, exchange: Exchange) -> Response:
        """Pass a request on, as it is but for the size of pages."""
        if self.page_size is not None and is_listing(exchange.request):
            # Only with a SAS: an account's key would sign the query.
            parts = urlsplit(target)
            query = [*parse_qsl(parts.query, keep_blank_values=True)]
            query = [(k, v) for k, v in query if k != "maxresults"]
            target = f"{parts.path}?{urlencode([*query, ('maxresults', str(self.page_size))])}"
        upstream = http.client.HTTPConnection(self.host, self.upstream_port, timeout=60)
        try:
            upstream.request(method, target, headers=dict(exchange.request.headers))
            answer = upstream.getresponse()
            body = answer.read()
        finally:
            upstream.close()
        headers = {k: v for k, v in answer.getheaders() if k.lower() not in _NOT_PASSED_ON}
        response = Response(answer.status, headers, body)
        return response if method == "HEAD" else response.with_body(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    # Those of the tests have long gone when a connection is broken on purpose.
    block_on_close = False

    def __init__(self, address: tuple[str, int], proxy: FaultProxy) -> None:
        self.proxy = proxy
        self._open: set[socket.socket] = set()
        super().__init__(address, _Connection)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def break_connections(self) -> None:
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up is what the tests want to see, and no news."""


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        proxy = self.server.proxy
        parts = urlsplit(self.path)
        request = Request(
            self.command,
            unquote(parts.path),
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            dict(self.headers.items()),
            time.monotonic(),
        )
        fault = proxy.fault_for(request)
        exchange = Exchange(request, proxy, self)
        if fault is None:
            exchange.answer(exchange.forward())
        else:
            fault(exchange)

    def do_HEAD(self) -> None:
        self.do_GET()

    def answer(self, response: Response, cut_after: int | None) -> None:
        self.send_response_only(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(response.body[:cut_after])
        self.wfile.flush()


@contextmanager
def fault_proxy(endpoint: str) -> Generator[tuple[FaultProxy, str]]:
    """A proxy in front of an endpoint, and the endpoint's address by way of it."""
    found = re.fullmatch(r"http://([^:/]+):(\d+)(/.*)?", endpoint)
    assert found, endpoint
    proxy = FaultProxy(found[1], int(found[2]))
    proxy.up()
    try:
        yield proxy, f"http://{proxy.host}:{proxy.port}{found[3] or ''}"
    finally:
        proxy.down()
