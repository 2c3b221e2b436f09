"""Conversations as prompts, by the model's own template, rendered where it can do no harm."""

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from maas.programs.engine.failures import Overloaded, RequestInvalid

RENDER_SECONDS = 3.0
_WAIT_SECONDS = 10.0
_LARGEST_ANSWER_BYTES = 128 * 2**20


class ChatTemplate:
    """Renders in a helper process, one conversation at a time; a helper that takes too long is killed and replaced."""

    def __init__(self, template: str, special_tokens: Mapping[str, str], *, seconds: float = RENDER_SECONDS) -> None:
        self._template, self._special_tokens, self._seconds = template, dict(special_tokens), seconds
        self._lock = threading.Lock()
        self._helper: subprocess.Popen[bytes] | None = None

    def render(self, messages: Sequence[Mapping[str, Any]], *, tools: object, variables: Mapping[str, object]) -> str:
        """Return the prompt that asks for the next answer; `variables` cannot replace what a conversation consists of."""
        values = {**self._special_tokens, **variables, "messages": messages, "tools": tools, "add_generation_prompt": True}
        line = json.dumps(values).encode() + b"\n"
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            raise Overloaded("the chat template is busy", retry_after_seconds=1)
        try:
            answer = self._ask(line)
        finally:
            self._lock.release()
        if "error" in answer:
            raise RequestInvalid(f"the chat template refuses this conversation: {str(answer['error'])[:300]}")
        return str(answer["text"])

    def _ask(self, line: bytes) -> dict[str, Any]:
        helper = self._helper if self._helper is not None and self._helper.poll() is None else self._start()
        deadline = time.monotonic() + self._seconds
        try:
            _write(helper, line, deadline)
            answer: dict[str, Any] = json.loads(_read_line(helper, deadline))
        except TimeoutError:
            self._stop()
            return {"error": f"it takes longer than {self._seconds:g} s"}
        except (BrokenPipeError, EOFError):
            self._stop()
            return {"error": "it is malformed, or takes too much memory"}
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "maas.programs.engine.chat_renderer"]
        helper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        assert helper.stdin is not None and helper.stdout is not None  # noqa: PT018
        os.set_blocking(helper.stdin.fileno(), False)
        self._helper = helper
        _write(helper, json.dumps(self._template).encode() + b"\n", time.monotonic() + self._seconds)
        return helper

    def close(self) -> None:
        """End the helper; the next conversation starts another."""
        with self._lock:
            self._stop()

    def _stop(self) -> None:
        if self._helper is not None:
            self._helper.kill()
            self._helper.communicate()
            self._helper = None


def _write(helper: subprocess.Popen[bytes], data: bytes, deadline: float) -> None:
    assert helper.stdin is not None
    view = memoryview(data)
    while view:
        _, ready, _ = select.select([], [helper.stdin], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        view = view[os.write(helper.stdin.fileno(), view[: 2**16]) :]


def _read_line(helper: subprocess.Popen[bytes], deadline: float) -> bytes:
    assert helper.stdout is not None
    line = bytearray()
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([helper.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(helper.stdout.fileno(), 2**16)
        if not part or len(line) > _LARGEST_ANSWER_BYTES:
            raise EOFError
        line += part
    return bytes(line)
