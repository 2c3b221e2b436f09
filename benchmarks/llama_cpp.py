"""Our engine against llama.cpp's server, on the same random weights, by HTTP, in one run.

    python benchmarks/llama_cpp.py --binary path/to/llama-server [--quick] [--no-repack]

It needs the package `gguf` to write the weights in llama.cpp's format; the server is yours to build.
"""

import argparse
import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median

import gguf
import numpy as np
from safetensors.numpy import load_file

from maas.entrypoints.cli.bench.bench import Bench
from maas.entrypoints.cli.bench.engines import completion, draw, running_engine

STREAMS = (1, 4, 16)
KINDS = {"F32": gguf.GGMLQuantizationType.F32, "F16": gguf.GGMLQuantizationType.F16, "Q8_0": gguf.GGMLQuantizationType.Q8_0}
CONTEXT_PER_SLOT = 256
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
Contender = Callable[[Sequence[list[int]], int], float]
"""Answers prompts at once with so many tokens each; returns tokens per second."""


def main() -> None:
    """Measure everybody in turn, and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        bench = Bench(Path(folder), options.quick, print)
        prompts = bench.models().tokens()
        contenders: dict[str, Contender] = {}
        for dtype in ("float32", "bfloat16"):
            port = running.enter_context(running_engine(bench, bench.models().decoder, dtype=dtype))
            contenders[f"maas {dtype}"] = partial(_ask_engine, port)
        for kind in KINDS:
            port = running.enter_context(_llama_server(options, bench, kind))
            contenders[f"llama.cpp {kind}"] = partial(_ask_llama, port)
        _report(_measured(bench, contenders, prompts))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, required=True, help="llama.cpp's llama-server")
    parser.add_argument("--quick", action="store_true", help="a tiny model, once: shows only that it works")
    parser.add_argument("--no-repack", action="store_true", help="some builds die on Q8_0 without it")
    return parser.parse_args()


def _measured(bench: Bench, contenders: dict[str, Contender], prompts: list[list[int]]) -> dict[str, dict[int, list[float]]]:
    tokens = 8 if bench.quick else 64
    seen: dict[str, dict[int, list[float]]] = {name: {streams: [] for streams in STREAMS} for name in contenders}
    for repetition in range(len(bench.repetitions(5)) + 1):
        for name, contender in contenders.items():
            for streams in STREAMS:
                pace = contender(prompts[:streams], tokens)
                if repetition:
                    seen[name][streams].append(pace)
    return seen


def _report(seen: dict[str, dict[int, list[float]]]) -> None:
    print(f"{'tokens/s at streams':<22}" + "".join(f"{streams:>8}" for streams in STREAMS))
    for name, paces in seen.items():
        print(f"{name:<22}" + "".join(f"{median(paces[streams]):>8.0f}" for streams in STREAMS))
    most = STREAMS[-1]
    llama = {kind: seen[f"llama.cpp {kind}"][most] for kind in KINDS}
    best = max(llama, key=lambda kind: median(llama[kind]))
    for mine, kind, goal in (("maas float32", "F32", 1.1), ("maas bfloat16", best, 2.0)):
        ratio = median(a / b for a, b in zip(seen[mine][most], llama[kind], strict=True))
        print(f"{mine} over llama.cpp {kind} at {most} streams: {ratio:.2f} (goal {goal})")


def _ask_engine(port: int, prompts: Sequence[list[int]], tokens: int) -> float:
    began = time.perf_counter()
    drawn = draw(port, [completion(prompt, tokens=tokens) for prompt in prompts])
    return sum(stream.tokens for stream in drawn) / (time.perf_counter() - began)


def _ask_llama(port: int, prompts: Sequence[list[int]], tokens: int) -> float:
    began = time.perf_counter()
    with ThreadPoolExecutor(len(prompts)) as pool:
        counts = list(pool.map(lambda prompt: _ask_llama_once(port, prompt, tokens), prompts))
    return sum(counts) / (time.perf_counter() - began)


def _ask_llama_once(port: int, prompt: list[int], tokens: int) -> int:
    wishes = {"n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False, "stream": True}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("POST", "/completion", json.dumps({"prompt": prompt, **wishes}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        events = [line for line in answer if line.startswith(b"data:")]
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise RuntimeError(f"llama-server answered {answer.status}")
    return int(json.loads(events[-1][5:])["tokens_predicted"])


@contextmanager
def _llama_server(options: argparse.Namespace, bench: Bench, kind: str) -> Iterator[int]:
    weights = bench.folder / f"{kind}.gguf"
    write_gguf(bench.models().decoder, weights, KINDS[kind])
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    slots = STREAMS[-1]
    command = [options.binary, "-m", weights, "--host", "127.0.0.1", "--port", str(port), "-t", str(bench.threads)]
    command += ["-np", str(slots), "-c", str(slots * CONTEXT_PER_SLOT), *(["--no-repack"] if options.no_repack else [])]
    with (bench.folder / f"llama-{kind}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while not _is_up(port):
            if process.poll() is not None:
                raise RuntimeError((bench.folder / f"llama-{kind}.log").read_text(errors="replace")[-2000:])
            time.sleep(0.2)
        yield port
    finally:
        process.kill()
        process.wait()


def _is_up(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def write_gguf(folder: Path, path: Path, kind: gguf.GGMLQuantizationType) -> None:
    """Write a model of Qwen2's shape in llama.cpp's format, its matrices as `kind`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    _add_tokenizer(writer, folder, config)
    for name, weight in load_file(folder / "model.safetensors").items():
        values = weight.astype(np.float32)
        if values.ndim == 1:
            writer.add_tensor(_name(name), values)
        else:
            writer.add_tensor(_name(name), gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _name(name: str) -> str:
    if not name.startswith("model.layers."):
        return {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}[name]
    _, _, layer, *middle, ending = name.split(".")
    return f"blk.{layer}.{NAMES['.'.join(middle)]}.{ending}"


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: dict[str, int]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    named = {index: token for token, index in tokenizer["model"]["vocab"].items()}
    special = {added["id"]: added["content"] for added in tokenizer["added_tokens"]}
    named |= special
    size = config["vocab_size"]
    kinds = [gguf.TokenType.CONTROL if index in special else gguf.TokenType.NORMAL for index in range(size)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([named.get(index, f"[unused{index}]") for index in range(size)])
    writer.add_token_types([kind if index in named else gguf.TokenType.UNUSED for index, kind in enumerate(kinds)])
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
