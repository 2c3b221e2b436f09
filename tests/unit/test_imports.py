"""What processes must not load: models are touched in children alone."""

import subprocess
import sys

import pytest

_FORBIDDEN = "torch transformers peft accelerate safetensors faiss datasets sentence_transformers"
_PROBE = "import sys; import {module}; print(*(name for name in {forbidden!r}.split() if name in sys.modules))"


@pytest.mark.parametrize("module", ["maas.entrypoints.api.assembly", "maas.entrypoints.worker.loop", "maas.entrypoints.cli.app"])
def test_no_process_of_the_platform_imports_models_libraries(module: str) -> None:
    probe = _PROBE.format(module=module, forbidden=_FORBIDDEN)

    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()

    assert loaded == []


def test_the_command_line_imports_neither_web_framework_nor_database() -> None:
    probe = _PROBE.format(
        module="maas.entrypoints.cli.app", forbidden="flask sqlalchemy alembic marshmallow huggingface_hub httpx2"
    )

    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout.split()

    assert loaded == []
