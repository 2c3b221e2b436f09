"""What is said of deployments and of answers by models."""

from collections.abc import Mapping

INFERENCE: Mapping[str, str] = {
    "the call was given up": "该调用已被放弃",
    "the deployment is busy; try again in {retry_after} seconds": "部署繁忙，请在 {retry_after} 秒后重试",
    "the deployment is not ready to answer: it is {status}": "部署尚不能应答：当前状态为 {status}",
    "the engine failed to answer": "推理引擎未能应答",
    "the engine took too long to answer": "推理引擎应答超时",
    "the engine went away while it answered": "推理引擎在应答时中断",
    "the model does not take this: {reason}": "模型不接受该输入：{reason}",
    "the model of this deployment could not be loaded: {reason}": "该部署的模型无法加载：{reason}",
    "the prompt of {prompt_tokens} tokens does not fit the model's context of {context}": "{prompt_tokens} 个词元的提示超出模型 {context} 的上下文长度",
    "the prompt of {prompt_tokens} tokens does not fit": "{prompt_tokens} 个词元的提示超出上下文长度",
    "a text is longer than the model's {context} tokens": "有文本超过模型的 {context} 个词元",
    "this model cannot chat: it has no chat template": "该模型不支持对话：没有对话模板",
    "this model makes no embeddings: it is for {task}": "该模型不支持向量化：其用途为 {task}",
    "this model writes no text: it is for {task}": "该模型不支持文本生成：其用途为 {task}",
    "no engine of the deployment can be reached; try again in a moment": "暂时无法连接该部署的推理引擎，请稍后重试",
    "a text, or a list of texts": "应为一个文本或文本列表",
    "there is no such model, or it is not visible to you": "模型不存在，或您无权查看",
    "at most {most} answers to one call": "一次调用最多给出 {most} 个回答",
    "this model reads text, not tokens": "该模型只接受文本，不接受词元",
    "this model makes vectors of {dimension} numbers": "该模型的向量维度为 {dimension}",
    "a text, or a list of parts of type text": "应为一个文本，或由 text 类型的部分组成的列表",
    "a text, a list of texts, or tokens": "应为一个文本、文本列表或词元",
}
