"""The Chinese sentences of the API, by the English templates they translate; one module a capability."""

from collections.abc import Mapping

from maas.entrypoints.http.messages_zh.datasets import DATASETS
from maas.entrypoints.http.messages_zh.deployments import DEPLOYMENTS
from maas.entrypoints.http.messages_zh.files import FILES
from maas.entrypoints.http.messages_zh.forms import FORMS
from maas.entrypoints.http.messages_zh.identity import IDENTITY
from maas.entrypoints.http.messages_zh.inference import INFERENCE
from maas.entrypoints.http.messages_zh.models import MODELS
from maas.entrypoints.http.messages_zh.training import TRAINING
from maas.entrypoints.http.messages_zh.usage import USAGE
from maas.entrypoints.http.messages_zh.wire import WIRE

MESSAGES_ZH: Mapping[str, str] = {
    **WIRE,
    **FORMS,
    **IDENTITY,
    **FILES,
    **MODELS,
    **DATASETS,
    **TRAINING,
    **INFERENCE,
    **DEPLOYMENTS,
    **USAGE,
}
