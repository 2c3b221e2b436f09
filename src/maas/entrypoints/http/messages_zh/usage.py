"""What is said of limits and quotas."""

from collections.abc import Mapping

USAGE: Mapping[str, str] = {
    "this needs {needed} bytes, and {left} of the {limit} bytes of storage are left": (
        "此操作需要 {needed} 字节存储空间，而 {limit} 字节的配额仅剩 {left} 字节"
    ),
}
