"""Models and their versions (section 4)."""

from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject
from flask import Response

from maas.application.catalog.entries import CatalogEntry
from maas.application.catalog.models import Models
from maas.application.catalog.versions import ModelVersions
from maas.application.ports.incoming_form import IncomingForm
from maas.application.ports.repositories.catalog import ModelFilter
from maas.container import Container
from maas.domain.catalog.model import ModelVersion
from maas.domain.identity import Permission
from maas.domain.paging import Page
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.downloads import send
from maas.entrypoints.http.models_forms import (
    MODEL_FORM,
    VERSION_FORM,
    ModelChange,
    ModelDetail,
    ModelItem,
    ModelQuery,
    VersionDetail,
    VersionItem,
    VersionQuery,
)
from maas.entrypoints.http.paging import paged
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
_Models = Provide[Container.models]
_Versions = Provide[Container.model_versions]

blueprint = Blueprint("models", __name__, url_prefix="/api/v1/models", description="Models, their versions and their files.")


@inject
def _locate_own(model_id: UUID, models: Models = _Models, **_path: object) -> None:
    models.locate_own(current_actor(), model_id)


@inject
def _locate_seen(model_id: UUID, models: Models = _Models, **_path: object) -> None:
    models.get(current_actor(), model_id)


@blueprint.route("", access=Permission.MODEL_READ)
@blueprint.arguments(ModelQuery(), location="query")
@blueprint.response(200, paged("models", ModelItem()))
@inject
def list_models(query: Form, models: Models = _Models) -> Page[CatalogEntry]:
    """List the models that you may use: your own, and public ones."""
    return models.page(current_actor(), query.pop("page"), ModelFilter(**query))


@blueprint.route("", methods=["POST"], access=Permission.MODEL_CREATE)
@blueprint.form(MODEL_FORM)
@blueprint.response(201, ModelDetail(), message="the model was uploaded", location="/api/v1/models/{id}")
@inject
def upload_model(form: IncomingForm, models: Models = _Models) -> CatalogEntry:
    """Upload a model.

    Its files come as one archive in `model_file`, as single parts, or from a `source`; then the version is `uploading` until
    a worker has fetched them. Weights are safetensors; nothing that would run code is taken. With its 201 an upload is whole
    and durable.
    """
    return models.upload(current_actor(), form)


@blueprint.route("/<uuid:model_id>", access=Permission.MODEL_READ)
@blueprint.response(200, ModelDetail())
@inject
def get_model(model_id: UUID, models: Models = _Models) -> CatalogEntry:
    """Show a model, with what its files say."""
    return models.get(current_actor(), model_id)


@blueprint.route("/<uuid:model_id>", methods=["PUT", "PATCH"], access=Permission.MODEL_UPDATE, locate=_locate_own)
@blueprint.arguments(ModelChange())
@blueprint.response(200, ModelDetail(), message="the model was changed")
@inject
def change_model(body: Form, model_id: UUID, models: Models = _Models) -> CatalogEntry:
    """Change the given fields of a model."""
    return models.change(current_actor(), model_id, body)


@blueprint.route("/<uuid:model_id>", methods=["DELETE"], access=Permission.MODEL_DELETE)
@blueprint.response(200, message="the model was deleted")
@inject
def delete_model(model_id: UUID, models: Models = _Models) -> None:
    """Delete a model with its versions and files; refused while a deployment or an unfinished job uses it."""
    models.delete(current_actor(), model_id)


@blueprint.route("/<uuid:model_id>/like", methods=["POST"], access=Permission.MODEL_UPDATE)
@blueprint.response(200, ModelDetail())
@inject
def like_model(model_id: UUID, models: Models = _Models) -> CatalogEntry:
    """Like a model; a second time changes nothing."""
    return models.like(current_actor(), model_id)


@blueprint.route("/<uuid:model_id>/like", methods=["DELETE"], access=Permission.MODEL_UPDATE)
@blueprint.response(200, ModelDetail())
@inject
def unlike_model(model_id: UUID, models: Models = _Models) -> CatalogEntry:
    """Like a model no more; a second time changes nothing."""
    return models.unlike(current_actor(), model_id)


@blueprint.route("/<uuid:model_id>/versions", access=Permission.MODEL_READ, locate=_locate_seen)
@blueprint.arguments(VersionQuery(), location="query")
@blueprint.response(200, paged("versions", VersionItem()))
@inject
def list_versions(query: Form, model_id: UUID, versions: ModelVersions = _Versions) -> Page[ModelVersion]:
    """List the versions of a model."""
    return versions.page(current_actor(), model_id, **query)


@blueprint.route("/<uuid:model_id>/versions", methods=["POST"], access=Permission.MODEL_CREATE)
@blueprint.form(VERSION_FORM)
@blueprint.response(
    201, VersionDetail(), message="the version was uploaded", location="/api/v1/models/{model_id}/versions/{version}"
)
@inject
def upload_version(form: IncomingForm, model_id: UUID, versions: ModelVersions = _Versions) -> ModelVersion:
    """Upload another version of a model, as the first one was.

    Weights that come without `config.json` take the configuration and the tokenizer of the newest ready version.
    """
    return versions.upload(current_actor(), model_id, form)


@blueprint.route("/<uuid:model_id>/versions/<version>", access=Permission.MODEL_READ)
@blueprint.response(200, VersionDetail())
@inject
def get_version(model_id: UUID, version: str, versions: ModelVersions = _Versions) -> ModelVersion:
    """Show a version, with its files."""
    return versions.get(current_actor(), model_id, version)


@blueprint.route("/<uuid:model_id>/versions/<version>", methods=["DELETE"], access=Permission.MODEL_DELETE)
@blueprint.response(200, message="the version was deleted")
@inject
def delete_version(model_id: UUID, version: str, versions: ModelVersions = _Versions) -> None:
    """Delete a version and its files; refused while a deployment or an unfinished job uses it."""
    versions.delete(current_actor(), model_id, version)


@blueprint.route("/<uuid:model_id>/versions/<version>/download", access=Permission.MODEL_READ)
@blueprint.response(200, content_type="application/octet-stream", description="One archive; a Range is answered 206.")
@inject
def download_version(model_id: UUID, version: str, versions: ModelVersions = _Versions) -> Response:
    """Download a version: the archive that was uploaded, or a tar archive of its files, the same bytes at each call."""
    return send(versions.download(current_actor(), model_id, version))
