"""What is said of fine-tuning jobs."""

from collections.abc import Mapping

TRAINING: Mapping[str, str] = {
    "a job cannot go from {before} to {after}": "任务不能从 {before} 变为 {after}",
    "a {status} job cannot begin": "{status} 状态的任务不能开始",
    "a {status} job cannot be cancelled": "{status} 状态的任务不能取消",
    "a {status} job cannot be deleted; cancel it first": "{status} 状态的任务不能删除，请先取消",
    "a {status} job cannot be restarted": "{status} 状态的任务不能重新开始",
    "some training parameters are out of range": "部分训练参数超出范围",
    "{name} must be a number above {least} and at most {most}": "{name} 必须是大于 {least} 且不超过 {most} 的数",
    "{name} must be a number from {least} to {most}": "{name} 必须是 {least} 到 {most} 之间的数",
    "only models of type llm can be fine-tuned, not {type}": "只能微调 llm 类型的模型，不能微调 {type}",
    "the base model is no language model with a tokenizer that could be trained": "基础模型不是带有分词器、可以训练的语言模型",
    "the base model has no version that is ready": "基础模型没有可用的版本",
    "this version of the base model is {status}, not ready": "基础模型的该版本状态为 {status}，尚不可用",
    "the base model is an adapter, and it is not known here what it adapts": "基础模型是适配器，而平台不知道它适配的是哪个模型",
    "the base model is an adapter to a model that is gone or not visible to you": (
        "基础模型是适配器，它所适配的模型已不存在或对您不可见"
    ),
    "the version that the base model adapts is gone": "基础模型所适配的版本已不存在",
    "a dataset of one row cannot be evaluated: set evaluation_strategy to no": (
        "只有一行的数据集无法评估：请将 evaluation_strategy 设为 no"
    ),
    "rows to evaluate on need an evaluation_strategy: steps or epoch": "指定评估数据时需要设置 evaluation_strategy：steps 或 epoch",
    "both datasets must be of one type": "两个数据集的类型必须相同",
    "the base model of this job is gone": "该任务的基础模型已不存在",
    "the dataset of this job is gone": "该任务的数据集已不存在",
    "qlora needs an NVIDIA GPU, and there is none here; use lora": "qlora 需要 NVIDIA GPU，而这里没有；请使用 lora",
    "qlora needs the package bitsandbytes, and it is not installed here; use lora": (
        "qlora 需要软件包 bitsandbytes，而这里没有安装；请使用 lora"
    ),
    "qlora needs a whole model as its base, not an adapter; use lora": "qlora 需要完整的基础模型，不能以适配器为基础；请使用 lora",
    "the job was created": "任务已创建",
    "the job was changed": "任务已修改",
    "the job was deleted": "任务已删除",
    "the job is being cancelled": "任务正在取消",
    "the job was restarted": "任务已重新开始",
}
