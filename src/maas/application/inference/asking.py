"""What use cases ask engines for text with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from maas.application.actor import Actor
from maas.application.inference.answers import TextAnswer
from maas.application.inference.metering import Meter, Metering
from maas.application.inference.routing import Route, Router
from maas.application.inference.several import SeveralAnswers
from maas.application.ports.text_generator import TextGenerator
from maas.domain.errors import OutOfRange
from maas.domain.inference.conversation import TextRequest
from maas.domain.usage import UsageKind

MOST_ANSWERS = 16


@dataclass(frozen=True, kw_only=True)
class TextAsking:
    """Begins answers."""

    router: Router
    generator: TextGenerator
    metering: Metering

    def ask(self, actor: Actor, route: Route, request: TextRequest, kind: UsageKind) -> TextAnswer:
        """Return an answer that is about to be written; nothing has been asked of an engine yet."""
        route = self.router.ready(route)
        return self._answer(route, request, self.metering.begin(actor, route.deployment, kind), part=0)

    def ask_several(
        self, actor: Actor, route: Route, requests: Sequence[TextRequest], kind: UsageKind, *, repeats: Collection[int] = ()
    ) -> SeveralAnswers:
        """Return answers that are about to be written at once, and count as one call; the prompts of `repeats` cost nothing."""
        if len(requests) > MOST_ANSWERS:
            raise OutOfRange("at most {most} answers to one call", field="n", most=MOST_ANSWERS)
        route = self.router.ready(route)
        meter = self.metering.begin(actor, route.deployment, kind, parts=len(requests), repeats=repeats)
        return SeveralAnswers(
            [self._answer(route, request, meter, part=part) for part, request in enumerate(requests)], meter=meter
        )

    def _answer(self, route: Route, request: TextRequest, meter: Meter, *, part: int) -> TextAnswer:
        return TextAnswer(route=route, request=request, router=self.router, generator=self.generator, meter=meter, part=part)
