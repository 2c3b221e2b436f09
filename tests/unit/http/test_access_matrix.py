"""Who may call what: every registered route, against everybody who may come.

A new route is covered by the access that it declares; one that is open to anyone joins OPEN by name, and what a path names
joins `World.things`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from werkzeug.routing import Rule

from maas.domain.identifiers import new_id
from maas.domain.identity import Permission, Role
from maas.domain.inference.kept_stream import KeptStream
from maas.entrypoints.http.access import Access, Gate, RouteRules
from maas.entrypoints.http.blueprint import ROUTE_RULES
from maas.entrypoints.websocket.routes import SOCKET_ACCESS
from tests.builders import a_batch, a_deployment, a_job, a_served_model, a_session, an_api_key
from tests.forms import form
from tests.house import House
from tests.unit.catalog.archives import zipped
from tests.unit.catalog.model_files import llama_files

Headers = dict[str, str]
OPEN = {
    "GET /docs",
    "GET /docs/assets/<name>",
    "GET /docs/start.js",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "POST /api/v1/auth/forgot-password",
    "POST /api/v1/auth/login",
    "POST /api/v1/auth/refresh",
    "POST /api/v1/auth/register",
    "POST /api/v1/auth/resend-verification",
    "POST /api/v1/auth/reset-password",
    "POST /api/v1/auth/verify-email",
}
OWNERS_ALONE = {"/api/v1/inference/streams/<uuid:stream_id>"}
"""What is being said to somebody is not even an administrator's to read."""
REFRESH = "/api/v1/auth/refresh"
"""Its credential is the refresh token itself."""
ROWS = "".join(json.dumps({"prompt": f"question {number}", "completion": "answer"}) + "\n" for number in range(3)).encode()


@dataclass(frozen=True)
class Route:
    """A method of a registered address, with what it declares."""

    method: str
    rule: str
    access: Access

    def __str__(self) -> str:
        return f"{self.method} {self.rule}"

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"<(?:\w+:)?(\w+)>", self.rule)

    def path(self, things: Mapping[str, str]) -> str:
        return re.sub(r"<(?:\w+:)?(\w+)>", lambda found: things[found.group(1)], self.rule)


@dataclass
class World:
    """A platform in which alice owns one private thing of each kind."""

    house: House

    def __post_init__(self) -> None:
        self.alice = self.house.sign_up("alice")
        self.bob = self.house.sign_up("bob")
        self.root = self.house.sign_up("root", role=Role.ADMIN)
        self.principals: Mapping[str, Headers] = {
            "nobody": {},
            "a stranger": {"Authorization": "Bearer forged"},
            "alice": self.alice,
            "bob": self.bob,
            "root": self.root,
            "alice's key without permissions": self.house.key(self.alice),
            "alice's key with all permissions": self.house.key(self.alice, *Permission),
            "bob's key with all permissions": self.house.key(self.bob, *Permission),
            "root's key with all permissions": self.house.key(self.root, *Permission),
        }
        self.made = 0

    def things(self, *wanted: str) -> Mapping[str, str]:
        """Make one private thing of each kind for alice; return what names them in a path. Files have only those `wanted`."""
        self.made += 1
        owner_id = self.house.user_id(self.alice)
        model_id, dataset_id = str(new_id()), str(new_id())
        if "model_id" in wanted:
            model_id = self._uploaded("models", {"type": "llm"}, {"model_file": ("model.zip", zipped(llama_files()))})
        if "dataset_id" in wanted:
            dataset = {"type": "instruction", "format": "jsonl"}
            dataset_id = self._uploaded("datasets", dataset, {"file": ("rows.jsonl", ROWS)})
        with self.house.database() as work:
            owner = work.users.get(owner_id)
            job, session, key = a_job(owner_id, name=f"job {self.made}"), a_session(owner), an_api_key(owner)
            deployment = a_deployment(owner_id=owner_id, model=a_served_model(model_id=UUID(model_id)))
            batch = a_batch(owner_id, deployment_id=deployment.id)
            now = self.house.clock.now()
            stream = KeptStream(
                id=new_id(), owner_id=owner_id, deployment_id=deployment.id, created_at=now, heard_at=now, ended_at=now
            )
            work.finetuning_jobs.add(job)
            work.sessions.add(session)
            work.api_keys.add(key)
            work.deployments.add(deployment)
            work.batches.add(batch)
            work.kept_streams.add(stream)
        return {
            "model_id": model_id,
            "version": "1.0.0",
            "dataset_id": dataset_id,
            "job_id": str(job.id),
            "session_id": str(session.id),
            "key_id": str(key.id),
            "deployment_id": str(deployment.id),
            "batch_id": str(batch.id),
            "stream_id": str(stream.id),
            "model": str(deployment.id),
        }

    def _uploaded(self, kind: str, fields: dict[str, str], files: dict[str, tuple[str, bytes]]) -> str:
        call = form({"name": f"{kind} {self.made}", **fields}, files)
        answer: Any = self.house.client.post(f"/api/v1/{kind}", headers=self.alice, **call)
        assert answer.status_code == 201, answer.json
        return str(answer.json["data"]["id"])

    def call(self, route: Route, principal: str, things: Mapping[str, str]) -> Any:
        """Call a route and return its answer, read to its end."""
        headers = self.principals[principal]
        options: dict[str, Any] = {} if route.method == "GET" else {"json": {}}
        answer: Any = self.house.client.open(route.path(things), method=route.method, headers=headers, **options)
        answer.get_data()
        answer.close()
        return answer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    roomy = {"limit_api_calls": 100_000, "limit_address_calls": 100_000}
    return World(House(tmp_path_factory.mktemp("house"), settings=roomy))


