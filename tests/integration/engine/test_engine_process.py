"""An engine's life: how it starts, fails, drains and ends; what it cannot reach."""

import json
import re
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.engine.engines import RunningEngine, running_engine, start_engine, wait_until
from tests.integration.engine.models import make_encoder, make_model

pytestmark = pytest.mark.integration
HELLO = {"messages": [{"role": "user", "content": "hi"}]}


def failure_of(folder: Path, **spec: Any) -> str:
    """Load, in this process, a model that cannot be served; return the reason."""
    from maas.programs.engine.failures import EngineUnusable
    from maas.programs.engine.spec import read_spec
    from maas.programs.engine.text_engine import TextEngine

    with pytest.raises(EngineUnusable) as refusal:
        TextEngine(read_spec({"model_dir": str(folder), "socket_fd": 0, "task": "text-generation", **spec}))
    reason = str(refusal.value)
    assert str(folder) not in reason
    assert "\n" not in reason
    return reason


@pytest.fixture
def copy(base: Path, tmp_path: Path) -> Path:
    """A copy of the model, to be broken."""
    return Path(shutil.copytree(base, tmp_path / "model"))


class TestFailures:
    def test_weights_that_are_cut_short(self, copy: Path) -> None:
        weights = copy / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])

        assert failure_of(copy) == "the weights file model.safetensors is cut short or too long"

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"num_hidden_layers": 3, "layer_types": ["full_attention"] * 3}, "lack"),
            ({"num_hidden_layers": 3}, "layer_types"),
            ({"hidden_size": 64}, "do not fit"),
            ({"vocab_size": 10**7}, "asks for"),
            ({"num_attention_heads": 0}, "could not be loaded|cannot be used"),
        ],
    )
    def test_weights_of_another_shape_than_the_config_says(self, copy: Path, change: dict[str, Any], word: str) -> None:
        config = json.loads((copy / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, **change}))

        assert re.search(word, failure_of(copy))

    def test_weights_that_are_a_pickle(self, copy: Path) -> None:
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")

        assert failure_of(copy) == "the model has no weights in safetensors format"

    def test_a_config_that_is_no_json(self, copy: Path) -> None:
        (copy / "config.json").write_text("{")

        assert "config.json" in failure_of(copy)

    def test_an_architecture_with_code_of_its_own(self, copy: Path) -> None:
        config = json.loads((copy / "config.json").read_text())
        code = {"auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"}, "model_type": "own"}
        (copy / "config.json").write_text(json.dumps({**config, **code}))
        (copy / "own.py").write_text("raise SystemExit('ran')")

        assert "config.json" in failure_of(copy)

    def test_a_missing_tokenizer(self, copy: Path) -> None:
        (copy / "tokenizer.json").unlink()

        assert "tokenizer" in failure_of(copy)

    def test_an_encoder_asked_to_generate(self, tmp_path: Path) -> None:
        assert failure_of(make_encoder(tmp_path / "bert")) == "the model is not a decoder-only language model"

    def test_more_memory_than_it_may_use(self, copy: Path) -> None:
        assert "memory" in failure_of(copy, memory_bytes=2**20)

    def test_an_adapter_of_another_model(self, copy: Path, tmp_path: Path) -> None:
        (tmp_path / "adapter").mkdir()

        assert "adapter" in failure_of(copy, adapters=[{"name": "a", "path": str(tmp_path / "adapter")}])

    def test_a_gpu_that_is_not_there(self, copy: Path) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
        assert failure_of(copy, device="cuda") == "this host has no usable GPU"


