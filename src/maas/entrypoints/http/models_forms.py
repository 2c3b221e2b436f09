"""What comes in and goes out of the routes of models."""

from typing import Any

from marshmallow import fields, post_load, validate

from maas.application.ports.repositories.catalog import MODEL_SORTS
from maas.domain.catalog.facts import CATEGORIES, ModelFormat, ModelType, Task
from maas.domain.catalog.model import FIRST_VERSION, VersionStatus
from maas.domain.catalog.source import DEFAULT_REVISION, Source, SourceType
from maas.domain.visibility import Visibility
from maas.entrypoints.http.fields import Choice, Identifier, Integer, Number, Text, Timestamp
from maas.entrypoints.http.multipart import FormSpec
from maas.entrypoints.http.paging import ListQuery
from maas.entrypoints.http.schemas import StrictSchema

_CATEGORIES = "A pipeline tag of Hugging Face. " + "; ".join(
    f"`{kind.value}`: {', '.join(sorted(tags))}" for kind, tags in CATEGORIES.items()
)


class SourceSchema(StrictSchema):
    """Where a version is imported from."""

    type = Choice(SourceType, required=True)
    path = Text(metadata={"description": "A folder below one that the operator lists (`MAAS_IMPORT_FOLDERS`)."})
    repository = Text(metadata={"description": "A repository of the model hub, as `owner/name`."})
    revision = Text(metadata={"description": f"A branch, tag or commit; `{DEFAULT_REVISION}` by default."})

    @post_load
    def _make_source(self, data: dict[str, Any], **_kwargs: object) -> Source:
        return Source(**data)


class ImportedFrom(StrictSchema):
    """Where a version was imported from; a folder's path is not told."""

    type = Text(validate=validate.OneOf([kind.value for kind in SourceType]))
    repository = Text(allow_none=True)
    revision = Text(allow_none=True)
    commit = Text(allow_none=True, metadata={"description": "The commit that was imported."})

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj.get(attr)


class ModelQuery(ListQuery):
    """The list of models."""

    sorts = MODEL_SORTS
    type = Choice(ModelType)
    category = Text()
    visibility = Choice(Visibility)
    status = Choice(VersionStatus, metadata={"description": "Models that have a version of this status."})
    owner_id = Identifier()


class VersionQuery(ListQuery):
    """The list of a model's versions. Their name is their number."""

    sorts = (*ListQuery.sorts, "version")
    status = Choice(VersionStatus)

    @post_load
    def _make_page_request(self, data: dict[str, Any], **_kwargs: object) -> dict[str, Any]:
        by_name = data["sort"] == "name"
        made: dict[str, Any] = super()._make_page_request({**data, "sort": "version"} if by_name else data)
        return made


class ModelUpload(StrictSchema):
    """A new model with its first version."""

    name = Text(required=True)
    description = Text()
    type = Choice(ModelType, required=True, metadata={"description": "Must agree with what the files say."})
    category = Text(metadata={"description": _CATEGORIES})
    visibility = Choice(Visibility, metadata={"default": Visibility.PRIVATE.value})
    license = Text()
    tags = fields.List(Text())
    version = Text(metadata={"default": FIRST_VERSION})
    source = fields.Nested(SourceSchema(), metadata={"description": "In place of files: where a worker fetches them."})


class VersionUpload(StrictSchema):
    """Another version of a model."""

    version = Text(required=True)
    description = Text()
    source = fields.Nested(SourceSchema(), metadata={"description": "In place of files: where a worker fetches them."})


_FILES = {
    "model_file": "The weights (`model.safetensors`), or one archive (.zip, .tar, .tar.gz) of all files in Hugging Face's layout.",
    "config_file": "`config.json`.",
    "files": "Further files, such as `tokenizer.json`, each under its own name.",
}
_UPLOADED: dict[str, Any] = {
    "files": _FILES,
    "repeated": frozenset({"files"}),
    "takes_json": True,
}
MODEL_FORM = FormSpec(schema=ModelUpload(), json_fields=frozenset({"tags", "source"}), **_UPLOADED)
VERSION_FORM = FormSpec(schema=VersionUpload(), json_fields=frozenset({"source"}), **_UPLOADED)


class UsageExample(StrictSchema):
    """What a model answers to what."""

    task = Text(required=True, validate=validate.Length(1, 64))
    input = Text(required=True)
    output = Text(required=True)


