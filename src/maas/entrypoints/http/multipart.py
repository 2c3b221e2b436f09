"""Forms of fields and files (RFC 7578) that are written where they are kept as they arrive, in flat memory."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from marshmallow import Schema, fields

from maas.application.ports.file_store import Staging
from maas.application.ports.incoming_form import IncomingFile, IncomingForm, ReceivedForm
from maas.domain.errors import Invalid, Malformed, Problem, UnsupportedContentType, WrongForm
from maas.entrypoints.http.body import BodyStream, check_no_content_encoding, parse_json, read_json_object
from maas.entrypoints.http.multipart_parts import Reception
from maas.entrypoints.http.request import PlatformRequest
from maas.entrypoints.http.schemas import load_form

MULTIPART = "multipart/form-data"
_JSON = "application/json"
# What boundaries, headers and text parts may add to the files themselves.
_ROOM_BESIDE_FILES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class FormSpec:
    """What a form holds: the fields of `schema`, of which `json_fields` are JSON in a text part, and files.

    `files` gives each file's field with its description; those in `repeated` may come more than once. A form that
    `takes_json` may also come as a JSON object, without files.
    """

    schema: Schema
    files: Mapping[str, str]
    repeated: frozenset[str] = frozenset()
    json_fields: frozenset[str] = frozenset()
    takes_json: bool = False
    partial_schema: Schema = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "partial_schema", type(self.schema)(partial=True))

    def document(self) -> dict[str, Any]:
        """Return the OpenAPI requestBody: flask-smorest would lose one of fields and files."""
        with_files = type(f"{type(self.schema).__name__}Form", (type(self.schema),), dict(self._file_fields()))
        multipart: dict[str, Any] = {"schema": with_files()}
        if self.json_fields:
            multipart["encoding"] = {name: {"contentType": _JSON} for name in sorted(self.json_fields)}
        content = {MULTIPART: multipart}
        if self.takes_json:
            content[_JSON] = {"schema": self.schema}
        return {"required": True, "content": content}

    def _file_fields(self) -> Iterator[tuple[str, fields.Field[Any]]]:
        for name, description in self.files.items():
            binary = fields.Raw(metadata={"type": "string", "format": "binary", "description": description})
            yield name, fields.List(binary, metadata={"description": description}) if name in self.repeated else binary


class RequestForm(IncomingForm):
    """The form in the body of a request."""

    def __init__(self, request: PlatformRequest, spec: FormSpec) -> None:
        self._request = request
        self._spec = spec
        self._largest_bytes: int | None = None

    def admit(self, *, largest_bytes: int) -> int | None:
        self._largest_bytes = largest_bytes
        return BodyStream(self._request, limit_bytes=self._largest_body()).declared_bytes

    def receive(
        self,
        staging: Staging,
        *,
        place: Callable[[IncomingFile], str],
        foresee: Callable[[Mapping[str, Any]], None],
    ) -> ReceivedForm:
        if self._spec.takes_json and self._request.is_json:
            given = load_form(self._spec.schema, read_json_object(self._request))
            foresee(given)
            return ReceivedForm(fields=given, files=())
        stream = BodyStream(self._request, limit_bytes=self._largest_body())
        reception = Reception(
            boundary=self._boundary(),
            texts=frozenset(self._spec.schema.fields),
            files=frozenset(self._spec.files),
            repeated=self._spec.repeated,
            largest_bytes=self._largest_bytes,
            create=lambda file: staging.create(place(file)),
            before_files=lambda texts, problems: foresee(self._load(texts, problems, partial=True)),
        )
        reception.read(stream)
        if self._request.fingerprint is not None:
            self._request.fingerprint.take_form(reception.texts, reception.received)
        given = self._load(reception.texts, reception.problems, partial=False)
        return ReceivedForm(fields=given, files=reception.received)

    def _largest_body(self) -> int | None:
        return None if self._largest_bytes is None else self._largest_bytes + _ROOM_BESIDE_FILES

    def _boundary(self) -> str:
        check_no_content_encoding(self._request)
        if self._request.mimetype != MULTIPART:
            raise UnsupportedContentType("the content type must be multipart/form-data")
        return self._request.mimetype_params.get("boundary", "")

    def _load(self, texts: Mapping[str, bytes], problems: Sequence[Problem], *, partial: bool) -> Mapping[str, Any]:
        """Return the fields of text parts, or raise Invalid with all that is wrong."""
        found = list(problems)
        values: dict[str, Any] = {}
        for name, raw in texts.items():
            try:
                values[name] = parse_field(name, raw, is_json=name in self._spec.json_fields)
            except Invalid as error:
                found.extend(error.problems)
        named = {problem.field.partition(".")[0] for problem in found}
        try:
            loaded: Mapping[str, Any] = load_form(self._spec.partial_schema if partial else self._spec.schema, values)
        except Invalid as error:
            found.extend(problem for problem in error.problems if problem.field.partition(".")[0] not in named)
        if found:
            raise Invalid("the input is not valid", problems=found)
        return loaded


def parse_field(name: str, raw: bytes, *, is_json: bool) -> Any:
    """Return the text of a part, or the value of one that holds JSON; raise Invalid at `name`."""
    try:
        return parse_json(raw) if is_json else raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WrongForm("the text is not UTF-8", field=name) from error
    except Malformed as error:
        raise WrongForm("this must be JSON", field=name) from error
    except Invalid as error:
        below = [replace(problem, field=f"{name}.{problem.field}".removesuffix(".body")) for problem in error.problems]
        raise Invalid(error.template, problems=below) from error
