"""How wrong a model is: next-token loss, and the preference loss of DPO."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch.nn import functional

from maas.programs.trainer.batching import Batch


class Loss(Protocol):
    """Sums a batch's loss. `weight` says by how much a batch counts in a step's mean: tokens, or pairs."""

    def weight(self, batch: Batch) -> int: ...

    def __call__(self, batch: Batch) -> torch.Tensor: ...


def picked_logits(model: Any, batch: Batch, device: torch.device) -> torch.Tensor:
    """Return the logits at the batch's picked positions alone, as fp32 of [picked, vocabulary]."""
    inputs: dict[str, Any] = {"input_ids": batch.input_ids.to(device, non_blocking=True), "use_cache": False}
    picked = batch.picked.to(device, non_blocking=True)
    if batch.position_ids is not None:
        inputs |= {"position_ids": batch.position_ids.to(device, non_blocking=True), "logits_to_keep": picked}
        return model(**inputs).logits[0].float()  # type: ignore[no-any-return]
    inputs["attention_mask"] = None if batch.attention_mask is None else batch.attention_mask.to(device)
    return model(**inputs).logits.flatten(0, 1)[picked].float()  # type: ignore[no-any-return]


class NextTokenLoss:
    """The negative log-likelihood of the learned tokens, summed."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self._device = device

    def weight(self, batch: Batch) -> int:
        return len(batch.targets)

    def __call__(self, batch: Batch) -> torch.Tensor:
        logits = picked_logits(self._model, batch, self._device)
        return functional.cross_entropy(logits, batch.targets.to(self._device), reduction="sum")


class PreferenceLoss:
    """DPO's sigmoid loss (Rafailov et al. 2023, eq. 7), summed over pairs; sequences come as chosen, rejected, chosen, …"""

    def __init__(
        self,
        model: Any,
        device: torch.device,
        *,
        beta: float,
        reference: Any,
        as_reference: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._model = model
        self._device = device
        self._beta = beta
        self._reference = reference
        self._as_reference = as_reference

    def weight(self, batch: Batch) -> int:
        return batch.sequences // 2

    def __call__(self, batch: Batch) -> torch.Tensor:
        policy = self._log_likelihoods(self._model, batch)
        was_training = self._reference.training
        with torch.no_grad(), self._as_reference():
            self._reference.eval()
            reference = self._log_likelihoods(self._reference, batch)
        self._reference.train(was_training)
        gain = policy - reference
        return -functional.logsigmoid(self._beta * (gain[0::2] - gain[1::2])).sum()

    def _log_likelihoods(self, model: Any, batch: Batch) -> torch.Tensor:
        logits = picked_logits(model, batch, self._device)
        tokens = -functional.cross_entropy(logits, batch.targets.to(self._device), reduction="none")
        return torch.zeros(batch.sequences, device=self._device).index_add(0, batch.sequence_of.to(self._device), tokens)
