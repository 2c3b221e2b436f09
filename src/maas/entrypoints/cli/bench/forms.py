"""Multipart forms, sent from files without a copy of them in memory."""

import http.client
import json
import socket
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maas.entrypoints.cli.bench.children import BenchFailed
from maas.entrypoints.cli.bench.platforms import Platform

_TIMEOUT_SECONDS = 600


def send_form(
    platform: Platform,
    path: str,
    fields: Mapping[str, str],
    files: Sequence[tuple[str, str, Path]],
    *,
    headers: Mapping[str, str],
) -> Any:
    """Send fields and files (field, file name, where it lies); return what the answer's envelope holds."""
    boundary = uuid.uuid4().hex
    heads = [_head(boundary, field, name) for field, name, _ in files]
    texts = b"".join(_text(boundary, field, value) for field, value in fields.items())
    end = f"--{boundary}--\r\n".encode()
    length = (
        len(texts)
        + len(end)
        + sum(len(head) + 2 + where.stat().st_size for head, (_, _, where) in zip(heads, files, strict=True))
    )
    with socket.create_connection((platform.host, platform.port), timeout=_TIMEOUT_SECONDS) as connection:
        connection.sendall(_request(path, {**headers, "Content-Length": str(length)}, boundary) + texts)
        for head, (_, _, where) in zip(heads, files, strict=True):
            connection.sendall(head)
            with where.open("rb") as file:
                connection.sendfile(file)
            connection.sendall(b"\r\n")
        connection.sendall(end)
        return _answer(connection, path)


def _head(boundary: str, field: str, file_name: str) -> bytes:
    disposition = f'form-data; name="{field}"; filename="{file_name}"'
    return f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()


def _text(boundary: str, field: str, value: str) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()


def _request(path: str, headers: Mapping[str, str], boundary: str) -> bytes:
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Connection: close",
        f"Content-Type: multipart/form-data; boundary={boundary}",
    ]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


def _answer(connection: socket.socket, path: str) -> Any:
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    told = json.loads(answer.read() or b"null")
    if answer.status != http.client.CREATED:
        raise BenchFailed(f"POST {path} answered {answer.status}: {json.dumps(told, ensure_ascii=False)[:500]}")
    return told["data"]