def test_an_engine_that_cannot_serve_reports_why_once_and_ends(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    engine = start_engine(copy)

    assert engine.process.wait(60) == 1

    engine.end()
    assert [report["type"] for report in engine.reports] == ["confinement", "failed"]
    assert engine.reports[1:] == [
        {"type": "failed", "reason": "the weights file model.safetensors is cut short or too long"},
    ]


def test_a_misspelt_specification_is_told(base: Path) -> None:
    engine = start_engine(base, max_slot=3)

    assert "max_slot" in engine.wait_for("failed")["reason"]

    engine.end()


def test_it_leaves_the_network_and_says_so(engine: RunningEngine) -> None:
    assert next(report for report in engine.reports if report["type"] == "confinement")["network"]
    ours, its = (Path(f"/proc/{process}/ns/net").readlink() for process in ("self", engine.process.pid))
    assert ours != its


def test_its_name_says_what_it_is(engine: RunningEngine) -> None:
    assert " ".join(psutil.Process(engine.process.pid).cmdline()).strip() == "maas engine"


def test_draining_answers_all_that_was_taken_and_refuses_what_is_new(base: Path) -> None:
    wish = {"prompt": "a", "max_tokens": 200, "temperature": 0, "ignore_eos": True}
    with running_engine(base, dtype="float32", max_slots=2) as engine, ThreadPoolExecutor(4) as pool:
        taken = [pool.submit(engine.post, "/v1/completions", wish) for _ in range(4)]
        wait_until(lambda: engine.load()["running"] == engine.load()["waiting"] == 2)

        engine.command(type="drain")
        wait_until(lambda: engine.get("/info").json()["draining"])
        refused = engine.post("/v1/completions", wish)

        assert refused.status == 503
        assert refused.headers["Retry-After"] == "1"
        assert [future.result().json()["usage"]["completion_tokens"] for future in taken] == [200] * 4
        assert engine.process.wait(30) == 0


def test_it_ends_with_its_parent(base: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.integration.engine.engines import start_engine\n"
        "engine = start_engine(Path(sys.argv[1])); engine.wait_for('ready'); print(engine.process.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(base)],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    engine = psutil.Process(int(parent.stdout.readline()))

    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    wait_until(lambda: not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE)


class TestHostileTemplates:
    LOOP = "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}{% endfor %}{% endfor %}{% endfor %}"
    MEMORY = "{% set ns = namespace(t='x' * 1000000) %}{% for a in range(40) %}{% set ns.t = ns.t + ns.t %}{% endfor %}{{ ns.t }}"
    ESCAPE = "{{ messages.__class__.__mro__[-1].__subclasses__() }}"
    BROKEN = "{% if %}"
    POWER = "{{ 99999999 ** 99999999 }}"
    BREAK = "{% for a in [1] %}{% break %}{% endfor %}{{ raise_exception('no') }}"

    @pytest.mark.parametrize("template", ["LOOP", "MEMORY", "POWER", "ESCAPE", "BROKEN", "BREAK"])
    def test_they_are_refused_within_their_limits(self, template: str) -> None:
        from maas.programs.engine.chat_template import ChatTemplate
        from maas.programs.engine.failures import RequestInvalid

        with (
            closing(ChatTemplate(getattr(self, template), {}, seconds=1.0)) as hostile,
            pytest.raises(RequestInvalid, match="chat template"),
        ):
            hostile.render(HELLO["messages"], tools=None, variables={})

    def test_one_that_loops_does_not_hang_the_engine(self, copy: Path) -> None:
        (copy / "chat_template.jinja").write_text(self.LOOP)
        with running_engine(copy, dtype="float32") as engine, ThreadPoolExecutor(1) as pool:
            chat = pool.submit(engine.post, "/v1/chat/completions", {**HELLO, "max_tokens": 3})
            wait_until(lambda: bool(psutil.Process(engine.process.pid).children()))

            assert engine.post("/v1/completions", {"prompt": "a", "max_tokens": 3}).status == 200
            assert not chat.done()
            assert chat.result().status == 422
            assert "chat template" in chat.result().json()["error"]

    def test_a_renderer_left_alone_in_a_loop_ends_by_itself(self, copy: Path) -> None:
        (copy / "chat_template.jinja").write_text(self.LOOP)
        engine = start_engine(copy, dtype="float32")
        engine.wait_for("ready")
        with engine.streaming_soon("/v1/chat/completions", HELLO):
            wait_until(lambda: bool(psutil.Process(engine.process.pid).children()))
            helper = psutil.Process(engine.process.pid).children()[0]

            engine.end()

        wait_until(lambda: not helper.is_running() or helper.status() == psutil.STATUS_ZOMBIE)


def test_a_model_without_a_chat_template_completes_but_does_not_chat(tmp_path: Path) -> None:
    with running_engine(make_model(tmp_path / "bare", "gpt2", template=False)) as engine:
        assert engine.wait_for("ready")["tasks"] == ["text-generation"]
        assert engine.get("/info").json()["chat"] is False
        refused = engine.post("/v1/chat/completions", HELLO)

        assert refused.status == 422
        assert "chat template" in refused.json()["error"]
        assert engine.post("/generate", {"inputs": "hi"}).status == 200
