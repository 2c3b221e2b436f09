"""The Chinese sentences of the API, by the English templates they translate."""

from collections.abc import Mapping

MESSAGES_ZH: Mapping[str, str] = {
    "done": "操作成功",
}
