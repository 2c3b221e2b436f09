"""Logs of every process: one JSON object a line on standard error, with the id of the request or job that it belongs to."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog

_SECRET_KEYS = frozenset(
    {"authorization", "password", "token", "access_token", "refresh_token", "api_key", "x-api-key", "secret", "cookie"}
)

# Malformed forms are told to their senders; addresses of downloads may be signed.
_QUIETER = {
    "python_multipart": logging.ERROR,
    "httpx2": logging.WARNING,
    "httpx": logging.WARNING,
    "huggingface_hub": logging.ERROR,
}


def configure_logs(level: str = "info") -> None:
    """Set up structlog, and lead the records of libraries into it."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            _mask_secrets,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [_ToStructlog()]
    root.setLevel(max(threshold, logging.INFO))
    for name, level_of_library in _QUIETER.items():
        logging.getLogger(name).setLevel(level_of_library)


def _mask_secrets(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _SECRET_KEYS & line.keys():
        line[key] = "***"
    return line


def _to_json(line: MutableMapping[str, Any], **_options: Any) -> bytes:
    return orjson.dumps(line, default=str)


class _ToStructlog(logging.Handler):
    """Writes the records of the standard library's loggers like all other lines."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger()
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info or None)
