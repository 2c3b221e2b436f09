"""What a person can do after the demo, ready to be copied."""

import json
import os
import shlex
from pathlib import Path

from maas.entrypoints.cli.demo.answers import Exchange
from maas.entrypoints.cli.demo.screen import Screen
from maas.entrypoints.cli.demo.story import Outcome

_DEFAULT_URL = "http://127.0.0.1:8000"


def say_what_next(outcome: Outcome, screen: Screen, *, seconds: float, keep: bool) -> None:
    """Print results, sign-in data and calls to copy, for the running platform or for when it is started again."""
    screen.act("What next")
    _say_result(outcome, screen, seconds)
    url = outcome.platform.url if keep else _DEFAULT_URL
    if not keep:
        screen.say("The platform ends now. It has everything again, the deployments too, with")
        screen.verbatim(f"\nmaas serve --data-dir {shlex.quote(_shown(outcome.platform.data_dir))}\n")
    screen.say(f"documentation  [bold]{url}/docs[/]")
    screen.say(f"sign in        {outcome.account.email}, password [bold]{outcome.account.password}[/]")
    screen.say(f"API key        [bold]{outcome.account.key}[/]")
    question = outcome.exchanges[0].question.text
    screen.verbatim(f"\n{curl_line(url, outcome.account.key, outcome.deployment, question)}\n")
    screen.verbatim(f"{python_lines(url, outcome.account.key, outcome.deployment, question)}\n")


def curl_line(url: str, key: str, model: str, question: str) -> str:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": question}]}, ensure_ascii=False)
    headers = f'-H "Authorization: Bearer {key}" -H "Content-Type: application/json"'
    return f"curl -s {url}/v1/chat/completions {headers} -d {shlex.quote(body)}"


def python_lines(url: str, key: str, model: str, question: str) -> str:
    return "\n".join(
        [
            "from openai import OpenAI",
            f'client = OpenAI(base_url="{url}/v1", api_key="{key}")',
            f"answer = client.chat.completions.create(model={_quoted(model)}, "
            f'messages=[{{"role": "user", "content": {_quoted(question)}}}])',
            "print(answer.choices[0].message.content)",
        ]
    )


def _say_result(outcome: Outcome, screen: Screen, seconds: float) -> None:
    right = [exchange for exchange in outcome.exchanges if exchange.question.expected is not None]
    if right:
        screen.say(
            f"Right before: {_count(right, 'before')} of {len(right)}. Right now: [bold]{_count(right, 'after')}[/] of {len(right)}."
        )
    first, last = outcome.curve.first, outcome.curve.last
    if first is not None and last is not None:
        screen.say(f"The loss fell from {first:.3f} to {last:.3f}; its picture is {_shown(outcome.picture)}")
    screen.say(f"All of it took {seconds // 60:.0f} min {seconds % 60:.0f} s.\n")


def _count(exchanges: list[Exchange], which: str) -> int:
    return sum(getattr(exchange, which) == exchange.question.expected for exchange in exchanges)


def _quoted(text: str) -> str:
    """Return a text as Python and JSON both read it."""
    return json.dumps(text, ensure_ascii=False)


def _shown(path: Path) -> str:
    """Return a path as it is shortest to read."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
