"""The Idempotency-Key of a POST: a repeated call is answered with the answer of the first."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import structlog
from flask import Response, current_app

from maas.application.idempotency import Claim, Idempotency, KeptAnswer, check_same_request
from maas.entrypoints.http.body_fingerprint import BodyFingerprint
from maas.entrypoints.http.request import PlatformRequest, current_request
from maas.entrypoints.http.sign_in import current_actor

log = structlog.get_logger(__name__)

IDEMPOTENCY = "maas.idempotency"
HEADER = "Idempotency-Key"
RENEW_SECONDS = 20.0
_KEPT_HEADERS = ("Content-Type", "Location")

DOCUMENTATION: dict[str, Any] = {
    "in": "header",
    "name": HEADER,
    "required": False,
    "schema": {"type": "string", "maxLength": 255},
    "description": (
        "A key of your own making: the same call with the same key within 24 hours has one effect, and gives the same answer "
        "again. A refused call does not use the key up; another call with it is 409."
    ),
}


class IdempotentAnswers:
    """Answers calls under a key, for one application."""

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency
        self._renewals = _Renewals(idempotency)

    def answer(self, key: str, call: Callable[[], Response]) -> Response:
        """Return the answer that is kept under `key`, or that of `call`, which is then kept."""
        request = current_request()
        request.fingerprint = BodyFingerprint(request)
        claim = self._idempotency.begin(current_actor(), key)
        if isinstance(claim, KeptAnswer):
            check_same_request(claim, request.fingerprint.hexdigest())
            return _restored(claim.answer)
        try:
            with self._idempotency.effects_of(claim), self._renewals.renewing(claim):
                response = call()
        except BaseException:
            self._idempotency.give_back(claim)
            raise
        self._keep(claim, request, response)
        return response

    def _keep(self, claim: Claim, request: PlatformRequest, response: Response) -> None:
        """Keep an answer; refusals and streams are none that could be given again."""
        if response.status_code >= 400 or response.is_streamed:
            self._idempotency.give_back(claim)
            return
        assert request.fingerprint is not None
        try:
            self._idempotency.finish(claim, fingerprint=request.fingerprint.hexdigest(), answer=_kept(response))
        except Exception:
            # The call had its effect: its answer is better than none.
            log.exception("the answer of a call with an idempotency key cannot be kept")


def answer_once(view: Callable[..., Response]) -> Callable[..., Response]:
    """Let a view answer each Idempotency-Key once."""

    def answered(*args: Any, **path: Any) -> Response:
        key = current_request().headers.get(HEADER)
        answers: IdempotentAnswers | None = current_app.extensions.get(IDEMPOTENCY)
        if key is None or answers is None:
            return view(*args, **path)
        return answers.answer(key, lambda: view(*args, **path))

    return answered


class _Renewals:
    """Keeps the claims of calls that take long: one thread a process, from the first key on."""

    def __init__(self, idempotency: Idempotency) -> None:
        self._idempotency = idempotency
        self._claims: set[Claim] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def renewing(self, claim: Claim) -> Iterator[None]:
        with self._lock:
            self._claims.add(claim)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="idempotency", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._claims.discard(claim)

    def _run(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                held = set(self._claims)
            pause.wait(RENEW_SECONDS)
            with self._lock:
                held &= self._claims
            for claim in held:
                self._renew(claim)

    def _renew(self, claim: Claim) -> None:
        try:
            self._idempotency.renew(claim)
        except Exception:
            log.warning("the claim on an idempotency key cannot be renewed now", exc_info=True)


def _kept(response: Response) -> bytes:
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    head = orjson.dumps({"status": response.status_code, "headers": headers})
    return head + b"\n" + response.get_data()


def _restored(answer: bytes) -> Response:
    head, _, body = answer.partition(b"\n")
    kept = orjson.loads(head)
    return Response(body, status=kept["status"], headers={**kept["headers"], "Idempotent-Replayed": "true"})
