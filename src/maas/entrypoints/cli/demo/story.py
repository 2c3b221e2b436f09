"""The demo from its first call to its last, over the platform's API."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from maas.entrypoints.cli.client import Answer, Client
from maas.entrypoints.cli.demo.account import Account, register
from maas.entrypoints.cli.demo.answers import Exchange
from maas.entrypoints.cli.demo.base_model import make_base_model, pack
from maas.entrypoints.cli.demo.curve import Curve
from maas.entrypoints.cli.demo.failures import DemoFailed
from maas.entrypoints.cli.demo.plan import FORMATS, Plan, read_rows
from maas.entrypoints.cli.demo.platform import Platform
from maas.entrypoints.cli.demo.screen import Screen
from maas.entrypoints.cli.demo.training_view import TrainingView

PICTURE = "loss-curve.svg"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a demo has come to: who may use it, what was answered, how the loss fell, and what is deployed."""

    account: Account
    exchanges: tuple[Exchange, ...]
    curve: Curve
    picture: Path
    deployment: str
    platform: Platform


class Story:
    """Tells one plan on a screen, on a platform that it starts; files go to `folder`."""

    def __init__(self, plan: Plan, platform: Platform, screen: Screen, folder: Path) -> None:
        self._plan = plan
        self._platform = platform
        self._screen = screen
        self._folder = folder
        self._client = Client("http://127.0.0.1")
        self._exchanges: tuple[Exchange, ...] = ()

    def tell(self) -> Outcome:
        """Run the whole demo; raise DemoFailed or ClientError where it cannot go on."""
        account = self._open()
        base = self._upload_base()
        dataset = self._upload_dataset()
        self._exchanges = tuple(Exchange(question=asked) for asked in self._plan.questions_about(dataset["preview"]))
        self._screen.act("Ask it something that it cannot know")
        before = self._ask_deployed(base["id"], self._plan.base_name)
        if self._plan.own_model is not None:
            # Two engines and a training of a larger model may be too much for the memory at once.
            self._client.post(f"/api/v1/inference/deployments/{before}/stop")
        job, curve = self._finetune(base, dataset)
        self._screen.act("Ask again")
        self._ask_deployed(job["result"]["model_id"], self._plan.tuned_name)
        return Outcome(
            account=account,
            exchanges=self._exchanges,
            curve=curve,
            picture=self._draw(curve),
            deployment=self._plan.tuned_name,
            platform=self._platform,
        )

    def _open(self) -> Account:
        self._screen.act("Start a platform of its own")
        self._platform.start()
        with self._screen.waiting("maas serve, on a fresh data folder"):
            url = self._platform.wait_until_ready()
        with self._screen.waiting("a person registers, signs in and makes an API key"):
            account = register(Client(url))
        self._client = Client(url, key=account.key)
        self._screen.say(f"  it answers at {url}")
        return account

    def _upload_base(self) -> Answer:
        plan = self._plan
        self._screen.act("Make a small base model from nothing" if plan.own_model is None else "Take your model")
        folder = self._make_base() if plan.own_model is None else plan.own_model
        with self._screen.waiting("packed as one archive"):
            archive = pack(folder, self._folder / f"{plan.base_name}.tar")
        fields = {"name": plan.base_name, "type": "llm", "category": "text-generation", "description": "The demo's base model."}
        with self._screen.sending("uploaded over POST /api/v1/models") as sent:
            model: Answer = self._client.upload("/api/v1/models", fields, {"model_file": archive}, sent)
        archive.unlink()
        self._client.wait_for_version(model["id"], on_look=lambda _: self._platform.check())
        shown: Answer = self._client.get(f"/api/v1/models/{model['id']}")
        facts = shown["metadata"]
        self._screen.say(f"  {facts['parameters_count']:,} parameters, {facts['architecture']}, read from its files")
        return shown

    def _make_base(self) -> Path:
        rows = sum(1 for _ in read_rows(self._plan.base_rows))
        self._screen.say(f"It learns from {rows} short conversations; it has never seen a word before.\n")
        view = TrainingView(Curve())
        with self._screen.training(view) as changed:

            def on_report(report: Answer) -> None:
                view.tell(report)
                changed()

            return make_base_model(self._plan.base, self._plan.base_rows, self._folder / "base", on_report)

    def _upload_dataset(self) -> Answer:
        self._screen.act("Upload what it should learn")
        path = self._plan.dataset(self._folder)
        fields = {"name": path.stem, "type": self._plan.dataset_type.value, "format": FORMATS[path.suffix.lower()]}
        with self._screen.sending("uploaded over POST /api/v1/datasets, every row checked") as sent:
            dataset: Answer = self._client.upload("/api/v1/datasets", fields, {"file": path}, sent)
        self._screen.say(f"  {dataset['rows']:,} rows, about {dataset['tokens_estimate']:,} tokens; the first of them:")
        self._screen.sample(json.dumps(dataset["preview"][0], ensure_ascii=False))
        return dataset

    def _ask_deployed(self, model_id: str, name: str) -> str:
        """Deploy a model and ask it all questions; return the deployment's id."""
        body = {"name": name, "model_id": model_id, "config": {"inference_config": self._plan.parameters}}
        with self._screen.waiting(f"deployed as {name}") as tell:

            def on_look(seen: Answer) -> None:
                self._platform.check()
                tell(seen.get("reason") or seen["status"])

            deployment: str = self._client.post("/api/v1/inference/deployments", body)["id"]
            self._client.wait_for_deployment(deployment, on_look=on_look)

        def ask(exchange: Exchange) -> Iterator[str]:
            return self._client.chat(deployment, exchange.question.text)

        self._screen.answers(self._exchanges, "streamed from POST /api/v1/inference/chat", ask)
        return deployment

    def _finetune(self, base: Answer, dataset: Answer) -> tuple[Answer, Curve]:
        """Train an adapter, watched over the WebSocket; return the job when it has succeeded."""
        self._screen.act("Fine-tune it: LoRA, followed over the WebSocket")
        body = {
            "name": self._plan.tuned_name,
            "base_model_id": base["id"],
            "dataset_id": dataset["id"],
            "algorithm": "lora",
            "hyperparameters": self._plan.tuning.hyperparameters_for(dataset["rows"]),
            "config": dict(self._plan.tuning.config),
        }
        job = self._client.post("/api/v1/finetune/jobs", body)
        curve = Curve()
        view = TrainingView(curve)
        with self._screen.training(view) as changed:
            for message in self._client.follow_job(job["id"]):
                view.tell(message)
                changed()
        ended: Answer = self._client.get(f"/api/v1/finetune/jobs/{job['id']}")
        if ended["status"] != "succeeded":
            raise DemoFailed(f"the fine-tuning has {ended['status']}: {ended['reason'] or 'no reason is known'}")
        for point in self._client.get(f"/api/v1/finetune/jobs/{job['id']}/metrics")["metrics"]:
            curve.add(point)
        self._screen.say(f"  an adapter of {ended['trainable_parameters']:,} parameters is now a model version with its lineage")
        return ended, curve

    def _draw(self, curve: Curve) -> Path:
        picture = self._folder / PICTURE
        picture.write_text(curve.as_svg(f"{self._plan.tuned_name}: loss by step"), encoding="utf-8")
        return picture
