"""A client of the platform's API, for the commands that use it as anybody would."""

import json
import ssl
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from maas.entrypoints.cli.multipart_body import MultipartBody

Answer = dict[str, Any]
Body = bytes | MultipartBody | None

_JSON = "application/json"
_EVENT = b"data: "
_LAST_EVENT = b"[DONE]"
_LOOK_SECONDS = 0.25
_RECONNECT_SECONDS = 1.0
_MOST_RECONNECTS = 60
_NORMAL_CLOSURE = 1000
_JOB_ENDS = frozenset({"succeeded", "failed", "cancelled"})


class ClientError(Exception):
    """A call that failed, as a sentence for the person who made it; `status` is None where no answer came."""

    def __init__(self, message: str, *, status: int | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Client:
    """Calls a platform at `url`, signed in by an API key or by an access token."""

    def __init__(self, url: str, *, key: str = "", token: str = "", timeout_seconds: float = 120.0) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ClientError(f"{url} is no address of a platform; it looks like http://127.0.0.1:8000")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._parts = parts
        self._credential = key or token
        self._timeout_seconds = timeout_seconds

    def signed_in(self, credential: str) -> "Client":
        """Return a client of the same platform that uses another credential."""
        return Client(self.url, token=credential, timeout_seconds=self._timeout_seconds)

    def get(self, path: str, **query: object) -> Any:
        """Return the `data` of an answer; raise ClientError where the call failed."""
        return self._data("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: object = None) -> Any:
        return self._data("POST", path, b"" if body is None else json.dumps(body).encode(), _JSON)

    def delete(self, path: str) -> Any:
        return self._data("DELETE", path)

    def upload(
        self,
        path: str,
        fields: Mapping[str, str],
        files: Mapping[str, Path],
        on_sent: Callable[[int, int], None] = lambda _sent, _total: None,
    ) -> Any:
        """Send a form with files, each read as it is sent; `on_sent` hears of the bytes sent and those there are."""
        body = MultipartBody(fields, files, on_sent)
        return self._data("POST", path, body, body.content_type)

    def stream(self, path: str, body: object) -> Generator[Answer]:
        """Yield the chunks of an answer as they come; raise ClientError where it breaks off."""
        with self._answered("POST", path, json.dumps(body).encode(), _JSON) as response:
            while line := response.readline():
                if not line.startswith(_EVENT):
                    continue
                event = line.removeprefix(_EVENT).strip()
                if event == _LAST_EVENT:
                    return
                chunk = json.loads(event)
                if "error" in chunk:
                    raise ClientError(chunk["error"].get("message", "the answer broke off"), code=chunk["error"].get("code"))
                yield chunk
        raise ClientError("the platform ended the answer in the middle")

    def chat(self, deployment_id: str, question: str, **parameters: object) -> Iterator[str]:
        """Yield the pieces of an answer as the model writes them."""
        messages = [{"role": "user", "content": question}]
        body = {"deployment_id": deployment_id, "messages": messages, "parameters": {**parameters, "stream": True}}
        with closing(self.stream("/api/v1/inference/chat", body)) as chunks:
            for chunk in chunks:
                for choice in chunk["choices"]:
                    if content := choice.get("delta", {}).get("content"):
                        yield content

    def import_model(self, *, name: str, model_type: str, source: Mapping[str, str]) -> Answer:
        """Have the platform fetch a model; return it as it stands now."""
        model: Answer = self.post("/api/v1/models", {"name": name, "type": model_type, "source": dict(source)})
        return model

    def wait_for_version(self, model_id: str, *, on_look: Callable[[Answer], None] = lambda _: None) -> Answer:
        """Wait until the newest version of a model is ready and return it; raise ClientError with the reason where it fails."""

        def look() -> Answer:
            versions = self.get(f"/api/v1/models/{model_id}/versions", sort="created_at", order="desc", limit=1)["versions"]
            if not versions:
                raise ClientError("the model has no versions")
            newest: Answer = versions[0]
            return newest

        return _wait("the model", look, until="ready", on_look=on_look)

    def wait_for_deployment(self, deployment_id: str, *, on_look: Callable[[Answer], None] = lambda _: None) -> Answer:
        """Wait until a deployment runs and return its status; raise ClientError with the reason where it fails."""
        path = f"/api/v1/inference/deployments/{deployment_id}/status"
        return _wait("the deployment", lambda: self.get(path), until="running", on_look=on_look)

    def follow_job(self, job_id: str) -> Iterator[Answer]:
        """Yield what the monitor of a job sends, up to its end; a connection that breaks is made anew."""
        for _ in range(_MOST_RECONNECTS):
            last = None
            for last in self._monitored(job_id):
                yield last
            if last is not None and last["status"] in _JOB_ENDS:
                return
            time.sleep(_RECONNECT_SECONDS)
        raise ClientError("the monitor of the job cannot be reached any more")

    def _monitored(self, job_id: str) -> Iterator[Answer]:
        from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
        from websockets.sync.client import connect

        address = f"ws{self.url.removeprefix('http')}/v1/finetune/jobs/{job_id}/monitor"
        try:
            with connect(address, additional_headers=self._headers(), proxy=None) as socket:
                while True:
                    yield json.loads(socket.recv())
        except ConnectionClosed as error:
            _refuse_if_told(error)
        except InvalidStatus as error:
            if error.response.status_code < 500:
                raise _failure(error.response.status_code, bytes(error.response.body or b"")) from error
        except (OSError, InvalidHandshake):
            return

    def _data(self, method: str, path: str, body: Body = None, content_type: str | None = None) -> Any:
        with self._answered(method, path, body, content_type) as response:
            return _parsed(response.read()).get("data")

    @contextmanager
    def _answered(self, method: str, path: str, body: Body, content_type: str | None) -> Iterator[HTTPResponse]:
        connection = self._connection()
        headers = self._headers() | ({"Content-Type": content_type} if content_type else {})
        if isinstance(body, MultipartBody):
            headers["Content-Length"] = str(body.length)
        try:
            response = _send(connection, method, self._parts.path.rstrip("/") + path, body, headers)
            if response.status >= 400:
                raise _failure(response.status, response.read())
            yield response
        except (OSError, HTTPException) as error:
            raise ClientError(
                f"{self.url} does not answer ({error or type(error).__name__}); is the platform running?"
            ) from error
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        assert self._parts.hostname is not None
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            return HTTPSConnection(self._parts.hostname, self._parts.port, timeout=self._timeout_seconds, context=context)
        return HTTPConnection(self._parts.hostname, self._parts.port, timeout=self._timeout_seconds)

    def _headers(self) -> dict[str, str]:
        credential = {"Authorization": f"Bearer {self._credential}"} if self._credential else {}
        return {"Accept-Language": "en", **credential}


def _send(connection: HTTPConnection, method: str, path: str, body: Body, headers: Mapping[str, str]) -> HTTPResponse:
    """Send a request; where the platform refuses a body before it was sent whole, its answer counts."""
    try:
        connection.request(method, path, body=body, headers=dict(headers))
    except (BrokenPipeError, ConnectionResetError):
        if connection.sock is None:
            raise
    return connection.getresponse()


def _parsed(content: bytes) -> Answer:
    try:
        parsed = json.loads(content)
    except ValueError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _failure(status: int, content: bytes) -> ClientError:
    """Return what the platform's error envelope says as one text, a line for each detail."""
    error = _parsed(content).get("error") or {}
    message = error.get("message") or f"the platform answered with status {status}"
    details = [f"  {_place(detail)}: {detail['message']}" for detail in error.get("details", []) if detail["message"] != message]
    return ClientError("\n".join([message, *details]), status=status, code=error.get("code"))


def _place(detail: Mapping[str, Any]) -> str:
    return f"{detail['field']}, line {detail['line']}" if detail.get("line") else str(detail["field"])


def _wait(what: str, look: Callable[[], Answer], *, until: str, on_look: Callable[[Answer], None]) -> Answer:
    while True:
        seen = look()
        on_look(seen)
        if seen["status"] == until:
            return seen
        if seen["status"] == "failed":
            raise ClientError(f"{what} failed: {seen.get('reason') or 'no reason is known'}")
        time.sleep(_LOOK_SECONDS)


def _refuse_if_told(error: Any) -> None:
    """Raise what the platform closed a WebSocket for, where it was no loss of the connection."""
    close = error.rcvd
    if close is not None and close.code >= 4000:
        raise ClientError(close.reason or f"the connection was closed with code {close.code}", code=str(close.code)) from error
