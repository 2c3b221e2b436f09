"""Embeddings are those of transformers' forward, pooled and normalised as the files say; scores of pairs likewise."""

import base64
import json
import struct
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.engine.engines import RunningEngine, running_engine, wait_until
from tests.integration.engine.models import SENTENCES, make_encoder

pytestmark = pytest.mark.integration
Vectors = list[list[float]]


def vectors_of(folder: Path, texts: Sequence[str], *, pooling: str, normalize: bool, longest: int = 32) -> Vectors:
    """Return what transformers gives, a text at a time."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    rows = []
    for text in texts:
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=longest)).last_hidden_state[0]
        row = states[0] if pooling == "cls" else states.mean(0)
        rows.append((row / row.norm() if normalize else row).tolist())
    return rows


def assert_same(vectors: Vectors, expected: Vectors) -> None:
    assert len(vectors) == len(expected)
    for vector, other in zip(vectors, expected, strict=True):
        assert vector == pytest.approx(other, abs=2e-5)


@pytest.fixture(scope="module")
def folder(models: Path) -> Path:
    return make_encoder(models / "mean")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> Iterator[RunningEngine]:
    with running_engine(folder, task="feature-extraction", model_name="mean") as running:
        yield running


def test_vectors_are_the_mean_of_the_states_normalised(folder: Path, encoder: RunningEngine) -> None:
    vectors = encoder.post("/embed", {"inputs": SENTENCES}).json()

    assert_same(vectors, vectors_of(folder, SENTENCES, pooling="mean", normalize=True))


@pytest.mark.parametrize(("pooling", "normalize"), [("cls_token", False), ("cls_token", True), ("mean_tokens", False)])
def test_files_say_how_states_are_pooled(tmp_path: Path, pooling: str, normalize: bool) -> None:
    folder = make_encoder(tmp_path / "model", pooling=pooling, normalize=normalize)

    vectors = embedded_here(folder, SENTENCES)

    assert_same(vectors, vectors_of(folder, SENTENCES, pooling=pooling.removesuffix("_token"), normalize=normalize))


def test_without_files_that_say_it_vectors_are_means_normalised(tmp_path: Path) -> None:
    folder = make_encoder(tmp_path / "model", pooling=None)

    assert_same(embedded_here(folder, SENTENCES), vectors_of(folder, SENTENCES, pooling="mean", normalize=True, longest=64))


def embedded_here(folder: Path, texts: Sequence[str]) -> Vectors:
    """Embed in this process, where the model is what matters."""
    import torch

    from maas.programs.engine.encoder_model import EncoderModel
    from maas.programs.engine.spec import read_spec

    spec = read_spec({"model_dir": str(folder), "socket_fd": 0, "task": "feature-extraction"})
    model = EncoderModel(spec, scores=False, device=torch.device("cpu"))
    rows = model.run([model.encode(text) for text in texts])
    vectors: Vectors = (torch.nn.functional.normalize(rows, dim=1) if model.files.normalize else rows).tolist()
    return vectors


def test_one_text_comes_back_as_a_list_of_one_vector(encoder: RunningEngine) -> None:
    (vector,) = encoder.post("/", {"inputs": "A cat"}).json()

    assert len(vector) == 32 == encoder.get("/info").json()["dimension"]


def test_many_callers_at_once_get_their_own_vectors(encoder: RunningEngine) -> None:
    texts = [f"{sentence} {number}" for number in range(8) for sentence in SENTENCES]
    alone = [encoder.post("/embed", {"inputs": text}).json()[0] for text in texts]

    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda at: encoder.post("/embed", {"inputs": texts[at : at + 6]}).json(), range(0, len(texts), 6))
        )

    assert_same([vector for answer in answers for vector in answer], alone)


def test_openais_form_counts_tokens_and_gives_base64_where_asked(encoder: RunningEngine) -> None:
    plain = encoder.post("/v1/embeddings", {"input": SENTENCES, "model": "any"}).json()
    packed = encoder.post("/v1/embeddings", {"input": SENTENCES, "encoding_format": "base64"}).json()

    assert plain["object"] == "list"
    assert [entry["index"] for entry in plain["data"]] == list(range(len(SENTENCES)))
    assert plain["usage"]["prompt_tokens"] == plain["usage"]["total_tokens"] > len(SENTENCES)
    for one, other in zip(plain["data"], packed["data"], strict=True):
        unpacked = struct.unpack("<32f", base64.b64decode(other["embedding"]))
        assert one["embedding"] == pytest.approx(unpacked, abs=1e-7)


def test_long_texts_are_cut_unless_that_is_refused(folder: Path, encoder: RunningEngine) -> None:
    text = "station " * 100

    cut = encoder.post("/embed", {"inputs": text})
    refused = encoder.post("/embed", {"inputs": text, "truncate": False})

    assert_same(cut.json(), vectors_of(folder, [text], pooling="mean", normalize=True))
    assert refused.status == 422


@pytest.mark.parametrize(
    "body",
    [{}, {"inputs": []}, {"inputs": [1]}, {"inputs": ["a"] * 2049}, {"inputs": "\ud800"}, {"inputs": "a", "prompt_name": "x"}],
)
def test_what_cannot_be_embedded_is_refused(encoder: RunningEngine, body: dict[str, Any]) -> None:
    assert encoder.post("/embed", body).status == 422


def test_an_encoder_has_no_routes_for_text(encoder: RunningEngine) -> None:
    assert encoder.post("/v1/chat/completions", {"messages": []}).status == 404


def test_its_load_is_told(encoder: RunningEngine) -> None:
    before = encoder.load()["embedded_texts"]

    encoder.post("/embed", {"inputs": SENTENCES})

    wait_until(lambda: encoder.load()["embedded_texts"] == before + len(SENTENCES))
    assert encoder.load()["waiting"] == 0


def test_a_crowd_is_refused_beyond_the_queue_and_draining_answers_the_rest(folder: Path) -> None:
    texts = ["Deep learning models map text to vectors; close texts get close vectors. " * 3] * 2048
    with running_engine(folder, task="feature-extraction", max_queue=2) as engine, ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(engine.post, "/embed", {"inputs": texts}) for _ in range(4)]
        wait_until(lambda: engine.load()["refused"] > 0)
        engine.command(type="drain")
        replies = [future.result() for future in futures]

        assert engine.process.wait(60) == 0
        assert {reply.status for reply in replies} == {200, 503}
        assert all(len(reply.json()) == 2048 for reply in replies if reply.status == 200)
        assert all(int(reply.headers["Retry-After"]) >= 1 for reply in replies if reply.status == 503)


class TestFiles:
    def refused(self, folder: Path) -> str:
        from maas.programs.engine.encoder_files import read_encoder_files
        from maas.programs.engine.failures import EngineUnusable

        with pytest.raises(EngineUnusable) as refusal:
            read_encoder_files(folder)
        return str(refusal.value)

    def write(self, folder: Path, modules: Any, pooling: Any = None) -> Path:
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        return folder

    def test_modules_of_unknown_effect_are_refused(self, tmp_path: Path) -> None:
        assert "Dense" in self.refused(self.write(tmp_path, [{"type": "sentence_transformers.models.Dense", "path": "2"}]))

    def test_a_pooling_outside_of_the_folder_is_not_read(self, tmp_path: Path) -> None:
        module = {"type": "sentence_transformers.models.Pooling", "path": "../../elsewhere"}

        assert "outside" in self.refused(self.write(tmp_path, [module]))

    @pytest.mark.parametrize("modules", [5, [3], {"a": 1}, [{"type": "x.Pooling"}]])
    def test_malformed_files_are_told(self, tmp_path: Path, modules: Any) -> None:
        assert "malformed" in self.refused(self.write(tmp_path, modules))

    def test_two_poolings_at_once_are_refused(self, tmp_path: Path) -> None:
        module = {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}
        both = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}

        assert "pooling" in self.refused(self.write(tmp_path, [module], both))


@pytest.mark.slow
def test_a_cross_encoder_ranks_texts_by_its_own_scores(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = make_encoder(tmp_path / "ranker", pooling=None, labels=1)
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.inference_mode():
        scores = [float(model(**tokenizer("where?", text, return_tensors="pt")).logits[0, 0]) for text in SENTENCES]
    expected = sorted(range(len(SENTENCES)), key=lambda index: -scores[index])

    with running_engine(folder, task="text-ranking") as engine:
        ranked = engine.post("/rerank", {"query": "where?", "texts": SENTENCES, "raw_scores": True, "return_text": True}).json()
        shares = engine.post("/rerank", {"query": "where?", "texts": SENTENCES}).json()

        assert [entry["index"] for entry in ranked] == expected
        assert [entry["score"] for entry in ranked] == pytest.approx([scores[index] for index in expected], abs=1e-4)
        assert [entry["text"] for entry in ranked] == [SENTENCES[index] for index in expected]
        assert all(0 <= entry["score"] <= 1 for entry in shares)
        assert engine.wait_for("ready")["tasks"] == ["text-ranking"]
