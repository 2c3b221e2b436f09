"""Asking models: chat, completion and embedding."""

from typing import Any
from uuid import UUID

from dependency_injector.wiring import Provide, inject
from flask import Response

from maas.application.cancellation import Cancellation
from maas.application.inference.answers import TextAnswer
from maas.application.inference.chat import Chat, Completion
from maas.application.inference.embedding import Embedding
from maas.application.inference.resumable import ResumableStreams
from maas.container import Container
from maas.domain.identity import Permission
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.client_watch import given_up_with_client
from maas.entrypoints.http.event_stream import event_stream
from maas.entrypoints.http.inference_answers import (
    EmbeddingAnswerSchema,
    TextAnswerSchema,
    TextChunkSchema,
    answer_chunks,
    embedding_answer,
    whole_answer,
)
from maas.entrypoints.http.inference_forms import ChatForm, CompletionForm, EmbeddingForm
from maas.entrypoints.http.request import current_request
from maas.entrypoints.http.resumable_chunks import error_chunk, json_chunks, last_event_id, numbered_chunks
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
EVENTS = "text/event-stream"

blueprint = Blueprint("inference", __name__, url_prefix="/api/v1/inference", description="Asking deployed models.")


@blueprint.route("/chat", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(ChatForm())
@blueprint.response(200, TextChunkSchema(), content_type=EVENTS)
@blueprint.response(200, TextAnswerSchema(), description="The answer; by server-sent events where `parameters.stream` is true.")
@inject
def chat(
    form: Form, chats: Chat = Provide[Container.chat], streams: ResumableStreams = Provide[Container.resumable_streams]
) -> dict[str, Any] | Response:
    """Answer a conversation."""
    resumable = form.pop("resumable")
    return _answered(chats.begin(current_actor(), **form), streams if resumable else None)


@blueprint.route("/completion", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(CompletionForm())
@blueprint.response(200, TextChunkSchema(), content_type=EVENTS)
@blueprint.response(200, TextAnswerSchema(), description="The text; by server-sent events where `parameters.stream` is true.")
@inject
def complete(
    form: Form,
    completions: Completion = Provide[Container.completion],
    streams: ResumableStreams = Provide[Container.resumable_streams],
) -> dict[str, Any] | Response:
    """Go on with a text."""
    resumable = form.pop("resumable")
    return _answered(completions.begin(current_actor(), **form), streams if resumable else None)


@blueprint.route("/embedding", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(EmbeddingForm())
@blueprint.response(200, EmbeddingAnswerSchema())
@inject
def embed(form: Form, embeddings: Embedding = Provide[Container.embedding]) -> dict[str, Any]:
    """Make a vector of each text."""
    cancellation = Cancellation()
    with given_up_with_client(cancellation.cancel):
        return embedding_answer(embeddings.embed(current_actor(), **form, cancellation=cancellation))


@blueprint.route("/streams/<uuid:stream_id>", access=Permission.INFERENCE_CREATE)
@blueprint.response(200, TextChunkSchema(), content_type=EVENTS)
@inject
def resume(stream_id: UUID, streams: ResumableStreams = Provide[Container.resumable_streams]) -> Response:
    """Take a resumable stream of one's own up again, after the event that `Last-Event-ID` names, or from its beginning."""
    return event_stream(numbered_chunks(streams.resume(current_actor(), stream_id, after=last_event_id())))


def _answered(answer: TextAnswer, streams: ResumableStreams | None) -> dict[str, Any] | Response:
    if answer.request.parameters.stream and streams is not None:
        language = current_request().language
        chunks = streams.begin(current_actor(), answer, json_chunks(answer), lambda error: error_chunk(error, language))
        return event_stream(numbered_chunks(chunks))
    if answer.request.parameters.stream:
        return event_stream(answer_chunks(answer), cancel=answer.cancel)
    with given_up_with_client(answer.cancel):
        return whole_answer(answer.whole())
