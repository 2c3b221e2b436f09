"""What ends a run for a reason that its owner can act on."""


class TrainingImpossible(Exception):
    """The run cannot go on; `field` names the part of the request at fault, `reason` is a sentence for its owner."""

    def __init__(self, reason: str, *, field: str, code: str = "FINETUNE_001") -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field
        self.code = code


class Cancelled(Exception):
    """The parent asked to stop; the run has saved where it stood after `step` steps."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step
