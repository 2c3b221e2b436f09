"""Deployments (sections 6.1 and 6.2)."""

from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject

from maas.application.serving.deployments import DeploymentMetrics, Deployments, DeploymentState
from maas.container import Container
from maas.domain.identity import Permission
from maas.domain.paging import Page
from maas.domain.serving.deployment import Deployment
from maas.domain.serving.log import DeploymentLine
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.deployments_forms import (
    DeploymentChange,
    DeploymentDetail,
    DeploymentForm,
    DeploymentMetricsDetail,
    DeploymentQuery,
    DeploymentStatusDetail,
    LogLine,
    LogQuery,
)
from maas.entrypoints.http.paging import paged
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
_Deployments = Provide[Container.deployments]

blueprint = Blueprint(
    "deployments", __name__, url_prefix="/api/v1/inference/deployments", description="Models that answer, and their replicas."
)


@inject
def _locate(deployment_id: UUID, deployments: Deployments = _Deployments) -> None:
    deployments.get(current_actor(), deployment_id)


@blueprint.route("", access=Permission.DEPLOYMENT_READ)
@blueprint.arguments(DeploymentQuery(), location="query")
@blueprint.response(200, paged("deployments", DeploymentDetail()))
@inject
def list_deployments(query: Form, deployments: Deployments = _Deployments) -> Page[Deployment]:
    """List your deployments; administrators see all."""
    return deployments.page(current_actor(), **query)


@blueprint.route("", methods=["POST"], access=Permission.DEPLOYMENT_CREATE)
@blueprint.arguments(DeploymentForm())
@blueprint.response(
    201, DeploymentDetail(), message="the deployment was made and is starting", location="/api/v1/inference/deployments/{id}"
)
@inject
def create_deployment(body: Form, deployments: Deployments = _Deployments) -> Deployment:
    """Deploy a version of a model that you may use.

    An adapter is deployed on the base that it was trained on. The deployment is `pending` at first; it answers as soon as a
    replica of it runs.
    """
    return deployments.create(current_actor(), **body)


@blueprint.route("/<uuid:deployment_id>", access=Permission.DEPLOYMENT_READ)
@blueprint.response(200, DeploymentDetail())
@inject
def get_deployment(deployment_id: UUID, deployments: Deployments = _Deployments) -> Deployment:
    """Show a deployment."""
    return deployments.get(current_actor(), deployment_id)


@blueprint.route("/<uuid:deployment_id>", methods=["PUT", "PATCH"], access=Permission.DEPLOYMENT_UPDATE, locate=_locate)
@blueprint.arguments(DeploymentChange())
@blueprint.response(200, DeploymentDetail(), message="the deployment was changed")
@inject
def change_deployment(body: Form, deployment_id: UUID, deployments: Deployments = _Deployments) -> Deployment:
    """Change the given fields of a deployment.

    Another version or other hardware is rolled out replica by replica, without a request that fails; where it cannot be started,
    what ran before goes on, and `reason` says why.
    """
    return deployments.change(current_actor(), deployment_id, **body)


@blueprint.route("/<uuid:deployment_id>", methods=["DELETE"], access=Permission.DEPLOYMENT_DELETE)
@blueprint.response(200, message="the deployment is being deleted")
@inject
def delete_deployment(deployment_id: UUID, deployments: Deployments = _Deployments) -> None:
    """Delete a deployment: it takes no more requests, and is gone when its last replica has stopped."""
    deployments.delete(current_actor(), deployment_id)


@blueprint.route("/<uuid:deployment_id>/stop", methods=["POST"], access=Permission.DEPLOYMENT_UPDATE)
@blueprint.response(200, DeploymentDetail(), message="the deployment is stopping")
@inject
def stop_deployment(deployment_id: UUID, deployments: Deployments = _Deployments) -> Deployment:
    """Stop a deployment: what is being answered ends, and every replica after it."""
    return deployments.stop(current_actor(), deployment_id)


@blueprint.route("/<uuid:deployment_id>/start", methods=["POST"], access=Permission.DEPLOYMENT_UPDATE)
@blueprint.response(200, DeploymentDetail(), message="the deployment is starting")
@inject
def start_deployment(deployment_id: UUID, deployments: Deployments = _Deployments) -> Deployment:
    """Start a stopped or failed deployment again."""
    return deployments.start(current_actor(), deployment_id)


@blueprint.route("/<uuid:deployment_id>/status", access=Permission.DEPLOYMENT_READ)
@blueprint.response(200, DeploymentStatusDetail())
@inject
def get_status(deployment_id: UUID, deployments: Deployments = _Deployments) -> DeploymentState:
    """Show where a deployment and each of its replicas stand."""
    return deployments.state(current_actor(), deployment_id)


@blueprint.route("/<uuid:deployment_id>/metrics", access=Permission.DEPLOYMENT_READ)
@blueprint.response(200, DeploymentMetricsDetail())
@inject
def get_metrics(deployment_id: UUID, deployments: Deployments = _Deployments) -> DeploymentMetrics:
    """Show what a deployment has answered, and how fast."""
    return deployments.metrics(current_actor(), deployment_id)


@blueprint.route("/<uuid:deployment_id>/logs", access=Permission.DEPLOYMENT_READ, locate=_locate)
@blueprint.arguments(LogQuery(), location="query")
@blueprint.response(200, paged("logs", LogLine()))
@inject
def get_logs(query: Form, deployment_id: UUID, deployments: Deployments = _Deployments) -> Page[DeploymentLine]:
    """Show what happened to a deployment, each decision with its reason, and what its engines wrote; oldest first."""
    return deployments.log(current_actor(), deployment_id, **query)
