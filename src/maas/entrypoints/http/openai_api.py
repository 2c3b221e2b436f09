"""OpenAI's API over the same deployments: its official clients work with an API key of the platform."""

import time
from typing import Any

from dependency_injector.wiring import Provide, inject
from flask import Response
from marshmallow import fields

from maas.application.cancellation import Cancellation
from maas.application.inference.chat import Chat, Completion
from maas.application.inference.embedding import Embedding
from maas.application.inference.served_models import ServedModels
from maas.application.inference.several import SeveralAnswers
from maas.container import Container
from maas.domain.errors import WrongForm
from maas.domain.identity import Permission
from maas.entrypoints.http.blueprint import Blueprint
from maas.entrypoints.http.client_watch import given_up_with_client
from maas.entrypoints.http.event_stream import event_stream
from maas.entrypoints.http.fields import Integer, Text
from maas.entrypoints.http.openai_answers import OpenAiText, embedding_list, model_object
from maas.entrypoints.http.openai_forms import ChatCompletionForm, EmbeddingsForm, TextCompletionForm
from maas.entrypoints.http.schemas import StrictSchema
from maas.entrypoints.http.sign_in import current_actor

Form = dict[str, Any]
EVENTS = "text/event-stream"
_OBJECTS = {"type": "array", "items": {"type": "object"}}

blueprint = Blueprint(
    "openai",
    __name__,
    url_prefix="/v1",
    description="OpenAI's API: bare objects and errors as its clients read them; `model` is a deployment's name or id.",
)


class OpenAiObject(StrictSchema):
    """An answer, or a chunk of one."""

    id = Text()
    object = Text()
    created = Integer()
    model = Text()
    choices = fields.Raw(metadata=_OBJECTS)
    usage = fields.Raw(metadata={"type": "object"})


class OpenAiList(StrictSchema):
    """A list of objects; that of embeddings tells the model and the usage too."""

    object = Text()
    data = fields.Raw(metadata=_OBJECTS)
    model = Text()
    usage = fields.Raw(metadata={"type": "object"})


class OpenAiModel(StrictSchema):
    """A deployment, as a model."""

    id = Text()
    object = Text()
    created = Integer()
    owned_by = Text()


@blueprint.route("/models", access=Permission.INFERENCE_CREATE)
@blueprint.response(200, OpenAiList(), enveloped=False)
@inject
def list_models(models: ServedModels = Provide[Container.served_models]) -> dict[str, Any]:
    """List the caller's deployments that have neither stopped nor failed."""
    return {"object": "list", "data": [model_object(deployment) for deployment in models.all(current_actor())]}


@blueprint.route("/models/<path:model>", access=Permission.INFERENCE_CREATE)
@blueprint.response(200, OpenAiModel(), enveloped=False)
@inject
def get_model(model: str, models: ServedModels = Provide[Container.served_models]) -> dict[str, Any]:
    """Return one deployment."""
    return model_object(models.route(current_actor(), model).deployment)


@blueprint.route("/chat/completions", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(ChatCompletionForm())
@blueprint.response(200, OpenAiObject(), enveloped=False, content_type=EVENTS, description="The same by chunks.")
@blueprint.response(200, OpenAiObject(), enveloped=False)
@inject
def create_chat_completion(
    form: Form, models: ServedModels = Provide[Container.served_models], chats: Chat = Provide[Container.chat]
) -> Response | dict[str, Any]:
    """Answer a conversation.

    Taken without effect: `audio`, `function_call`, `functions`, `logit_bias`, `metadata`, `modalities`, `parallel_tool_calls`,
    `prediction`, `reasoning_effort`, `response_format`, `service_tier`, `store`, `tool_choice`, `tools`, `user`, `verbosity`,
    `web_search_options`; of a message `name`, `refusal`, `tool_calls` and `tool_call_id`. The role `developer` is `system`,
    `function` is `tool`. Content is text. Beyond OpenAI's: `top_k`, `repetition_penalty`.
    """
    actor = current_actor()
    answers = chats.begin_several(
        actor, models.route(actor, form["model"]), messages=form["messages"], parameters=form["parameters"], count=form["n"]
    )
    return _answered(answers, form, is_chat=True)


@blueprint.route("/completions", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(TextCompletionForm())
@blueprint.response(200, OpenAiObject(), enveloped=False, content_type=EVENTS, description="The same by chunks.")
@blueprint.response(200, OpenAiObject(), enveloped=False)
@inject
def create_completion(
    form: Form,
    models: ServedModels = Provide[Container.served_models],
    completions: Completion = Provide[Container.completion],
) -> Response | dict[str, Any]:
    """Go on with a text or with tokens, or with each of several.

    Taken without effect: `best_of`, `echo`, `logit_bias`, `suffix`, `user`. Beyond OpenAI's: `top_k`, `repetition_penalty`.
    """
    actor = current_actor()
    answers = completions.begin_several(
        actor, models.route(actor, form["model"]), prompts=form["prompt"], parameters=form["parameters"], count=form["n"]
    )
    return _answered(answers, form, is_chat=False)


@blueprint.route("/embeddings", methods=["POST"], access=Permission.INFERENCE_CREATE)
@blueprint.arguments(EmbeddingsForm())
@blueprint.response(200, OpenAiList(), enveloped=False)
@inject
def create_embedding(
    form: Form,
    models: ServedModels = Provide[Container.served_models],
    embeddings: Embedding = Provide[Container.embedding],
) -> dict[str, Any]:
    """Make a vector of each text.

    Taken without effect: `user`. `dimensions` must be what the model gives; tokens in place of text are not taken.
    """
    actor = current_actor()
    if not all(isinstance(text, str) for text in form["input"]):
        raise WrongForm("this model reads text, not tokens", field="input")
    cancellation = Cancellation()
    with given_up_with_client(cancellation.cancel):
        embedded = embeddings.embed_on(
            actor, models.route(actor, form["model"]), texts=form["input"], cancellation=cancellation, field="input"
        )
    return embedding_list(embedded, encoding_format=form["encoding_format"], dimensions=form.get("dimensions"))


def _answered(answers: SeveralAnswers, form: Form, *, is_chat: bool) -> Response | dict[str, Any]:
    text = OpenAiText(answers, is_chat=is_chat, created=int(time.time()))
    if form["parameters"]["stream"]:
        return event_stream(text.chunks(include_usage=form["include_usage"]), cancel=answers.cancel)
    with given_up_with_client(answers.cancel):
        return text.whole()
