"""What comes in and goes out of the routes of datasets."""

from marshmallow import fields

from maas.application.ports.repositories.datasets import DATASET_SORTS
from maas.domain.datasets.dataset import DatasetFormat, DatasetStatus
from maas.domain.datasets.rows import DatasetType
from maas.domain.visibility import Visibility
from maas.entrypoints.http.fields import Choice, Identifier, Integer, Number, Text, Timestamp
from maas.entrypoints.http.models_forms import OwnerSchema
from maas.entrypoints.http.multipart import FormSpec
from maas.entrypoints.http.paging import ListQuery
from maas.entrypoints.http.schemas import StrictSchema

_TYPES = (
    "`conversation`: rows with `messages`; `instruction`: prompt and completion, or Alpaca's fields; `text`: rows with `text`; "
    "`preference`: `prompt`, `chosen` and `rejected`."
)


class DatasetQuery(ListQuery):
    """The list of datasets."""

    sorts = DATASET_SORTS
    type = Choice(DatasetType)
    format = Choice(DatasetFormat)
    visibility = Choice(Visibility)
    status = Choice(DatasetStatus)


class DatasetUpload(StrictSchema):
    """A new dataset."""

    name = Text(required=True)
    description = Text()
    type = Choice(DatasetType, required=True, metadata={"description": _TYPES})
    format = Choice(DatasetFormat, required=True)
    visibility = Choice(Visibility, metadata={"default": Visibility.PRIVATE.value})
    tags = fields.List(Text())


DATASET_FORM = FormSpec(schema=DatasetUpload(), files={"file": "The rows."}, json_fields=frozenset({"tags"}))


class DatasetChange(StrictSchema):
    """What may be changed of a dataset; null clears."""

    name = Text()
    description = Text(allow_none=True)
    visibility = Choice(Visibility)
    tags = fields.List(Text(), allow_none=True)


class SpreadSchema(StrictSchema):
    """The least, the largest and the mean over all rows."""

    min = Integer()
    max = Integer()
    mean = Number()


class StatisticsSchema(StrictSchema):
    """How long rows are."""

    characters = fields.Nested(SpreadSchema())
    tokens = fields.Nested(SpreadSchema())


class DatasetItem(StrictSchema):
    """A dataset in the list."""

    id = Identifier(attribute="dataset.id")
    name = Text(attribute="dataset.name")
    description = Text(attribute="dataset.description", allow_none=True)
    type = Choice(DatasetType, attribute="dataset.type")
    format = Choice(DatasetFormat, attribute="dataset.format")
    owner = fields.Nested(OwnerSchema())
    visibility = Choice(Visibility, attribute="dataset.visibility")
    tags = fields.List(Text(), attribute="dataset.tags")
    status = Choice(DatasetStatus, attribute="dataset.status")
    rows = Integer(attribute="dataset.rows")
    tokens_estimate = Integer(attribute="dataset.tokens_estimate")
    file_name = Text(attribute="dataset.file_name")
    file_size = Integer(attribute="dataset.file_size")
    created_at = Timestamp(attribute="dataset.created_at")
    updated_at = Timestamp(attribute="dataset.updated_at")


class DatasetDetail(DatasetItem):
    """A dataset with what was seen of its rows."""

    sha256 = Text(attribute="dataset.sha256")
    columns = fields.List(Text(), attribute="dataset.columns")
    preview = fields.List(fields.Raw(), attribute="dataset.preview", metadata={"description": "The first rows, long texts cut."})
    statistics = fields.Nested(StatisticsSchema(), attribute="dataset.statistics")
