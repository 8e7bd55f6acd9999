"""A real S3 server in a process of its own, and a proxy of ours before it that counts, slows down and does damage.

Both listen on loopback, on ports that the system chose.
"""

from __future__ import annotations

import http.client
import random
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("drop", "lost", "delay", "truncate", "duplicate", "503", "wrong")
Plan = Callable[[str, str], str | None]
"""(method, path) -> one of FAULTS, or None to let the request be."""
BUCKET = "bucket"
_SERVER = """
import logging, sys
from moto.server import create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
logging.getLogger("werkzeug").disabled = True
WSGIRequestHandler.protocol_version = "HTTP/1.1"
# Of S3 alone: an application for all of Amazon lists its modules on the disk for every request.
server = make_server("127.0.0.1", 0, create_backend_app("s3"), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "date", "server")


@cache
def missing() -> str:
    """Why the server cannot run here, "" where it can."""
    code = "import obstore, moto.server"
    probe = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    return f"needs obstore and moto.server: {probe.stderr.strip().splitlines()[-1]}" if probe.returncode else ""


@contextmanager
def s3_server() -> Iterator[int]:
    """A server with an empty bucket; yields its port."""
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVER], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            call = http.client.HTTPConnection("127.0.0.1", port)
            call.request("PUT", f"/{BUCKET}")
            assert call.getresponse().status == 200
            call.close()
            yield port
        finally:
            process.kill()


def environment(port: int) -> dict[str, str]:
    """What a program needs to find the server (or a proxy of it) as S3."""
    return {
        "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret-that-nobody-may-see",
        "AWS_REGION": "us-east-1", "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
    }  # fmt: skip


class Proxy:
    """Passes requests on, does what `plan` says to some, and counts them by kind."""

    def __init__(self, port: int) -> None:
        self.plan: Plan = lambda method, path: None
        self.requests: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.paths: list[tuple[str, str]] = []
        self.latency, self.bandwidth = 0.0, 0.0
        """Seconds before each answer, and bytes a second over all connections; 0 is as fast as it goes."""
        self.nbytes = 0
        self.most_in_flight = self._in_flight = 0
        self._lock, self._link, self._free = threading.Lock(), threading.Lock(), 0.0
        handler = type("Handler", (_Handler,), {"proxy": self, "behind": port})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, address: None  # a client that was killed, mostly
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def busy(self) -> bool:
        """Whether any request is under way."""
        return self._in_flight > 0

    def forget(self) -> None:
        """Count from nothing again."""
        self.requests.clear()
        self.faults.clear()
        self.paths.clear()
        self.nbytes = self.most_in_flight = 0

    def count(self, kind: str, method: str, path: str, change: int) -> None:
        with self._lock:
            if change > 0:
                self.requests[kind] += 1
                self.paths.append((method, path))
            self._in_flight += change
            self.most_in_flight = max(self.most_in_flight, self._in_flight)

    def fault(self, name: str) -> None:
        with self._lock:
            self.faults[name] += 1

    def pace(self, nbytes: int) -> None:
        """Wait as long as the link is busy with what was sent before, and take its time for these bytes."""
        self.nbytes += nbytes
        if self.bandwidth:
            with self._link:
                start = max(self._free, time.monotonic())
                self._free = start + nbytes / self.bandwidth
                until = self._free
            time.sleep(max(0.0, until - time.monotonic()))


def sometimes(share: float, seed: int, faults: tuple[str, ...] = FAULTS) -> Plan:
    """Each of the faults equally often, on this share of all requests."""
    rng, lock = random.Random(seed), threading.Lock()

    def plan(method: str, path: str) -> str | None:
        with lock:
            return rng.choice(faults) if rng.random() < share else None

    return plan


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: Proxy
    behind: int
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None: ...

    def _any(self) -> None:
        method, path = self.command, self.path
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        kind = _kind(method, path, self.headers)
        self.proxy.count(kind, method, path, +1)
        try:
            self._pass_on(method, path, body, kind)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            self.proxy.count(kind, method, path, -1)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

    def _pass_on(self, method: str, path: str, body: bytes, kind: str) -> None:
        fault = self.proxy.plan(method, path)
        if fault is not None:
            self.proxy.fault(fault)
        if fault == "drop":
            self._hang_up()
            return
        if fault == "503":
            self._answer(503, [("content-type", "text/plain")], b"busy", method)
            return
        if self.proxy.latency:
            time.sleep(self.proxy.latency)
        if fault == "delay":
            time.sleep(0.03)
        if fault == "wrong" and method == "PUT" and body:
            body = _changed(body, 1 << random.randrange(8))
        status, headers, data = self._ask(method, path, body)
        if fault == "duplicate":
            status, headers, data = self._ask(method, path, body)
        if fault == "lost" or (fault == "truncate" and not data):
            self._hang_up()
            return
        if fault == "wrong" and kind == "get" and status in (200, 206) and data:
            data = _changed(data, 0xFF)
        self._answer(status, headers, data, method, cut=fault == "truncate")

    def _ask(self, method: str, path: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        for _ in range(3):
            try:
                call = self.server.__dict__.setdefault("calls", threading.local())
                if getattr(call, "connection", None) is None:
                    call.connection = http.client.HTTPConnection("127.0.0.1", self.behind, timeout=60)
                call.connection.request(method, path, body=body, headers=headers)
                answer = call.connection.getresponse()
                return answer.status, answer.getheaders(), answer.read()
            except (http.client.HTTPException, OSError):
                call.connection = None
        raise ConnectionResetError("the server behind the proxy does not answer")

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, method: str, *, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(data)))
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        self.send_header("content-length", length if method == "HEAD" else str(len(data)))
        self.end_headers()
        if method == "HEAD":
            return
        for at in range(0, len(data) // 2 if cut else len(data), 1 << 16):
            piece = data[at : min(at + (1 << 16), len(data) // 2 if cut else len(data))]
            self.proxy.pace(len(piece))
            self.wfile.write(piece)
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        with suppress(OSError):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True


def _changed(data: bytes, mask: int) -> bytes:
    """One byte is another one, anywhere. Requests and answers get different masks, so that none undoes another."""
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]


def _kind(method: str, path: str, headers: object) -> str:
    if method == "PUT":
        return "copy" if headers.get("x-amz-copy-source") else "put"  # type: ignore[attr-defined]
    if method == "GET":
        return "list" if "list-type=" in path else "get"
    return {"HEAD": "head", "DELETE": "delete"}.get(method, "post")
