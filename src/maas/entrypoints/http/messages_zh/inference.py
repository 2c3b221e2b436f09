"""What is said of deployments and of answers by models."""

from collections.abc import Mapping

INFERENCE: Mapping[str, str] = {}
