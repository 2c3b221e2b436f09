"""The toy API in this process."""

import pytest
from flask.testing import FlaskClient

from tests.toy_api import Sessions, make_app, seen


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def client(sessions: Sessions) -> FlaskClient:
    seen.clear()
    return make_app(sessions).test_client()
