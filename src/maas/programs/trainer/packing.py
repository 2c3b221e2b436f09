"""Whether a model keeps packed sequences apart: tried out on the model itself, before anything is learned."""

import inspect
from typing import Any

import torch

from maas.programs.trainer.batching import Batch
from maas.programs.trainer.losses import picked_logits

_FIRST, _SECOND = 5, 7


@torch.no_grad()
def can_pack(model: Any, device: torch.device, vocabulary: int) -> bool:
    """Return whether a sequence packed behind another is read as if it stood alone.

    A model with a recurrent state, or with positions that do not begin again, would mix rows; such rows are padded instead.
    """
    accepted = inspect.signature(model.forward).parameters
    if not {"position_ids", "logits_to_keep"} <= set(accepted):
        return False
    was_training = model.training
    model.eval()
    first, other, second = (torch.arange(length) * step % vocabulary for length, step in ((_FIRST, 3), (_FIRST, 5), (_SECOND, 7)))
    try:
        behind_one = _logits_of_last(model, device, [first, second])
        behind_other = _logits_of_last(model, device, [other, second])
        alone = _logits_of_last(model, device, [second])
    except (TypeError, ValueError, RuntimeError):
        return False
    finally:
        model.train(was_training)
    spread = float(alone.std()) or 1.0
    exact = 1e-4 if behind_one.dtype == next(model.parameters()).dtype else 5e-2
    return (
        float((behind_one - behind_other).abs().max()) <= 1e-4 * spread
        and float((behind_one - alone).abs().max()) <= exact * spread
    )


def _logits_of_last(model: Any, device: torch.device, sequences: list[torch.Tensor]) -> torch.Tensor:
    lengths = tuple(len(one) for one in sequences)
    whole, last = sum(lengths), lengths[-1]
    batch = Batch(
        input_ids=torch.cat(sequences)[None],
        position_ids=torch.cat([torch.arange(length) for length in lengths])[None],
        attention_mask=None,
        picked=torch.arange(whole - last, whole),
        targets=torch.zeros(last, dtype=torch.long),
        sequence_of=torch.zeros(last, dtype=torch.long),
        sequences=len(sequences),
        tokens=whole,
        lengths=lengths,
    )
    return picked_logits(model, batch, device)
