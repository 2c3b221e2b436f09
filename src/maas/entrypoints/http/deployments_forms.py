"""What comes in and goes out of the routes of deployments."""

from typing import Any

from marshmallow import fields, validate

from maas.application.ports.repositories.serving import LOG_PAGE
from maas.application.serving.deployments import DeploymentMetrics, DeploymentState, ReplicaMetrics
from maas.domain.serving.autoscaling import MOST_REPLICAS
from maas.domain.serving.deployment import DeploymentStatus
from maas.domain.serving.log import LineLevel
from maas.domain.usage import Durations
from maas.entrypoints.http.fields import Boolean, Choice, Identifier, Integer, Number, QueryInteger, Text, Timestamp
from maas.entrypoints.http.inference_forms import ParametersForm
from maas.entrypoints.http.paging import LAST_PAGE, ListQuery
from maas.entrypoints.http.schemas import StrictSchema


def _said(text: str) -> dict[str, Any]:
    return {"allow_none": True, "metadata": {"description": text}}


class DeploymentQuery(ListQuery):
    """The list of deployments."""

    status = Choice(DeploymentStatus)
    model_id = Identifier()


class LogQuery(StrictSchema):
    """Which lines of a log."""

    page = QueryInteger(load_default=1, data_key="page", attribute="number", validate=validate.Range(1, LAST_PAGE))
    limit = QueryInteger(load_default=LOG_PAGE, validate=validate.Range(1, LOG_PAGE))
    level = Choice(LineLevel)


class Hardware(StrictSchema):
    """What each replica asks for; what is not given, or null, is left to the platform."""

    gpu_type = Text(validate=validate.Length(1, 100), **_said("Part of the GPU's name."))
    gpu_count = Integer(**_said("0 keeps the engine on the CPU."))
    cpu_cores = Integer(**_said("Threads of the engine; CPU utilization counts by them."))
    memory = Text(**_said('Written like "2GB" or "512MiB".'))


class Scaling(StrictSchema):
    """How many replicas there are, by how busy they are: `ceil(replicas x utilization / target)`."""

    enabled = Boolean(**_said("false by default."))
    min_replicas = Integer(**_said(f"1 to {MOST_REPLICAS}."))
    max_replicas = Integer(**_said(f"`min_replicas` to {MOST_REPLICAS}."))
    target_cpu_utilization = Integer(**_said("1 to 100, percent of `cpu_cores`; on a GPU, of busy slots. By default 70."))


class InferenceConfig(ParametersForm):
    """The defaults of a request's `parameters`."""


class DeploymentConfig(StrictSchema):
    """How a deployment runs."""

    replicas = Integer(
        metadata={"description": f"1 to {MOST_REPLICAS}; where autoscaling is on, what to begin with.", "default": 1}
    )
    hardware_spec = fields.Nested(Hardware(), allow_none=True)
    auto_scaling = fields.Nested(Scaling(), allow_none=True)
    inference_config = fields.Nested(InferenceConfig(), allow_none=True)


class DeploymentForm(StrictSchema):
    """A new deployment."""

    name = Text(required=True)
    description = Text(allow_none=True)
    model_id = Identifier(required=True)
    model_version = Text(allow_none=True, metadata={"description": "By default the newest ready one."})
    config = fields.Nested(DeploymentConfig())


class DeploymentChange(StrictSchema):
    """The fields of a deployment that change, also within `config`; null clears."""

    name = Text()
    description = Text(allow_none=True)
    model_version = Text(metadata={"description": "Is rolled out: what runs answers until the new replicas do."})
    config = fields.Nested(DeploymentConfig())


class DeploymentDetail(StrictSchema):
    """A deployment."""

    id = Identifier()
    name = Text()
    description = Text()
    owner_id = Identifier()
    model_id = Identifier()
    model_version = Text()
    task = Text(metadata={"description": "text-generation, feature-extraction or text-ranking"})
    can_chat = Boolean()
    context_length = Integer(metadata={"description": "In tokens, of prompt and answer together."})
    config = fields.Nested(DeploymentConfig())
    status = Choice(DeploymentStatus)
    reason = Text(metadata={"description": "Why it failed, or what is not as it should be."})
    desired_replicas = Integer(metadata={"description": "How many replicas there should be now."})
    run = Integer(metadata={"description": "Counts the starts, from 1."})
    created_at = Timestamp()
    updated_at = Timestamp()

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj if attr == "config" else super().get_attribute(obj, attr, default)


class ReplicaStatus(StrictSchema):
    """A replica of a deployment."""

    id = Identifier()
    status = Choice(DeploymentStatus)
    reason = Text()
    started_at = Timestamp()


class DeploymentStatusDetail(StrictSchema):
    """Where a deployment and its replicas stand."""

    status = Choice(DeploymentStatus)
    reason = Text()
    replicas = fields.List(fields.Nested(ReplicaStatus()))
    desired_replicas = Integer()

    def get_attribute(self, obj: DeploymentState, attr: str, default: Any) -> Any:
        return obj.replicas if attr == "replicas" else getattr(obj.deployment, attr)


class LogLine(StrictSchema):
    """A line of a deployment's log; `replica_id` is null where it tells of the deployment itself."""

    level = Choice(LineLevel)
    message = Text()
    replica_id = Identifier()
    at = Timestamp()


class Latency(StrictSchema):
    """Within how many milliseconds so many percent were answered; null where nothing was."""

    p50 = Number()
    p95 = Number()
    p99 = Number()

    def get_attribute(self, obj: Durations, attr: str, default: Any) -> Any:
        seconds = obj.quantile(int(attr[1:]) / 100)
        return None if seconds is None else round(seconds * 1000, 3)


class Answered(StrictSchema):
    """What was answered since the deployment was made."""

    calls = Integer()
    failed_calls = Integer()
    prompt_tokens = Integer()
    completion_tokens = Integer()
    latency_ms = fields.Nested(Latency(), attribute="latencies")
    first_token_ms = fields.Nested(Latency(), attribute="first_tokens")
    tokens_per_second = Number(metadata={"description": "Of a single answer, on average; null where nothing was written."})


class ReplicaAnswered(Answered):
    """What a replica that is there now has answered."""

    id = Identifier()
    status = Choice(DeploymentStatus)

    def get_attribute(self, obj: ReplicaMetrics, attr: str, default: Any) -> Any:
        return getattr(obj.replica if attr in ("id", "status") else obj.served, attr)


class DeploymentMetricsDetail(Answered):
    """What a deployment has answered, by all replicas that it ever had, and by each that it has now."""

    replicas = fields.List(fields.Nested(ReplicaAnswered()))

    def get_attribute(self, obj: DeploymentMetrics, attr: str, default: Any) -> Any:
        return obj.replicas if attr == "replicas" else getattr(obj.total, attr)
