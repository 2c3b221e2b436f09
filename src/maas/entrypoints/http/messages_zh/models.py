"""What is said of models and their versions."""

from collections.abc import Mapping

MODELS: Mapping[str, str] = {
    "a model needs its config.json": "模型缺少 config.json",
    "a model needs its weights as {name}": "模型缺少权重文件 {name}",
    "a model of type {type} has one of these categories: {categories}": "{type} 类型的模型只能属于以下分类：{categories}",
    "a version has 1 to 64 letters, digits, '.', '-', '_' or '+', and begins with a letter or digit": (
        "版本号须为 1 至 64 个字母、数字、“.”、“-”、“_”或“+”，并以字母或数字开头"
    ),
    "an adapter needs its adapter_model.safetensors": "适配器缺少 adapter_model.safetensors",
    "at most {limit} examples": "最多 {limit} 个示例",
    "the files are those of a model of type {found}, not {expected}": "文件属于 {found} 类型的模型，而不是 {expected}",
    "the weights hold no tensors": "权重文件中没有张量",
    "version {version} is {status} already": "版本 {version} 已处于 {status} 状态",
    "version {version} is {status}, not ready": "版本 {version} 处于 {status} 状态，尚未就绪",
    "{index} names {name}, which is not there": "{index} 引用了不存在的 {name}",
    "{name} asks for code of its own, which is never run here; use a model that transformers knows": (
        "{name} 要求运行自带代码，本平台从不执行；请使用 transformers 原生支持的模型"
    ),
    "{name} does not say its model_type": "{name} 未说明 model_type",
    "{name} does not say its peft_type": "{name} 未说明 peft_type",
    "{name} does not say which file holds which weights": "{name} 未说明各权重所在的文件",
    "{name} holds numbers of a kind that is not known: {dtype}": "{name} 含有未知的数值类型：{dtype}",
    "{name} is a pickle or may hold one, and loading it would run code: save the model again with "
    "save_pretrained(…, safe_serialization=True), which writes safetensors, and leave this file out": (
        "{name} 是 pickle 或可能包含 pickle，加载它会执行代码：请用 save_pretrained(…, safe_serialization=True) "
        "重新保存为 safetensors，并去掉此文件"
    ),
    "{name} is not a JSON object": "{name} 不是 JSON 对象",
    "{name} is not a tokenizer": "{name} 不是分词器",
    "{name} is not valid JSON": "{name} 不是有效的 JSON",
    "{name} is too large": "{name} 过大",
}
