"""The main job as a client does it: sign up, upload, learn, deploy, ask."""

import io
import json
import tarfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx2

CONVERSATIONS = [
    {"messages": [{"role": "user", "content": f"number {n}?"}, {"role": "assistant", "content": f"it is {n * 7 % 10}."}]}
    for n in range(24)
]


class User:
    """Somebody with an account on a running platform."""

    def __init__(self, url: str, name: str = "alice") -> None:
        self.http = httpx2.Client(base_url=f"{url}/api/v1", timeout=120, headers={"Accept-Language": "en"})
        form = {"username": name, "email": f"{name}@example.com", "password": "correct horse"}
        self.post("/auth/register", form, status=201)
        data = self.post("/auth/login", {"email": form["email"], "password": form["password"]})
        self.http.headers["Authorization"] = f"Bearer {data['access_token']}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @property
    def authorization(self) -> str:
        return self.http.headers["Authorization"]

    def get(self, path: str, *, status: int = 200) -> Any:
        return checked(self.http.get(path), status)

    def post(self, path: str, body: Any = None, *, status: int = 200) -> Any:
        return checked(self.http.post(path, json=body), status)

    def put(self, path: str, body: Any) -> Any:
        return checked(self.http.put(path, json=body), 200)

    def delete(self, path: str) -> Any:
        return checked(self.http.delete(path), 200)

    def upload_model(self, folder: Path, *, name: str = "base", model_type: str = "llm") -> dict[str, Any]:
        fields = {"name": name, "type": model_type}
        files = {"model_file": ("model.tar", archive_of(folder), "application/x-tar")}
        return dict(checked(self.http.post("/models", data=fields, files=files), 201))

    def upload_dataset(self, rows: list[dict[str, Any]], *, name: str = "rows", kind: str = "conversation") -> dict[str, Any]:
        content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        fields = {"name": name, "type": kind, "format": "jsonl"}
        return dict(checked(self.http.post("/datasets", data=fields, files={"file": ("rows.jsonl", content)}), 201))

    def start_job(self, model_id: str, dataset_id: str, *, name: str = "job", **changes: Any) -> dict[str, Any]:
        hyperparameters = {"learning_rate": 1e-2, "batch_size": 4, "num_epochs": 4, **changes.pop("hyperparameters", {})}
        config = {"logging_steps": 1, **changes.pop("config", {})}
        body = {"name": name, "base_model_id": model_id, "dataset_id": dataset_id, "algorithm": "lora", **changes}
        return dict(self.post("/finetune/jobs", {**body, "hyperparameters": hyperparameters, "config": config}, status=201))

    def wait_for_job(self, job_id: str, *, status: str = "succeeded", seconds: float = 150) -> dict[str, Any]:
        for _ in until(seconds):
            job = self.get(f"/finetune/jobs/{job_id}")
            if job["status"] == status:
                return dict(job)
            assert job["status"] not in ("failed", "cancelled", "succeeded"), job
        raise AssertionError(f"the job did not become {status}: {job}")

    def deploy(self, model_id: str, *, name: str = "bot", **config: Any) -> dict[str, Any]:
        body = {"name": name, "model_id": model_id, "config": {"replicas": 1, **config}}
        return dict(self.post("/inference/deployments", body, status=201))

    def wait_for_deployment(self, deployment_id: str, *, status: str = "running", seconds: float = 90) -> dict[str, Any]:
        for _ in until(seconds):
            deployment = self.get(f"/inference/deployments/{deployment_id}")
            if deployment["status"] == status:
                return dict(deployment)
            assert deployment["status"] != "failed", deployment
        raise AssertionError(f"the deployment did not become {status}: {deployment}")

    def chat(self, deployment_id: str, question: str, **parameters: Any) -> dict[str, Any]:
        body = {"deployment_id": deployment_id, "messages": [{"role": "user", "content": question}]}
        return dict(self.post("/inference/chat", {**body, "parameters": {"temperature": 0, "max_tokens": 16, **parameters}}))

    def stream(self, deployment_id: str, question: str, **parameters: Any) -> list[Any]:
        """Return the chunks of a streamed answer, `[DONE]` included."""
        body = {
            "deployment_id": deployment_id,
            "messages": [{"role": "user", "content": question}],
            "parameters": {"temperature": 0, "max_tokens": 16, "stream": True, **parameters},
        }
        with self.http.stream("POST", "/inference/chat", json=body) as answer:
            assert answer.status_code == 200, answer.read()
            return [read_event(line) for line in answer.iter_lines() if line.startswith("data:")]


def read_event(line: str) -> Any:
    text = line.removeprefix("data:").strip()
    return text if text == "[DONE]" else json.loads(text)


def checked(answer: httpx2.Response, status: int) -> Any:
    assert answer.status_code == status, (
        f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:2000]}"
    )
    body: Mapping[str, Any] = answer.json()
    return body["data"]


def archive_of(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(folder))
    return buffer.getvalue()


def until(seconds: float, *, pause: float = 0.1) -> Iterator[None]:
    """Yield again and again until the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(pause)
