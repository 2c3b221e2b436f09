"""What is said of deployments and what they need."""

from collections.abc import Mapping

DEPLOYMENTS: Mapping[str, str] = {
    "a deployment cannot go from {before} to {after}": "部署不能从 {before} 变为 {after}",
    "a replica cannot go from {before} to {after}": "副本不能从 {before} 变为 {after}",
    "a replica has at least one core": "每个副本至少需要一个 CPU 核心",
    "a replica has some memory": "每个副本都需要内存",
    "a utilization from 1 to 100 percent": "利用率须为 1 到 100 之间的百分比",
    "a {status} deployment cannot be started": "状态为 {status} 的部署不能启动",
    "a {status} deployment cannot be stopped": "状态为 {status} 的部署不能停止",
    "adapters are served for language models alone": "只有语言模型的适配器可以部署",
    "from 1 to {most} replicas": "副本数须为 1 到 {most}",
    "max_replicas is below min_replicas": "max_replicas 小于 min_replicas",
    'memory is written as a number and a unit, like "2GB"': "内存须写成数字加单位，例如“2GB”",
    "the deployment is being deleted": "部署正在删除",
    "the deployment is starting": "部署正在启动",
    "the deployment is stopping": "部署正在停止",
    "the deployment was changed": "部署已更新",
    "the deployment was made and is starting": "部署已创建，正在启动",
    "the model does nothing that can be deployed": "该模型没有可部署的任务",
    "the model has no tokenizer, and cannot be deployed without one": "该模型没有分词器，无法部署",
    "the model has no version that is ready": "该模型没有已就绪的版本",
    "the model is an adapter to a model that is gone or not visible to you": "该模型是适配器，其基础模型已不存在或对您不可见",
    "the model is an adapter, and it is not known here what it adapts": "该模型是适配器，但本平台不知道它的基础模型",
    "the model of this deployment is gone": "该部署的模型已不存在",
    "the version that the model adapts is gone": "该适配器所基于的模型版本已不存在",
    "there are no negative GPUs": "GPU 数量不能为负",
    "there are {count} GPUs here: {there}": "此处有 {count} 个 GPU：{there}",
    "there are {there} CPU cores here": "此处有 {there} 个 CPU 核心",
    "there is no GPU here; leave it out to run on the CPU": "此处没有 GPU；去掉该字段即可在 CPU 上运行",
    "there is {there} of memory here": "此处有 {there} 内存",
    "this version is of another kind than the deployed one: make a new deployment": "该版本与已部署的版本类型不同：请新建部署",
    "you have a deployment of this name already": "您已有同名部署",
    "you have {limit} deployments, and no more may run at once: stop or delete one": (
        "您已有 {limit} 个部署，不能再同时运行更多：请先停止或删除一个"
    ),
}
