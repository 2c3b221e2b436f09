"""Many requests at once: answered in place, or by and by."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
from dependency_injector.wiring import Provide, inject
from flask import Response

from maas.application.cancellation import Cancellation
from maas.application.inference.batches import Batches
from maas.application.ports.repositories.batches import BatchFilter
from maas.container import Container
from maas.domain.identity import Permission
from maas.domain.inference.batch import Batch, BatchResult
from maas.domain.paging import Page, PageRequest
from maas.entrypoints.http.batch_forms import (
    BatchForm,
    BatchLineSchema,
    BatchMode,
    BatchQuery,
    BatchResultsSchema,
    BatchSchema,
    told_result,
)
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.client_watch import given_up_with_client
from maas.entrypoints.http.envelope import success
from maas.entrypoints.http.paging import paged
from maas.entrypoints.http.request import current_request
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
JSON_LINES = "application/jsonl"
_FULL_BYTES = 64 * 1024
_BATCH = BatchSchema()

blueprint = Blueprint("batches", __name__, url_prefix="/api/v1/inference/batch", description="Many requests at once.")


@blueprint.route("", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(BatchForm())
@blueprint.response(201, BatchSchema(), description="With `mode` `async`: the batch, queued.")
@blueprint.response(200, BatchResultsSchema(), description="What became of each request.")
@inject
def create(form: Form, batches: Batches = Provide[Container.batches]) -> dict[str, Any] | Response:
    """Answer up to 100 requests in place, or take up to 50,000 to be answered by and by."""
    if form["mode"] is BatchMode.ASYNC:
        return _accepted(batches.submit(current_actor(), form["deployment_id"], form["requests"], name=form.get("name")))
    cancellation = Cancellation()
    with given_up_with_client(cancellation.cancel):
        results = batches.answer(current_actor(), form["deployment_id"], form["requests"], cancellation=cancellation)
    language = current_request().language
    return {"results": [told_result(result, language) for result in results]}


@blueprint.route("", access=Permission.INFERENCE_READ)
@blueprint.arguments(BatchQuery(), location="query")
@blueprint.response(200, paged("batches", BatchSchema()))
@inject
def list_batches(query: Form, batches: Batches = Provide[Container.batches]) -> Page[Batch]:
    """List the batches that are answered by and by."""
    page: PageRequest = query.pop("page")
    return batches.page(current_actor(), page, only=BatchFilter(**query))


@blueprint.route("/<uuid:batch_id>", access=Permission.INFERENCE_READ)
@blueprint.response(200, BatchSchema())
@inject
def get(batch_id: UUID, batches: Batches = Provide[Container.batches]) -> Batch:
    """Tell how far a batch is."""
    return batches.get(current_actor(), batch_id)


@blueprint.route("/<uuid:batch_id>/results", access=Permission.INFERENCE_READ)
@blueprint.response(
    200, BatchLineSchema(), content_type=JSON_LINES, description="A line for each request that is done, in order."
)
@inject
def results(batch_id: UUID, batches: Batches = Provide[Container.batches]) -> Response:
    """Download what became of the requests: each line is `{id, status, data}` or `{id, status, error}`."""
    lines = _lines(batches.results(current_actor(), batch_id), current_request().language)
    disposition = f'attachment; filename="batch-{batch_id}.jsonl"'
    return Response(lines, content_type=JSON_LINES, headers={"Content-Disposition": disposition})


@blueprint.route("/<uuid:batch_id>/cancel", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.response(200, BatchSchema())
@inject
def cancel(batch_id: UUID, batches: Batches = Provide[Container.batches]) -> Batch:
    """End a batch; what was answered stays."""
    return batches.cancel(current_actor(), batch_id)


def _accepted(batch: Batch) -> Response:
    response = success(_BATCH.dump(batch), 201)
    response.headers["Location"] = f"/api/v1/inference/batch/{batch.id}"
    return response


def _lines(results: Iterator[BatchResult], language: str) -> Iterator[bytes]:
    """Yield the lines, some at a time: a chunk of the answer for each would cost more than the line."""
    waiting = bytearray()
    for result in results:
        waiting += orjson.dumps(told_result(result, language)) + b"\n"
        if len(waiting) >= _FULL_BYTES:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)
