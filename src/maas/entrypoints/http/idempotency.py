"""The Idempotency-Key of a POST: a repeated call is answered with the answer of the first."""

import structlog

log = structlog.get_logger(__name__)

IDEMPOTENCY = "maas.idempotency"
RENEW_SECONDS = 20.0
_KEPT_HEADERS = ("Content-Type", "Location")
