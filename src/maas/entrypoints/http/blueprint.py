"""Routes: flask-smorest's blueprint with our gate before views and our envelope after them."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar

import flask_smorest
from flask import Response
from flask.blueprints import BlueprintSetupState
from marshmallow import RAISE, Schema, fields

from maas.domain.errors import Invalid, LengthRequired, Malformed, TooLarge, UnsupportedContentType
from maas.domain.errors import Problem as InputProblem
from maas.domain.identity import Permission
from maas.entrypoints.http.access import Access, Gate, RouteRules
from maas.entrypoints.http.body import read_json_object
from maas.entrypoints.http.envelope import DEFAULT_MESSAGE, json_response, success
from maas.entrypoints.http.fields import Boolean, Integer, Text, Timestamp
from maas.entrypoints.http.idempotency import DOCUMENTATION as IDEMPOTENCY_KEY
from maas.entrypoints.http.idempotency import answer_once
from maas.entrypoints.http.multipart import FormSpec, RequestForm
from maas.entrypoints.http.request import PlatformRequest, current_request
from maas.entrypoints.http.schemas import load_form

View = TypeVar("View", bound=Callable[..., Any])
ROUTE_RULES = "maas.route_rules"
_FORM_ERRORS = (Invalid, Malformed, TooLarge, UnsupportedContentType, LengthRequired)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc] # flask-smorest is untyped
    """The routes of one capability.

    A view is one expression under four decorators:

        @blueprint.route("/<uuid:model_id>", methods=["PUT"], access=Permission.MODEL_UPDATE, locate=_find)
        @blueprint.arguments(ModelChange())
        @blueprint.response(200, ModelDetail())
        @inject
        def change(body: Form, model_id: UUID, models: Models = Provide[Container.models]) -> Model:
            return models.change(current_actor(), model_id, **body)
    """

    def route(
        self,
        rule: str,
        *,
        access: Access,
        methods: tuple[str, ...] | list[str] = ("GET",),
        locate: Callable[..., object] | None = None,
        idempotent: bool | None = None,
        **options: Any,
    ) -> Callable[[View], View]:
        """Register a view.

        `locate` takes the parameters of the path, and raises NotFound or Forbidden where the caller may not have what it
        names: it is asked when the form of a call is wrong, because a wrong path is told before a wrong body.
        `idempotent` says whether an Idempotency-Key is taken: by default each POST of signed-in callers takes one.
        """
        if idempotent is None:
            idempotent = "POST" in methods and access is not Gate.PUBLIC
        rules = RouteRules(access=access, locate=locate, idempotent=idempotent)

        def decorate(view: View) -> View:
            documented = _document_access(view, rules)
            endpoint = options.pop("endpoint", view.__name__)
            self.add_url_rule(rule, endpoint, documented, methods=list(methods), **options)
            self.record(lambda state: _keep_rules(state, self.name, endpoint, rules))
            return view

        return decorate

    def arguments(
        self, schema: Schema, *, location: str = "json", required: bool = True, **documentation: object
    ) -> Callable[[View], View]:
        """Hand the view what `schema` makes of the body (`json`) or the address (`query`)."""
        load = _LOADERS[location]
        parameter = {"in": location, "required": required, "schema": schema, **documentation}

        def decorate(view: View) -> View:
            @wraps(view)
            def parsed(*args: Any, **path: Any) -> Any:
                request = current_request()
                try:
                    form = load_form(schema, load(request, required=required))
                except _FORM_ERRORS:
                    _locate_first(request, path)
                    raise
                return view(*args, form, **path)

            documents = _documents(parsed, view).setdefault("arguments", {})
            documents.setdefault("parameters", []).append(parameter)
            documents.setdefault("responses", {})[422] = HTTPStatus.UNPROCESSABLE_ENTITY.name
            return parsed  # type: ignore[return-value]

        return decorate

    def form(self, spec: FormSpec) -> Callable[[View], View]:
        """Hand the view the form of the body, which its use case receives after its own checks."""

        def decorate(view: View) -> View:
            @wraps(view)
            def parsed(*args: Any, **path: Any) -> Any:
                return view(*args, RequestForm(current_request(), spec), **path)

            documents = _documents(parsed, view)
            statuses = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY)
            documents["arguments"] = {"parameters": [], "responses": {status.value: status.name for status in statuses}}
            documents.setdefault("manual_doc", {})["requestBody"] = spec.document()
            return parsed  # type: ignore[return-value]

        return decorate

    def response(
        self,
        status_code: int,
        schema: Schema | None = None,
        *,
        message: str = DEFAULT_MESSAGE,
        location: str | None = None,
        enveloped: bool = True,
        content_type: str | None = None,
        description: str | None = None,
    ) -> Callable[[View], View]:
        """Answer what the view returns, dumped by `schema`, in the envelope; a Response passes as it is.

        `message` is an English sentence of the catalogue. `location` is a template of the Location header,
        filled from the answer's fields and the path's parameters.
        """

        def decorate(view: View) -> View:
            @wraps(view)
            def answered(*args: Any, **path: Any) -> Response:
                result = view(*args, **path)
                if isinstance(result, Response):
                    return result
                data = result if schema is None else schema.dump(result)
                response = success(data, status_code, message) if enveloped else json_response(data, status_code)
                if location is not None:
                    response.headers["Location"] = location.format_map({**path, **data})
                return response

            documents = _documents(answered, view)
            document = {
                "schema": _envelope_schema(schema) if enveloped and content_type is None else schema,
                "description": description or HTTPStatus(status_code).phrase,
                "content_type": content_type,
            }
            kept = {name: value for name, value in document.items() if value is not None or name == "content_type"}
            responses = documents.setdefault("response", {}).setdefault("responses", {})
            responses.setdefault(status_code, []).append(kept)
            documents.setdefault("success_status_codes", []).append(status_code)
            return answered  # type: ignore[return-value]

        return decorate


def _load_json(request: PlatformRequest, *, required: bool) -> dict[str, Any]:
    return read_json_object(request, required=required)


def _load_query(request: PlatformRequest, **_options: bool) -> dict[str, str]:
    twice = [name for name, values in request.args.lists() if len(values) > 1]
    if twice:
        problems = [InputProblem(field=name, template="give the parameter once") for name in twice]
        raise Invalid("the input is not valid", problems=problems)
    return request.args.to_dict()


_LOADERS: Mapping[str, Callable[..., dict[str, Any]]] = {"json": _load_json, "query": _load_query}


def _locate_first(request: PlatformRequest, path: Mapping[str, Any]) -> None:
    if request.rules is not None and request.rules.locate is not None:
        request.rules.locate(**path)


def _keep_rules(state: BlueprintSetupState, name: str, endpoint: str, rules: RouteRules) -> None:
    state.app.extensions.setdefault(ROUTE_RULES, {})[f"{name}.{endpoint}"] = rules


def _documents(wrapper: Callable[..., Any], view: Callable[..., Any]) -> dict[str, Any]:
    """Return what `wrapper` tells flask-smorest of itself: at first what `view` told."""
    documents: dict[str, Any] = deepcopy(vars(view).get("_apidoc", {}))
    vars(wrapper)["_apidoc"] = documents
    return documents


def _document_access(view: View, rules: RouteRules) -> View:
    """Say in the API document who may call `view`."""

    answer = answer_once(view) if rules.idempotent else view

    @wraps(view)
    def documented(*args: Any, **path: Any) -> Any:
        return answer(*args, **path)

    documents = _documents(documented, view)
    if rules.idempotent:
        documents.setdefault("arguments", {}).setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    manual = documents.setdefault("manual_doc", {})
    manual["security"] = [] if rules.access is Gate.PUBLIC else [{"token": []}]
    if rules.access is Gate.SIGNED_IN or isinstance(rules.access, Permission):
        manual["security"].append({"key": []})
    manual["x-access"] = rules.access.value
    return documented  # type: ignore[return-value]


_ENVELOPES: dict[type[Schema] | None, Schema] = {}


def _envelope_schema(schema: Schema | None) -> Schema:
    """Return the schema of the envelope around `schema`, for the API document."""
    kind = None if schema is None else type(schema)
    if kind not in _ENVELOPES:
        name = "Envelope" if kind is None else f"EnvelopeOf{kind.__name__}"
        data = fields.Raw(allow_none=True) if schema is None else fields.Nested(schema)
        members: dict[str, fields.Field[Any]] = {
            "success": Boolean(),
            "data": data,
            "message": Text(),
            "code": Integer(),
            "timestamp": Timestamp(),
            "request_id": Text(),
        }
        _ENVELOPES[kind] = Schema.from_dict(members, name=name)(unknown=RAISE)
    return _ENVELOPES[kind]
