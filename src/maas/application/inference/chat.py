"""Asking language models."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from maas.application.actor import Actor
from maas.application.inference.answers import TextAnswer
from maas.application.inference.asking import TextAsking
from maas.application.inference.routing import Route
from maas.application.inference.several import SeveralAnswers
from maas.domain.errors import ModelUnsuitable
from maas.domain.identity import Permission
from maas.domain.inference.conversation import ChatRequest, CompletionRequest, Message, checked_messages
from maas.domain.inference.parameters import GenerationParameters
from maas.domain.serving.deployment import Deployment
from maas.domain.usage import UsageKind

TEXT_TASK = "text-generation"
Prompt = str | tuple[int, ...]


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
    ) -> TextAnswer:
        """The same, of a deployment that was found before."""
        return self.asking.ask(actor, route, _chat_request(route.deployment, messages, parameters), kind)

    def begin_several(
        self, actor: Actor, route: Route, *, messages: Sequence[Message], parameters: Mapping[str, Any], count: int
    ) -> SeveralAnswers:
        """Begin several answers to one conversation, each by choices of its own."""
        actor.require(Permission.INFERENCE_CREATE)
        request = _chat_request(route.deployment, messages, parameters, prefix="")
        requests = [replace(request, parameters=_reseeded(request.parameters, number)) for number in range(count)]
        return self.asking.ask_several(actor, route, requests, "chat", repeats=range(1, count))


class Completion:
    """Goes on with texts."""

    def __init__(self, *, asking: TextAsking) -> None:
        self.asking = asking

    def begin(self, actor: Actor, deployment_id: UUID, *, prompt: Prompt, parameters: Mapping[str, Any]) -> TextAnswer:
        """Check a prompt and begin what follows it. `parameters` go before the deployment's own defaults."""
        actor.require(Permission.INFERENCE_CREATE)
        return self.begin_on(actor, self.asking.router.route(actor, deployment_id), prompt=prompt, parameters=parameters)

    def begin_on(
        self, actor: Actor, route: Route, *, prompt: Prompt, parameters: Mapping[str, Any], kind: UsageKind = "completion"
    ) -> TextAnswer:
        """The same, of a deployment that was found before."""
        _check_writes(route.deployment)
        request = CompletionRequest(prompt=prompt, parameters=_parameters_for(route.deployment, parameters))
        return self.asking.ask(actor, route, request, kind)

    def begin_several(
        self, actor: Actor, route: Route, *, prompts: Sequence[Prompt], parameters: Mapping[str, Any], count: int
    ) -> SeveralAnswers:
        """Begin several texts for each prompt, those of a prompt side by side."""
        actor.require(Permission.INFERENCE_CREATE)
        _check_writes(route.deployment)
        chosen = _parameters_for(route.deployment, parameters, prefix="")
        requests = [
            CompletionRequest(prompt=prompt, parameters=_reseeded(chosen, number))
            for prompt in prompts
            for number in range(count)
        ]
        repeats = [part for part in range(len(requests)) if part % count]
        return self.asking.ask_several(actor, route, requests, "completion", repeats=repeats)


def _check_writes(deployment: Deployment) -> None:
    if deployment.task != TEXT_TASK:
        raise ModelUnsuitable("this model writes no text: it is for {task}", task=deployment.task)


def _chat_request(
    deployment: Deployment, messages: Sequence[Message], parameters: Mapping[str, Any], *, prefix: str = "parameters"
) -> ChatRequest:
    if not deployment.can_chat:
        raise ModelUnsuitable("this model cannot chat: it has no chat template")
    return ChatRequest(messages=checked_messages(messages), parameters=_parameters_for(deployment, parameters, prefix=prefix))


def _parameters_for(deployment: Deployment, given: Mapping[str, Any], *, prefix: str = "parameters") -> GenerationParameters:
    """Return a call's parameters over the deployment's defaults, or raise Invalid; `prefix` is where they stand."""
    parameters = GenerationParameters.merged(deployment.inference_config, given, prefix=prefix)
    parameters.check_context(deployment.context_length, field=f"{prefix}.max_tokens" if prefix else "max_tokens")
    return parameters


def _reseeded(parameters: GenerationParameters, number: int) -> GenerationParameters:
    """Give the further answers to one prompt seeds of their own: with the same one they would be the same."""
    if parameters.seed is None or not number:
        return parameters
    return replace(parameters, seed=(parameters.seed + number) % 2**63)
