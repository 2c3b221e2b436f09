"""What people use, and how much of it they may."""

from maas.application.usage.calls import ApiCalls
from maas.application.usage.flush import UsageFlush
from maas.application.usage.limits import CallAllowance, LimitNumbers, Limits, Quota, UploadSlot

__all__ = ["ApiCalls", "CallAllowance", "LimitNumbers", "Limits", "Quota", "UploadSlot", "UsageFlush"]
