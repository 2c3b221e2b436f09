"""Datasets to learn from (section 5.1)."""

from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject
from flask import Response

from maas.application.datasets.datasets import DatasetEntry, Datasets
from maas.application.ports.incoming_form import IncomingForm
from maas.application.ports.repositories.datasets import DatasetFilter
from maas.container import Container
from maas.domain.identity import Permission
from maas.domain.paging import Page
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.datasets_forms import DATASET_FORM, DatasetChange, DatasetDetail, DatasetItem, DatasetQuery
from maas.entrypoints.http.downloads import send
from maas.entrypoints.http.paging import paged
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
_Datasets = Provide[Container.datasets]

blueprint = Blueprint("datasets", __name__, url_prefix="/api/v1/datasets", description="Datasets to learn from.")


@inject
def _locate_own(dataset_id: UUID, datasets: Datasets = _Datasets) -> None:
    datasets.locate_own(current_actor(), dataset_id)


@blueprint.route("", access=Permission.DATASET_READ)
@blueprint.arguments(DatasetQuery(), location="query")
@blueprint.response(200, paged("datasets", DatasetItem()))
@inject
def list_datasets(query: Form, datasets: Datasets = _Datasets) -> Page[DatasetEntry]:
    """List the datasets that you may use: your own, and public ones."""
    return datasets.page(current_actor(), query.pop("page"), DatasetFilter(**query))


@blueprint.route("", methods=["POST"], access=Permission.DATASET_CREATE)
@blueprint.form(DATASET_FORM)
@blueprint.response(201, DatasetDetail(), message="the dataset was uploaded", location="/api/v1/datasets/{id}")
@inject
def upload_dataset(form: IncomingForm, datasets: Datasets = _Datasets) -> DatasetEntry:
    """Upload a dataset.

    Every row is checked: where some are bad, the answer names line and reason of the first 20, and nothing is stored. With its
    201 a dataset is whole, durable and usable.
    """
    return datasets.upload(current_actor(), form)


@blueprint.route("/<uuid:dataset_id>", access=Permission.DATASET_READ)
@blueprint.response(200, DatasetDetail())
@inject
def get_dataset(dataset_id: UUID, datasets: Datasets = _Datasets) -> DatasetEntry:
    """Show a dataset, with what was seen of its rows."""
    return datasets.get(current_actor(), dataset_id)


@blueprint.route("/<uuid:dataset_id>", methods=["PUT", "PATCH"], access=Permission.DATASET_UPDATE, locate=_locate_own)
@blueprint.arguments(DatasetChange())
@blueprint.response(200, DatasetDetail(), message="the dataset was changed")
@inject
def change_dataset(body: Form, dataset_id: UUID, datasets: Datasets = _Datasets) -> DatasetEntry:
    """Change the given fields of a dataset."""
    return datasets.change(current_actor(), dataset_id, body)


@blueprint.route("/<uuid:dataset_id>", methods=["DELETE"], access=Permission.DATASET_DELETE)
@blueprint.response(200, message="the dataset was deleted")
@inject
def delete_dataset(dataset_id: UUID, datasets: Datasets = _Datasets) -> None:
    """Delete a dataset and its file; refused while an unfinished job learns from it."""
    datasets.delete(current_actor(), dataset_id)


@blueprint.route("/<uuid:dataset_id>/download", access=Permission.DATASET_READ)
@blueprint.response(200, content_type="application/octet-stream", description="The file; a Range is answered 206.")
@inject
def download_dataset(dataset_id: UUID, datasets: Datasets = _Datasets) -> Response:
    """Download the file of a dataset, as it was uploaded."""
    return send(datasets.download(current_actor(), dataset_id))
