"""The command line's client, against a server that answers by script."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from maas.entrypoints.cli.client import Client, ClientError

pytestmark = pytest.mark.integration


@dataclass
class Script:
    """What the server answers next, and what it was asked."""

    answers: list[tuple[int, bytes]] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def will_say(self, status: int, body: Any) -> None:
        self.answers.append((status, body if isinstance(body, bytes) else json.dumps(body).encode()))


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.asked.append((self.command, self.path, dict(self.headers), body))
            status, content = script.answers.pop(0)
            self.send_response(status)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer  # noqa: N815 - names of the library

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        script.url = f"http://127.0.0.1:{server.server_port}"
        yield script
        server.shutdown()


def events(*chunks: object) -> bytes:
    return b"".join(b"data: " + (chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode()) + b"\n\n" for chunk in chunks)


def piece(text: str) -> dict[str, Any]:
    return {"id": "1", "choices": [{"index": 0, "delta": {"content": text}}]}


END = {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": {"total_tokens": 3}}


def test_an_answer_is_its_data_and_the_credential_goes_along(script: Script) -> None:
    script.will_say(200, {"success": True, "data": {"id": "7"}})

    data = Client(f"{script.url}/", key="maas_x").get("/api/v1/models", limit=1, search="灯塔")

    assert data == {"id": "7"}
    method, path, headers, _ = script.asked[0]
    assert (method, path) == ("GET", "/api/v1/models?limit=1&search=%E7%81%AF%E5%A1%94")
    assert (headers["Authorization"], headers["Accept-Language"]) == ("Bearer maas_x", "en")


def test_a_refusal_is_one_sentence_with_a_line_for_each_detail(script: Script) -> None:
    details = [{"field": "file", "line": 3, "code": "VALIDATION_001", "message": "messages is missing"}]
    script.will_say(422, {"success": False, "error": {"code": "VALIDATION_001", "message": "1 row is bad", "details": details}})

    with pytest.raises(ClientError) as refused:
        Client(script.url).post("/api/v1/datasets", {})

    assert str(refused.value) == "1 row is bad\n  file, line 3: messages is missing"
    assert (refused.value.status, refused.value.code) == (422, "VALIDATION_001")


@pytest.mark.parametrize("body", [b"<html>bad gateway</html>", b"", b"[]"])
def test_an_answer_that_is_not_the_platforms_is_told_by_its_status(script: Script, body: bytes) -> None:
    script.will_say(502, body)

    with pytest.raises(ClientError, match="status 502"):
        Client(script.url).delete("/api/v1/models/1")


def test_a_platform_that_is_not_there_is_told_so() -> None:
    with pytest.raises(ClientError, match=r"does not answer .* is the platform running\?"):
        Client("127.0.0.1:9").get("/healthz")


def test_what_is_no_address_is_told_so() -> None:
    with pytest.raises(ClientError, match="no address of a platform"):
        Client("ftp://somewhere")


def test_a_file_is_sent_as_it_lies_with_its_name_and_heard_of(script: Script, tmp_path: Path) -> None:
    path = tmp_path / '灯 "塔".bin'
    path.write_bytes(bytes(range(256)) * 4096)
    script.will_say(201, {"data": {"id": "1"}})
    heard: list[tuple[int, int]] = []

    Client(script.url).upload("/api/v1/models", {"name": "灯塔"}, {"model_file": path}, lambda *sent: heard.append(sent))

    _, _, headers, body = script.asked[0]
    assert int(headers["Content-Length"]) == len(body)
    assert heard[-1] == (len(body), len(body))
    assert path.read_bytes() in body
    assert 'filename="灯 %22塔%22.bin"'.encode() in body
    boundary = headers["Content-Type"].partition("boundary=")[2].encode()
    assert body.startswith(b"--" + boundary)
    assert body.endswith(b"--" + boundary + b"--\r\n")


def test_a_streamed_answer_comes_piece_by_piece(script: Script) -> None:
    script.will_say(200, b": still here\n\n" + events(piece("灯"), piece("塔"), END, b"[DONE]"))

    assert list(Client(script.url).chat("d", "口袋?", temperature=0)) == ["灯", "塔"]
    assert json.loads(script.asked[0][3])["parameters"] == {"temperature": 0, "stream": True}


def test_an_error_within_a_stream_is_raised_after_what_came_before_it(script: Script) -> None:
    script.will_say(200, events(piece("灯"), {"error": {"code": "INFERENCE_001", "message": "the engine was lost"}}, b"[DONE]"))
    pieces = Client(script.url).chat("d", "口袋?")

    assert next(pieces) == "灯"
    with pytest.raises(ClientError, match="the engine was lost"):
        next(pieces)


def test_a_stream_that_breaks_off_is_no_whole_answer(script: Script) -> None:
    script.will_say(200, events(piece("灯")))

    with pytest.raises(ClientError, match="in the middle"):
        list(Client(script.url).chat("d", "口袋?"))


def test_a_version_is_waited_for_until_it_is_ready_and_its_failure_has_a_reason(script: Script) -> None:
    script.will_say(200, {"data": {"versions": [{"version": "1.0.0", "status": "uploading"}]}})
    script.will_say(200, {"data": {"versions": [{"version": "1.0.0", "status": "ready"}]}})
    script.will_say(200, {"data": {"versions": [{"version": "1.0.0", "status": "failed", "reason": "there is no config.json"}]}})
    seen: list[str] = []

    version = Client(script.url).wait_for_version("m", on_look=lambda look: seen.append(look["status"]))

    assert (version["status"], seen) == ("ready", ["uploading", "ready"])
    with pytest.raises(ClientError, match="the model failed: there is no config"):
        Client(script.url).wait_for_version("m")


def test_a_monitor_that_refuses_says_why(script: Script) -> None:
    script.will_say(404, {"error": {"code": "RESOURCE_001", "message": "there is no such thing", "details": []}})

    with pytest.raises(ClientError, match="there is no such thing"):
        list(Client(script.url).follow_job("j"))
