"""What is said of fine-tuning jobs."""

from collections.abc import Mapping

TRAINING: Mapping[str, str] = {
    "a job cannot go from {before} to {after}": "任务不能从 {before} 变为 {after}",
    "a {status} job cannot be cancelled": "{status} 状态的任务不能取消",
    "a {status} job cannot be deleted; cancel it first": "{status} 状态的任务不能删除，请先取消",
    "a {status} job cannot be restarted": "{status} 状态的任务不能重新开始",
    "some training parameters are out of range": "部分训练参数超出范围",
}
