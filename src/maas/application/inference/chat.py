"""Asking language models."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.inference.answers import TextAnswer, TextAsking
from maas.application.inference.routing import Route
from maas.domain.errors import ModelUnsuitable
from maas.domain.identity import Permission
from maas.domain.inference.conversation import ChatRequest, CompletionRequest, Message, checked_messages
from maas.domain.inference.parameters import GenerationParameters
from maas.domain.serving.deployment import Deployment
from maas.domain.usage import UsageKind

TEXT_TASK = "text-generation"


class Chat:
    """Answers conversations."""

    def __init__(self, *, asking: TextAsking) -> None:
        self.asking = asking

    def begin(
        self, actor: Actor, deployment_id: UUID, *, messages: Sequence[Message], parameters: Mapping[str, Any]
    ) -> TextAnswer:
        """Check a conversation and begin its answer. `parameters` go before the deployment's own defaults."""
        actor.require(Permission.INFERENCE_CREATE)
        return self.begin_on(actor, self.asking.router.route(actor, deployment_id), messages=messages, parameters=parameters)

    def begin_on(
        self,
        actor: Actor,
        route: Route,
        *,
        messages: Sequence[Message],
        parameters: Mapping[str, Any],
        kind: UsageKind = "chat",
        prefix: str = "parameters",
    ) -> TextAnswer:
        deployment = route.deployment
        if not deployment.can_chat:
            raise ModelUnsuitable("this model cannot chat: it has no chat template")
        request = ChatRequest(
            messages=checked_messages(messages), parameters=parameters_for(deployment, parameters, prefix=prefix)
        )
        return self.asking.ask(actor, route, request, kind)


class Completion:
    """Goes on with texts."""

    def __init__(self, *, asking: TextAsking) -> None:
        self.asking = asking

    def begin(
        self, actor: Actor, deployment_id: UUID, *, prompt: str | tuple[int, ...], parameters: Mapping[str, Any]
    ) -> TextAnswer:
        """Check a prompt and begin what follows it. `parameters` go before the deployment's own defaults."""
        actor.require(Permission.INFERENCE_CREATE)
        return self.begin_on(actor, self.asking.router.route(actor, deployment_id), prompt=prompt, parameters=parameters)

    def begin_on(
        self,
        actor: Actor,
        route: Route,
        *,
        prompt: str | tuple[int, ...],
        parameters: Mapping[str, Any],
        kind: UsageKind = "completion",
        prefix: str = "parameters",
    ) -> TextAnswer:
        if route.deployment.task != TEXT_TASK:
            raise ModelUnsuitable("this model writes no text: it is for {task}", task=route.deployment.task)
        request = CompletionRequest(prompt=prompt, parameters=parameters_for(route.deployment, parameters, prefix=prefix))
        return self.asking.ask(actor, route, request, kind)


def parameters_for(deployment: Deployment, given: Mapping[str, Any], *, prefix: str) -> GenerationParameters:
    """Return a call's parameters over the deployment's defaults, or raise Invalid."""
    parameters = GenerationParameters.merged(deployment.inference_config, given, prefix=prefix)
    parameters.check_context(deployment.context_length, field=f"{prefix}.max_tokens")
    return parameters