@pytest.fixture(scope="module")
def things(world: World) -> Mapping[str, str]:
    return world.things("model_id", "dataset_id")


@cache
def app_of_nothing() -> Any:
    return House(Path("nowhere")).app


def rules() -> Iterator[tuple[Rule, RouteRules | None]]:
    app = app_of_nothing()
    for rule in app.url_map.iter_rules():
        yield rule, app.extensions[ROUTE_RULES].get(rule.endpoint)


def routes() -> list[Route]:
    found = [
        Route(method, rule.rule, declared.access)
        for rule, declared in rules()
        if declared is not None and not rule.websocket
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]
    return sorted(found, key=str)


ALL = routes()
GUARDED = [route for route in ALL if route.access is not Gate.PUBLIC]
NAMING = [route for route in GUARDED if route.parameters]


def test_every_route_declares_who_may_call_it() -> None:
    assert [rule.rule for rule, declared in rules() if declared is None] == []
    assert len(ALL) > 50


def test_what_is_open_to_anyone_is_listed_by_name() -> None:
    assert {str(route) for route in ALL if route.access is Gate.PUBLIC} == OPEN


def test_no_socket_is_open_to_anyone() -> None:
    app = app_of_nothing()
    access = {rule.rule: app.extensions[SOCKET_ACCESS].get(rule.endpoint) for rule, _ in rules() if rule.websocket}

    assert access
    assert [path for path, declared in access.items() if declared in (None, Gate.PUBLIC)] == []


def test_every_kind_of_thing_that_a_path_names_is_in_the_matrix(things: Mapping[str, str]) -> None:
    named = {parameter for route in NAMING for parameter in route.parameters}

    assert named <= things.keys()


@pytest.mark.parametrize("route", [route for route in ALL if route.access is Gate.PUBLIC and route.rule != REFRESH], ids=str)
def test_anyone_may_call_what_is_open(world: World, route: Route) -> None:
    assert world.call(route, "nobody", {"name": "swagger-ui.css"}).status_code not in (401, 403, 404, 500)


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_nobody_gets_in_without_a_good_credential(world: World, things: Mapping[str, str], route: Route) -> None:
    answers = [world.call(route, principal, things) for principal in ("nobody", "a stranger")]

    assert [answer.status_code for answer in answers] == [401, 401]


@pytest.mark.parametrize("route", GUARDED, ids=str)
def test_a_key_does_what_it_has_the_permission_for(world: World, things: Mapping[str, str], route: Route) -> None:
    answer = world.call(route, "alice's key without permissions", things)

    assert answer.status_code == 403 if route.access is not Gate.SIGNED_IN else answer.status_code < 400
    if isinstance(route.access, Permission):
        only = world.house.key(world.alice, *(permission for permission in Permission if permission is not route.access))
        options: dict[str, Any] = {} if route.method == "GET" else {"data": b"{"}
        refused: Any = world.house.client.open(route.path(things), method=route.method, headers=only, **options)
        assert refused.status_code == 403


@pytest.mark.parametrize("route", [route for route in GUARDED if route.access in (Gate.PERSON, Gate.ADMIN)], ids=str)
def test_no_key_does_what_is_for_people(world: World, things: Mapping[str, str], route: Route) -> None:
    for owner in ("alice", "bob", "root"):
        assert world.call(route, f"{owner}'s key with all permissions", things).status_code == 403


def test_what_is_for_administrators_is_for_nobody_else(world: World, things: Mapping[str, str]) -> None:
    for route in (route for route in GUARDED if route.access is Gate.ADMIN):
        assert world.call(route, "alice", things).status_code == 403, route
        assert world.call(route, "root", things).status_code not in (401, 403, 500), route


@pytest.mark.parametrize("route", NAMING, ids=str)
def test_another_s_private_thing_is_as_good_as_none(world: World, things: Mapping[str, str], route: Route) -> None:
    unknown = dict.fromkeys(things, "01900000-0000-7000-8000-00000000ffff")
    principals = ["bob"] if route.access is Gate.PERSON else ["bob", "bob's key with all permissions"]
    for principal in principals:
        hidden, missing = world.call(route, principal, things), world.call(route, principal, unknown)

        assert (hidden.status_code, missing.status_code) == (404, 404)
        assert hidden.json["error"] == missing.json["error"]


@pytest.mark.parametrize("route", [route for route in GUARDED if route.access is not Gate.ADMIN], ids=str)
def test_the_owner_gets_in_as_a_person_and_by_a_key(world: World, route: Route) -> None:
    for principal in ["alice"] if route.access is Gate.PERSON else ["alice", "alice's key with all permissions"]:
        answer = world.call(route, principal, world.things(*route.parameters))
        if route.rule == "/api/v1/auth/logout":
            world.principals = {**world.principals, "alice": world.house.sign_in("alice")}
            world.alice = world.principals["alice"]

        assert answer.status_code < 500
        assert answer.status_code not in (401, 403, 404, 405), answer.json


@pytest.mark.parametrize(
    "route", [route for route in NAMING if isinstance(route.access, Permission) and route.rule not in OWNERS_ALONE], ids=str
)
def test_administrators_see_every_private_thing(world: World, route: Route) -> None:
    answer = world.call(route, "root", world.things(*route.parameters))

    assert answer.status_code < 500
    assert answer.status_code not in (401, 403, 404), answer.json
