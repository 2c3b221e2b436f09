"""Reads the files of a model in Hugging Face's layout: configs, headers of weights, tokenizers."""

from pathlib import Path
from typing import Any

from maas.adapters.model_inspector.json_file import LARGEST_TOKENIZER, read_json, read_object, refuse_remote_code
from maas.adapters.model_inspector.pickles import refuse_pickles
from maas.adapters.model_inspector.safetensors import Tensor, read_tensors
from maas.adapters.model_inspector.tasks import (
    architecture_of,
    context_length_of,
    tasks_of,
    type_of,
    type_of_adapter,
)
from maas.application.ports.model_inspector import ModelInspector
from maas.domain.catalog.facts import ModelFacts, ModelFormat
from maas.domain.errors import MissingValue, UnsupportedFile

_CONFIG, _ADAPTER_CONFIG = "config.json", "adapter_config.json"
_WEIGHTS, _ADAPTER_WEIGHTS = "model.safetensors", "adapter_model.safetensors"
_INDEX = "model.safetensors.index.json"
_TOKENIZER = "tokenizer.json"
_OTHER_TOKENIZERS = (
    ("tokenizer.model",),
    ("vocab.txt",),
    ("vocab.json", "merges.txt"),
    ("spiece.model",),
    ("sentencepiece.bpe.model",),
)
_CONFIGS = (
    _CONFIG,
    _ADAPTER_CONFIG,
    "tokenizer_config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
)
_DTYPES = frozenset({"float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "uint8", "auto"})
_POOLING_MODULES = "sentence_transformers."
_LONGEST_TEXT = 300


class FileModelInspector(ModelInspector):
    """Looks at headers and configs alone, so that a model of any size takes milliseconds."""

    def inspect(self, folder: Path) -> ModelFacts:
        refuse_pickles(folder)
        for name in _CONFIGS:
            if (folder / name).is_file():
                refuse_remote_code(read_object(folder / name), folder / name)
        if (folder / _ADAPTER_CONFIG).is_file() and not (folder / _WEIGHTS).is_file():
            return _adapter_facts(folder)
        if not (folder / _CONFIG).is_file():
            raise MissingValue("a model needs its config.json", field="config_file")
        return _model_facts(folder)


def _model_facts(folder: Path) -> ModelFacts:
    config = read_object(folder / _CONFIG)
    if not isinstance(config.get("model_type"), str):
        raise UnsupportedFile("{name} does not say its model_type", field=_CONFIG, name=_CONFIG)
    _check_dtype(config)
    tensors = [tensor for path in _weight_files(folder) for tensor in read_tensors(path)]
    kind = type_of(config, pools=_pools(folder))
    architecture = architecture_of(config)
    has_tokenizer, has_template = _has_tokenizer(folder), _has_chat_template(folder)
    return ModelFacts(
        model_format=ModelFormat.TRANSFORMERS,
        **_weighed(tensors),
        architecture=_short(architecture),
        architecture_family=_short(config["model_type"]),
        context_length=context_length_of(config),
        suggested_type=kind,
        supported_tasks=tasks_of(
            kind, architecture=architecture or "", has_tokenizer=has_tokenizer, has_chat_template=has_template
        ),
        has_tokenizer=has_tokenizer,
        has_chat_template=has_template,
    )


def _adapter_facts(folder: Path) -> ModelFacts:
    path = folder / _ADAPTER_CONFIG
    config = read_object(path)
    _check_adapter(config, path)
    if not (folder / _ADAPTER_WEIGHTS).is_file():
        raise MissingValue("an adapter needs its adapter_model.safetensors", field="model_file")
    kind = type_of_adapter(config)
    has_template = _has_chat_template(folder)
    base = config.get("base_model_name_or_path")
    return ModelFacts(
        model_format=ModelFormat.PEFT,
        **_weighed(read_tensors(folder / _ADAPTER_WEIGHTS)),
        architecture=_short(config["peft_type"]),
        suggested_type=kind,
        # The base brings the tokenizer.
        supported_tasks=tasks_of(kind, architecture="", has_tokenizer=True, has_chat_template=has_template),
        has_tokenizer=_has_tokenizer(folder),
        has_chat_template=has_template,
        base_model=_short(base) if isinstance(base, str) else None,
    )


def _check_adapter(config: dict[str, Any], path: Path) -> None:
    if not isinstance(config.get("peft_type"), str):
        raise UnsupportedFile("{name} does not say its peft_type", field=path.name, name=path.name)
    mapping = config.get("auto_mapping")
    library = mapping.get("parent_library") if isinstance(mapping, dict) else None
    if mapping and not (isinstance(library, str) and library.startswith("transformers.")):
        raise UnsupportedFile(
            "{name} asks for code of its own, which is never run here; use a model that transformers knows",
            field=path.name,
            name=path.name,
        )


def _check_dtype(config: dict[str, Any]) -> None:
    for field in ("dtype", "torch_dtype"):
        value = config.get(field)
        if value is not None and (not isinstance(value, str) or value.removeprefix("torch.") not in _DTYPES):
            raise UnsupportedFile(
                "{name} holds numbers of a kind that is not known: {dtype}",
                field=_CONFIG,
                name=_CONFIG,
                dtype=str(value)[:30],
            )


def _weight_files(folder: Path) -> list[Path]:
    """Return the files that the weights are read from: those of the index, the usual name, or the only one there is."""
    if (folder / _INDEX).is_file():
        return _indexed_files(folder)
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    raise MissingValue("a model needs its weights as {name}", field="model_file", name=_WEIGHTS)


def _indexed_files(folder: Path) -> list[Path]:
    shards = read_object(folder / _INDEX, largest=LARGEST_TOKENIZER).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise UnsupportedFile("{name} does not say which file holds which weights", field=_INDEX, name=_INDEX)
    names = sorted(set(shards.values()))
    for name in names:
        if "/" in name or not name.endswith(".safetensors") or not (folder / name).is_file():
            raise MissingValue("{index} names {name}, which is not there", field="model_file", index=_INDEX, name=name[:100])
    return [folder / name for name in names]


def _weighed(tensors: list[Tensor]) -> dict[str, Any]:
    if not tensors:
        raise UnsupportedFile("the weights hold no tensors", field="model_file")
    return {
        "parameters_count": sum(tensor.count for tensor in tensors),
        "weight_bytes": sum(tensor.end - tensor.begin for tensor in tensors),
        "dtypes": tuple(sorted({tensor.dtype for tensor in tensors})),
    }


def _pools(folder: Path) -> bool:
    """Tell whether the files say how an embedding is pooled, in the layout of sentence-transformers."""
    path = folder / "modules.json"
    if not path.is_file():
        return False
    modules = read_json(path)
    kinds = [module.get("type") if isinstance(module, dict) else None for module in modules] if isinstance(modules, list) else []
    if not kinds or not all(isinstance(kind, str) and kind.startswith(_POOLING_MODULES) for kind in kinds):
        raise UnsupportedFile(
            "{name} asks for code of its own, which is never run here; use a model that transformers knows",
            field=path.name,
            name=path.name,
        )
    return True


def _has_tokenizer(folder: Path) -> bool:
    path = folder / _TOKENIZER
    if path.is_file():
        if "model" not in read_object(path, largest=LARGEST_TOKENIZER):
            raise UnsupportedFile("{name} is not a tokenizer", field=_TOKENIZER, name=_TOKENIZER)
        return True
    return any(all((folder / name).is_file() for name in names) for names in _OTHER_TOKENIZERS)


def _has_chat_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file() or (folder / "chat_template.json").is_file():
        return True
    path = folder / "tokenizer_config.json"
    return path.is_file() and bool(read_object(path).get("chat_template"))


def _short(text: str | None) -> str | None:
    """Return the beginning of a text, as every database can hold it."""
    return None if text is None else text[:_LONGEST_TEXT].replace("\0", "\ufffd")
