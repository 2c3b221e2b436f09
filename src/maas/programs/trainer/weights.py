"""The weights that learn: fp32 masters, their optimiser, and the gradients of a whole step."""

from collections.abc import Iterator
from typing import Any

import torch

from maas.domain.finetuning.parameters import Hyperparameters


class LearnedWeights:
    """A model's trainable parameters. Where the model computes in bf16, each has an fp32 master that the optimiser changes."""

    def __init__(self, model: Any, hyperparameters: Hyperparameters) -> None:
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.names = [name for name, _ in named]
        self.parameters: list[torch.nn.Parameter] = [parameter for _, parameter in named]
        self.masters: list[torch.Tensor] = [
            parameter if parameter.dtype == torch.float32 else parameter.detach().float() for parameter in self.parameters
        ]
        self._max_norm = hyperparameters.max_grad_norm
        decayed = [master for master in self.masters if master.ndim >= 2]
        others = [master for master in self.masters if master.ndim < 2]
        groups = [
            {"params": decayed, "weight_decay": hyperparameters.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)

    @property
    def count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters)

    def gather(self) -> None:
        """Add the gradients of a backward pass to the step's."""
        for parameter, master in self._with_master():
            if parameter.grad is None:
                continue
            if master.grad is None:
                master.grad = parameter.grad.float()
            else:
                master.grad += parameter.grad
            parameter.grad = None

    def step(self, learning_rate: float) -> float:
        """Change the weights by the step's gradients; return the gradients' norm before it was bounded."""
        norm = torch.nn.utils.clip_grad_norm_(self.masters, self._max_norm)
        if not torch.isfinite(norm):
            self.forget()
            return float(norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.forget()
        self.publish()
        return float(norm)

    def forget(self) -> None:
        """Drop the gradients of a step that is done or will not be."""
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            parameter.grad = None
            master.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        """Let the model compute with the masters' values."""
        for parameter, master in self._with_master():
            parameter.copy_(master)

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """Return the weights by name, and the optimiser's state by `name|part`."""
        weights = {name: master.detach().contiguous() for name, master in zip(self.names, self.masters, strict=True)}
        optimizer = {
            f"{name}|{part}": value.contiguous()
            for name, master in zip(self.names, self.masters, strict=True)
            for part, value in self.optimizer.state.get(master, {}).items()
        }
        return weights, optimizer

    @torch.no_grad()
    def restore(self, weights: dict[str, torch.Tensor], optimizer: dict[str, torch.Tensor]) -> None:
        """Take back what `state` gave."""
        by_name = dict(zip(self.names, self.masters, strict=True))
        for name, master in by_name.items():
            master.copy_(weights[name])
        for key, value in optimizer.items():
            name, part = key.rsplit("|", 1)
            master = by_name[name]
            self.optimizer.state[master][part] = (
                value if part == "step" and master.device.type == "cpu" else value.to(master.device)
            )
        self.publish()

    def _with_master(self) -> Iterator[tuple[torch.nn.Parameter, torch.Tensor]]:
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            if parameter is not master:
                yield parameter, master
