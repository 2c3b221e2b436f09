"""The thread of each process that sums up what the process wrote down."""

import threading
import time

import structlog

from maas.application.usage import UsageFlush

log = structlog.get_logger(__name__)

FLUSH_SECONDS = 1.0


def start_usage_thread(usage_flush: UsageFlush) -> None:
    """Sum up usage once a second, as long as the process lives; what is left then, other processes sum up."""
    threading.Thread(target=_run, args=(usage_flush,), name="usage", daemon=True).start()


def _run(usage_flush: UsageFlush) -> None:
    while True:
        time.sleep(FLUSH_SECONDS)
        try:
            usage_flush.flush()
        except Exception:
            log.warning("usage cannot be summed up now; it is written down, and trying again", exc_info=True)
