"""A model hub of the tests' own, which speaks what huggingface_hub asks: model info, trees, and files by redirect."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISIONS = ("main", "v1", COMMIT)
_INFO = re.compile(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)")
_PLAIN_INFO = re.compile(r"/api/models/([^/]+/[^/]+)")
_TREE = re.compile(r"/api/models/([^/]+/[^/]+)/tree/([^/]+)")
_FILE = re.compile(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_BLOB = re.compile(r"/blobs/([^/]+/[^/]+)/(.+)")


@dataclass
class Hub:
    """What the hub has, and how it behaves. Files of 100 bytes or more are kept elsewhere, as large ones are."""

    models: Mapping[str, Mapping[str, bytes]]
    url: str = ""
    elsewhere: str | None = None
    """Where downloads are redirected to, if not to the hub itself."""
    private_token: str | None = None
    """The token that every call to the hub needs; downloads from elsewhere must not show it."""
    cut_after: int | None = None
    """Break each download off after so many bytes, as often as `cuts` says."""
    cuts: int = 0
    pace: threading.Event | None = None
    """Stop in the middle of each file of a megabyte or more until this is set."""
    is_simple: bool = False
    """Know neither revisions nor trees, as a simple mirror."""
    damaged: bool = False
    calls: list[tuple[str, str]] = field(default_factory=list)
    """The paths that were asked for, each with its Range."""
    heard: list[tuple[str, str, str | None]] = field(default_factory=list)
    """The same, with the credential that was shown."""


@contextmanager
def running_hub(models: Mapping[str, Mapping[str, bytes]], **behaviour: Any) -> Iterator[Hub]:
    hub = Hub(models, **behaviour)

    class Handler(_Handler):
        keeper = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.pace is not None:
            hub.pace.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    keeper: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        wanted = self.headers.get("Range", "")
        self.keeper.calls.append((path, wanted))
        self.keeper.heard.append((path, wanted, self.headers.get("Authorization")))
        for pattern, answer in (
            (_INFO, self._info),
            (_PLAIN_INFO, self._plain_info),
            (_TREE, self._tree),
            (_FILE, self._file),
            (_BLOB, self._blob),
        ):
            found = pattern.fullmatch(path)
            if found is not None:
                answer(*map(unquote, found.groups()))
                return
        self._refuse(404, "EntryNotFound")

    def _files_of(self, repository: str, revision: str = "main") -> Mapping[str, bytes] | None:
        token = self.keeper.private_token
        if token is not None and self.headers.get("Authorization") != f"Bearer {token}":
            self._refuse(401, "RepoNotFound")
            return None
        files = self.keeper.models.get(repository)
        if files is None:
            self._refuse(401, "RepoNotFound")
        elif revision not in REVISIONS:
            self._refuse(404, "RevisionNotFound")
        else:
            return files
        return None

    def _plain_info(self, repository: str) -> None:
        self._tell(repository, self._files_of(repository))

    def _info(self, repository: str, revision: str) -> None:
        files = self._files_of(repository, revision)
        if self.keeper.is_simple and files is not None:
            self._refuse(404, "EntryNotFound")
        else:
            self._tell(repository, files)

    def _tell(self, repository: str, files: Mapping[str, bytes] | None) -> None:
        if files is not None:
            siblings = [{"rfilename": name} for name in files]
            self._json(
                {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
            )

    def _tree(self, repository: str, revision: str) -> None:
        files = self._files_of(repository, revision)
        if files is None:
            return
        if self.keeper.is_simple:
            self._refuse(404, "EntryNotFound")
            return
        self._json([_tree_entry(name, content) for name, content in files.items()])

    def _file(self, repository: str, revision: str, name: str) -> None:
        files = self._files_of(repository, revision)
        if files is None:
            return
        if name not in files:
            self._refuse(404, "EntryNotFound")
        elif len(files[name]) >= 100:
            self.send_response(302)
            self.send_header("Location", f"{self.keeper.elsewhere or ''}/blobs/{repository}/{name}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._send(files[name])

    def _blob(self, repository: str, name: str) -> None:
        self._send(self.keeper.models[repository][name])

    def _send(self, content: bytes) -> None:
        if self.keeper.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        part = content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if self.keeper.cut_after is not None and self.keeper.cuts > 0 and len(part) > self.keeper.cut_after:
            self.keeper.cuts -= 1
            self.wfile.write(part[: self.keeper.cut_after])
            self.close_connection = True
            return
        half = len(part) // 2
        self.wfile.write(part[:half])
        self.wfile.flush()
        if self.keeper.pace is not None and len(content) >= 1_000_000:
            self.keeper.pace.wait(60)
        self.wfile.write(part[half:])

    def _json(self, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _tree_entry(name: str, content: bytes) -> dict[str, object]:
    entry: dict[str, object] = {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
    if len(content) >= 100:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry
