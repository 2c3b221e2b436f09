"""Lists: what their addresses may say, and how a page of one is answered."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, post_load, validate

from maas.domain.paging import LARGEST_PAGE, Order, Page, PageRequest
from maas.entrypoints.http.fields import Choice, Integer, QueryInteger, Text
from maas.entrypoints.http.schemas import StrictSchema

LAST_PAGE = 1_000_000_000
LONGEST_SEARCH = 1000
_PAGING = ("page", "limit", "sort", "order", "search")


class ListQuery(StrictSchema):
    """The parameters of a list. Subclasses add filters as fields, and name more columns in `sorts`.

    Loads as the keyword arguments of a use case: `page` (a PageRequest), and each filter that was given.
    """

    sorts: ClassVar[tuple[str, ...]] = ("created_at", "updated_at", "name")

    page = QueryInteger(load_default=1, validate=validate.Range(1, LAST_PAGE))
    limit = QueryInteger(load_default=20, validate=validate.Range(1, LARGEST_PAGE))
    sort = Text(load_default="created_at", metadata={"description": "The column to sort by."})
    order = Choice(Order, load_default=Order.DESCENDING)
    search = Text(
        validate=validate.Length(max=LONGEST_SEARCH),
        metadata={"description": "Literal text, looked for without case in name and description."},
    )

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.fields["sort"].validators = [validate.OneOf(self.sorts)]

    @post_load
    def _make_page_request(self, data: dict[str, Any], **_kwargs: object) -> dict[str, Any]:
        filters = {name: value for name, value in data.items() if name not in _PAGING}
        page = PageRequest(
            number=data["page"],
            limit=data["limit"],
            sort=data["sort"],
            order=data["order"],
            search=data.get("search") or None,
        )
        return {"page": page, **filters}


class Pagination(StrictSchema):
    """Where a page stands in its list."""

    page = Integer(attribute="number")
    limit = Integer()
    total = Integer()
    pages = Integer()


class _PageSchema(StrictSchema):
    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        if isinstance(obj, Page):
            return obj if attr == "pagination" else obj.items
        return super().get_attribute(obj, attr, default)


class _ListSchema(StrictSchema):
    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj


def paged(plural: str, item: Schema) -> Schema:
    """Return the schema of a `Page` of `item`: `{"<plural>": [...], "pagination": {...}}`."""
    return _of_items(_PageSchema, "PageOf", plural, item, pagination=fields.Nested(Pagination()))


def listed(plural: str, item: Schema) -> Schema:
    """Return the schema of a sequence of `item`, all at once: `{"<plural>": [...]}`."""
    return _of_items(_ListSchema, "ListOf", plural, item)


def _of_items(base: type[StrictSchema], prefix: str, plural: str, item: Schema, **others: fields.Field[Any]) -> Schema:
    name = f"{prefix}{type(item).__name__}"
    if name not in _MADE:
        _MADE[name] = type(name, (base,), {plural: fields.List(fields.Nested(item)), **others})
    return _MADE[name]()


_MADE: dict[str, type[Schema]] = {}
