"""An answer while it is written: asked of one replica after another until one begins, and metered."""

from maas.application.cancellation import Cancellation
from maas.application.inference.failover import Failover
from maas.application.inference.metering import Meter
from maas.application.inference.routing import Route, Router
from maas.application.ports.text_generator import Deltas, TextGenerator
from maas.domain.errors import InferenceFailed
from maas.domain.identifiers import new_id
from maas.domain.inference.answers import WrittenText
from maas.domain.inference.conversation import ChatRequest, TextDelta, TextRequest, TokenLogprob


class TextAnswer:
    """A call that was checked, and is answered as its deltas are read. `cancel` ends it from another thread."""

    def __init__(
        self, *, route: Route, request: TextRequest, router: Router, generator: TextGenerator, meter: Meter, part: int = 0
    ) -> None:
        self.id = new_id()
        self.deployment = route.deployment
        self.request = request
        self._failover = Failover(router, route)
        self._generator = generator
        self._meter = meter
        self._part = part
        self._cancellation = Cancellation()

    def cancel(self) -> None:
        """Stop writing; the deltas end soon. Does not block."""
        self._cancellation.cancel()

    def deltas(self) -> Deltas:
        """Yield what comes new, and None after each second of silence; to be called once, and closed where nobody reads on."""
        try:
            yield from self._metered()
        except Exception as error:
            self._meter.fail(error)
            raise
        finally:
            self._meter.end(self._part, replica_id=self._failover.replica_id)

    def whole(self) -> WrittenText:
        """Read to the end."""
        texts: list[str] = []
        logprobs: list[TokenLogprob] = []
        last: TextDelta | None = None
        for delta in self.deltas():
            if delta is not None:
                last = delta
                texts.append(delta.text)
                logprobs += delta.logprobs
        if last is None or last.finish_reason is None:
            raise InferenceFailed("the call was given up")
        return WrittenText(
            id=self.id,
            deployment_id=self.deployment.id,
            model=self.deployment.name,
            is_chat=isinstance(self.request, ChatRequest),
            text="".join(texts),
            finish_reason=last.finish_reason,
            usage=last.usage,
            logprobs=tuple(logprobs) if self.request.parameters.logprobs else None,
        )

    def _metered(self) -> Deltas:
        for delta in self._attempted():
            if delta is not None:
                self._meter.count(delta.usage, self._part)
                if delta.finish_reason is not None:
                    # What was answered is counted before anybody can have read it.
                    self._meter.end(self._part, replica_id=self._failover.replica_id)
            yield delta

    def _attempted(self) -> Deltas:
        adapter = self.deployment.adapter
        for attempt in self._failover:
            with attempt as replica:
                deltas = self._generator.generate(
                    replica.address or "", self.request, adapter=adapter, cancellation=self._cancellation
                )
                try:
                    for delta in deltas:
                        if delta is not None:
                            attempt.has_begun = True
                        yield delta
                finally:
                    deltas.close()
