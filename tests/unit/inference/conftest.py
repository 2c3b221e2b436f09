"""A house with a person and their deployments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from maas.domain.serving.deployment import Deployment, DeploymentStatus
from maas.domain.serving.replica import Replica
from tests.builders import a_deployment, a_replica
from tests.house import House

Headers = dict[str, str]
Deploy = Callable[..., Deployment]
ENGINE = "http://127.0.0.1:1"


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def alice(house: House) -> Headers:
    return house.sign_up("alice")


@pytest.fixture
def deploy(house: House, alice: Headers) -> Deploy:
    """Return what puts up a running deployment, Alice's unless told otherwise, with a replica at each of `addresses`."""

    def make(*addresses: str, owner_id: UUID | None = None, **changes: Any) -> Deployment:
        values = {"status": DeploymentStatus.RUNNING, **changes}
        deployment = a_deployment(owner_id=owner_id or house.user_id(alice), **values)
        with house.database() as work:
            work.deployments.add(deployment)
            for address in addresses or (ENGINE,):
                work.replicas.add(a_running_replica(deployment.id, address))
        return deployment

    return make


def a_running_replica(deployment_id: UUID, address: str) -> Replica:
    return a_replica(deployment_id=deployment_id, status=DeploymentStatus.RUNNING, address=address)


def an_embedding_deployment(deploy: Deploy, **changes: Any) -> Deployment:
    return deploy(**{"task": "feature-extraction", "can_chat": False, **changes})
