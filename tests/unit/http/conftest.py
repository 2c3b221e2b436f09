"""The toy API in this process."""

import pytest

from tests.toy_api import Client, Sessions, make_app, seen


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


@pytest.fixture
def client(sessions: Sessions) -> Client:
    seen.clear()
    return make_app(sessions).test_client()
