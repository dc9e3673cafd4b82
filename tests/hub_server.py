"""A server on this machine that answers as the Hugging Face hub does, and fails as lines and servers do."""

import hashlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What the server holds and how it behaves.

    Attributes:
        files: content by "owner/name/file".
        large: files that are stored apart (Git LFS): named by sha256, served from another address.
        cut_after: bytes after which each transfer's connection ends; None for whole transfers.
        ranges: whether ranges are answered.
        damage: send one wrong byte.
        hold: send half of each large file and no more until it is set.
        status: answered to every transfer of content instead of it.
        asked: "METHOD path [range]" of every request.
        tokens: the authorizations that came with each method.
    """

    files: dict[str, bytes]
    large: set[str] = field(default_factory=set)
    cut_after: int | None = None
    ranges: bool = True
    damage: bool = False
    hold: threading.Event | None = None
    status: int | None = None
    commit: str = COMMIT
    asked: list[str] = field(default_factory=list)
    tokens: dict[str, set[str]] = field(default_factory=dict)
    address: str = ""

    def sent(self, file: str) -> list[str]:
        """The ranges of a file that were asked for."""
        return [line.split(" ", 2)[2] for line in self.asked if line.startswith("GET") and file in line]


def etag_of(data: bytes, *, large: bool) -> str:
    if large:
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@contextmanager
def serve(hub: Hub) -> Generator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            asked = self.headers.get("Range", "")
            hub.asked.append(f"{self.command} {self.path} {asked}".rstrip())
            hub.tokens.setdefault(self.command, set()).add(self.headers.get("Authorization", ""))
            path = self.path.split("?")[0].lstrip("/")
            if path.startswith("cdn/"):
                return self.content(path.removeprefix("cdn/"), body=body)
            owner, name, _, _, file = (path.split("/", 4) + [""] * 5)[:5]
            key = f"{owner}/{name}/{file}"
            if key not in hub.files:
                known = any(stored.startswith(f"{owner}/{name}/") for stored in hub.files)
                self.send_response(404 if known else 401)
                self.send_header("X-Error-Code", "EntryNotFound" if known else "RepoNotFound")
                self.send_header("X-Repo-Commit", hub.commit)
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif key in hub.large:
                data = hub.files[key]
                self.send_response(302)
                self.send_header(
                    "Location", f"{hub.address.replace('127.0.0.1', 'localhost')}/cdn/{key}?signature=x"
                )
                self.send_header("X-Linked-Etag", f'"{etag_of(data, large=True)}"')
                self.send_header("X-Linked-Size", str(len(data)))
                self.send_header("X-Repo-Commit", hub.commit)
                self.send_header("Content-Length", "0")
                self.end_headers()
            else:
                self.content(key, body=body)
            return None

        def content(self, key: str, *, body: bool) -> None:
            data = hub.files[key]
            if body and hub.status is not None:
                self.send_response(hub.status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
            part = data[start:] if hub.ranges else data
            self.send_response(206 if hub.ranges and "Range" in self.headers else 200)
            self.send_header("ETag", f'"{etag_of(data, large=key in hub.large)}"')
            self.send_header("X-Repo-Commit", hub.commit)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(len(part)))
            if hub.ranges and "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if not body:
                return
            if hub.damage:
                part = part[:-1] + bytes([part[-1] ^ 1])
            if hub.hold is not None and key in hub.large:
                self.wfile.write(part[: len(part) // 2])
                self.wfile.flush()
                hub.hold.wait(60)
                self.close_connection = True
                return
            if hub.cut_after is not None and len(part) > hub.cut_after:
                self.wfile.write(part[: hub.cut_after])
                self.close_connection = True
                return
            self.wfile.write(part)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
