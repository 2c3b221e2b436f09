"""What every model inspector keeps to, and what ours finds in files."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from maas.adapters.model_inspector.files import FileModelInspector
from maas.adapters.model_inspector.memory import MemoryModelInspector
from maas.application.ports.model_inspector import ModelInspector
from maas.domain.catalog.facts import HardwareRequirements, ModelFacts, ModelFormat, ModelType, Task
from maas.domain.errors import MaasError, MissingValue, UnsupportedFile
from tests.unit.catalog.model_files import (
    ADAPTER,
    BERT,
    PICKLE,
    llama_files,
    safetensors_bytes,
    write_files,
)

FACTS = ModelFacts(model_format=ModelFormat.TRANSFORMERS, parameters_count=80, weight_bytes=160)


@pytest.mark.parametrize(
    "inspector", [FileModelInspector(), MemoryModelInspector(FACTS, needed=["config.json", "model.safetensors"])]
)
def test_every_inspector_counts_and_misses(inspector: ModelInspector, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    facts = inspector.inspect(write_files(tmp_path / "whole", llama_files()))

    assert (facts.parameters_count, facts.weight_bytes) == (80, 160)
    with pytest.raises(MissingValue):
        inspector.inspect(tmp_path / "empty")


def _inspect(folder: Path, files: dict[str, bytes]) -> ModelFacts:
    return FileModelInspector().inspect(write_files(folder, files))


def test_a_chat_model_is_told_by_its_files(tmp_path: Path) -> None:
    facts = _inspect(tmp_path, llama_files())

    assert facts.suggested_type is ModelType.LLM
    assert facts.supported_tasks == (Task.TEXT_GENERATION, Task.CHAT)
    assert (facts.architecture, facts.architecture_family) == ("LlamaForCausalLM", "llama")
    assert (facts.context_length, facts.dtypes) == (2048, ("F16",))


def test_without_a_tokenizer_there_are_no_tasks(tmp_path: Path) -> None:
    files = {name: content for name, content in llama_files().items() if "tokenizer" not in name}

    assert _inspect(tmp_path, files).supported_tasks == ()


def test_without_a_template_there_is_no_chat(tmp_path: Path) -> None:
    files = {**llama_files(), "tokenizer_config.json": b"{}"}

    assert _inspect(tmp_path, files).supported_tasks == (Task.TEXT_GENERATION,)


def test_an_encoder_embeds(tmp_path: Path) -> None:
    files = {**llama_files(), "config.json": json.dumps(BERT).encode()}

    facts = _inspect(tmp_path, files)

    assert facts.suggested_type is ModelType.EMBEDDING
    assert facts.supported_tasks == (Task.FEATURE_EXTRACTION,)


def test_a_decoder_with_pooling_embeds(tmp_path: Path) -> None:
    modules = [{"type": "sentence_transformers.models.Transformer"}, {"type": "sentence_transformers.models.Pooling"}]

    assert (
        _inspect(tmp_path, {**llama_files(), "modules.json": json.dumps(modules).encode()}).suggested_type is ModelType.EMBEDDING
    )


def test_an_adapter_names_its_base(tmp_path: Path) -> None:
    files = {"adapter_config.json": json.dumps(ADAPTER).encode(), "adapter_model.safetensors": safetensors_bytes()}

    facts = _inspect(tmp_path, files)

    assert (facts.model_format, facts.base_model) == (ModelFormat.PEFT, "org/base")
    assert facts.suggested_type is ModelType.LLM


def test_shards_are_summed(tmp_path: Path) -> None:
    files = {**llama_files(), "a.safetensors": safetensors_bytes({"x": [3]}), "b.safetensors": safetensors_bytes({"y": [4]})}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}).encode()

    assert _inspect(tmp_path, files).parameters_count == 7


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    files = {**llama_files(), "model.safetensors.index.json": json.dumps({"weight_map": {"x": "a.safetensors"}}).encode()}

    with pytest.raises(MissingValue, match=r"a\.safetensors"):
        _inspect(tmp_path, files)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "x.pt", "weights.CKPT", "innocent.txt", "README"])
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsupportedFile, match="safetensors"):
        _inspect(tmp_path, {**llama_files(), f"sub/{name}": PICKLE})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling_x.Model"}}),
        ("config.json", {"nested": [{"auto_map": {"a": "b"}}]}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["x.Y", None]}}),
        ("generation_config.json", {"trust_remote_code": True}),
    ],
)
def test_a_config_that_asks_for_code_is_refused(tmp_path: Path, name: str, content: dict[str, Any]) -> None:
    files = llama_files(**content) if name == "config.json" else {**llama_files(), name: json.dumps(content).encode()}

    with pytest.raises(UnsupportedFile, match="code of its own"):
        _inspect(tmp_path, files)


def test_modules_of_ones_own_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedFile, match="code of its own"):
        _inspect(tmp_path, {**llama_files(), "modules.json": b'[{"type": "evil.Module"}]'})


def test_an_adapter_that_imports_a_library_is_refused(tmp_path: Path) -> None:
    config = {**ADAPTER, "auto_mapping": {"base_model_class": "X", "parent_library": "evil"}}
    files = {"adapter_config.json": json.dumps(config).encode(), "adapter_model.safetensors": safetensors_bytes()}

    with pytest.raises(UnsupportedFile, match="code of its own"):
        _inspect(tmp_path, files)


def _header(entries: object, tail: bytes = b"") -> bytes:
    encoded = json.dumps(entries).encode()
    return struct.pack("<Q", len(encoded)) + encoded + tail


GOOD = safetensors_bytes()


@pytest.mark.parametrize(
    "weights",
    [
        b"",
        b"1234567",
        GOOD[:-1],
        GOOD + b"x",
        GOOD[:20],
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 5) + b"[1,2]",
        struct.pack("<Q", 6) + b"{}....",
        safetensors_bytes(dtype="F99"),
        _header({"x": {"dtype": "F16", "shape": [2], "data_offsets": [0, 3]}}, b"123"),
        _header({"x": {"dtype": "F16", "shape": [-2], "data_offsets": [0, 4]}}, b"1234"),
        _header({"x": {"dtype": "F16", "shape": [True], "data_offsets": [0, 2]}}, b"12"),
        _header({"x": {"dtype": "F16", "shape": "2", "data_offsets": [0, 4]}}, b"1234"),
        _header({"x": 5}),
        _header(
            {
                "x": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                "y": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
            },
            b"1234",
        ),
        _header({"__metadata__": {}}),
    ],
)
def test_damaged_weights_are_found(tmp_path: Path, weights: bytes) -> None:
    with pytest.raises(UnsupportedFile):
        _inspect(tmp_path, {**llama_files(), "model.safetensors": weights})


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"{"),
        ("config.json", b"[]"),
        ("config.json", b"{}"),
        ("config.json", b"[" * 100_000),
        ("config.json", b'{"model_type": "llama", "dtype": "float3"}'),
        ("config.json", b'{"model_type": "llama", "torch_dtype": ["float16"]}'),
        ("config.json", b"\xff\xfe{}"),
        ("tokenizer.json", b'{"a": 1}'),
        ("tokenizer.json", b'{"model": [' + b"[]," * 4_000_000 + b"0]}"),
        ("tokenizer_config.json", b"null"),
        ("modules.json", b"{}"),
        ("model.safetensors.index.json", b'{"weight_map": {"x": "../../etc/passwd.safetensors"}}'),
    ],
    ids=range(12),
)
def test_a_damaged_or_outsized_config_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(MaasError):
        _inspect(tmp_path, {**llama_files(), name: content})


def test_hardware_needs_are_those_of_the_documents_example() -> None:
    needs = HardwareRequirements.for_weights(12_400_000_000)

    assert needs == HardwareRequirements(min_gpu_memory="14GB", recommended_gpu="V100, A100", cpu_cores=8, ram="32GB")


def test_names_that_no_database_holds_are_made_plain(tmp_path: Path) -> None:
    facts = _inspect(tmp_path, llama_files(model_type="lla\0ma", architectures=["\0ForCausalLM"]))

    assert (facts.architecture_family, facts.architecture) == ("lla\ufffdma", "\ufffdForCausalLM")


def test_facts_are_plain_json() -> None:
    assert json.loads(json.dumps(FACTS.to_json()))["hardware_requirements"]["ram"] == "2GB"