class ModelChange(StrictSchema):
    """What may be changed of a model; null clears."""

    name = Text()
    description = Text(allow_none=True)
    category = Text()
    visibility = Choice(Visibility)
    license = Text(allow_none=True)
    tags = fields.List(Text(), allow_none=True)
    usage_examples = fields.List(fields.Nested(UsageExample()), allow_none=True)


class OwnerSchema(StrictSchema):
    """The owner of a thing, as everybody may know them."""

    id = Identifier()
    username = Text()
    organization = Text(allow_none=True)


class HardwareSchema(StrictSchema):
    """What it takes to serve the model."""

    min_gpu_memory = Text()
    recommended_gpu = Text()
    cpu_cores = Integer()
    ram = Text()


class ModelMetadata(StrictSchema):
    """What the files of the newest ready version say; null where there is none, or they do not say."""

    parameters_count = Integer(allow_none=True)
    model_format = Text(allow_none=True, validate=validate.OneOf([kind.value for kind in ModelFormat]))
    supported_tasks = fields.List(Text(validate=validate.OneOf([task.value for task in Task])))
    hardware_requirements = fields.Nested(HardwareSchema(), allow_none=True)
    weight_bytes = Integer(allow_none=True)
    dtypes = fields.List(Text())
    architecture = Text(allow_none=True)
    architecture_family = Text(allow_none=True)
    context_length = Integer(allow_none=True)
    has_tokenizer = fields.Boolean(allow_none=True)
    has_chat_template = fields.Boolean(allow_none=True)
    base_model = Text(allow_none=True, metadata={"description": "What an adapter's config names as its base."})

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj.get(attr, [] if attr in ("supported_tasks", "dtypes") else None)


class FileSchema(StrictSchema):
    """A file of a version."""

    name = Text()
    size = Integer()
    sha256 = Text()


class VersionItem(StrictSchema):
    """A version of a model."""

    version = Text()
    description = Text(allow_none=True)
    status = Choice(VersionStatus)
    reason = Text(allow_none=True, metadata={"description": "Why the version failed."})
    percentage = Number(allow_none=True, metadata={"description": "How much of an import has arrived."})
    file_size = Integer(metadata={"description": "Bytes of what was uploaded."})
    created_at = Timestamp()
    updated_at = Timestamp()


class VersionDetail(VersionItem):
    """A version with its files and what they say."""

    model_id = Identifier()
    sha256 = Text(allow_none=True, metadata={"description": "Of the download; null until it is known."})
    files = fields.List(fields.Nested(FileSchema()))
    metadata = fields.Nested(ModelMetadata())
    source = fields.Nested(ImportedFrom(), allow_none=True)


class LineageSchema(StrictSchema):
    """What a fine-tuned model was made from."""

    base_model_id = Identifier(allow_none=True)
    dataset_id = Identifier(allow_none=True)
    job_id = Identifier(allow_none=True)


class ModelItem(StrictSchema):
    """A model in the list."""

    id = Identifier(attribute="model.id")
    name = Text(attribute="model.name")
    description = Text(attribute="model.description", allow_none=True)
    type = Choice(ModelType, attribute="model.type")
    category = Text(attribute="model.category")
    owner = fields.Nested(OwnerSchema())
    visibility = Choice(Visibility, attribute="model.visibility")
    license = Text(attribute="model.license", allow_none=True)
    tags = fields.List(Text(), attribute="model.tags")
    latest_version = Text(allow_none=True, metadata={"description": "The newest version that is ready."})
    status = Choice(
        VersionStatus, allow_none=True, metadata={"description": "Ready where any version is, else the newest one's."}
    )
    reason = Text(allow_none=True)
    download_count = Integer(attribute="model.download_count")
    like_count = Integer(attribute="model.like_count")
    created_at = Timestamp(attribute="model.created_at")
    updated_at = Timestamp(attribute="model.updated_at")


class ModelDetail(ModelItem):
    """A model with what its files say, and its versions."""

    metadata = fields.Nested(ModelMetadata())
    versions = fields.List(fields.Nested(VersionItem()))
    usage_examples = fields.List(fields.Nested(UsageExample()), attribute="model.usage_examples")
    lineage = fields.Nested(LineageSchema(), attribute="model.lineage", allow_none=True)
