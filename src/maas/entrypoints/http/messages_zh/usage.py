"""What is said of limits and quotas, and of calls that come twice."""

from collections.abc import Mapping

USAGE: Mapping[str, str] = {
    "this needs {needed} bytes, and {left} of the {limit} bytes of storage are left": (
        "此操作需要 {needed} 字节存储空间，而 {limit} 字节的配额仅剩 {left} 字节"
    ),
    "an idempotency key has 1 to 255 visible ASCII characters": "幂等键须为 1 至 255 个可见 ASCII 字符",
    "the first call with this idempotency key is still running": "使用该幂等键的第一次请求仍在处理中",
    "the first call with this idempotency key had its effect, but its answer was lost": (
        "使用该幂等键的第一次请求已生效，但其响应已丢失"
    ),
    "this idempotency key was used for another request": "该幂等键已用于另一个请求",
    "a sealed secret cannot be opened: the sealing key is not the one it was sealed with": (
        "无法解开密封的数据：密封所用的密钥与当前密钥不同"
    ),
}
