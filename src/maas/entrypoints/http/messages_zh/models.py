"""What is said of models and their versions."""

from collections.abc import Mapping

MODELS: Mapping[str, str] = {
    "a model needs its config.json": "模型缺少 config.json",
    "a model needs its weights as {name}": "模型缺少权重文件 {name}",
    "a deployment uses this model; stop it first": "有部署正在使用该模型，请先停止部署",
    "a fine-tuning job uses this model; wait for its end, or cancel it": "有微调任务正在使用该模型，请等待其结束或取消任务",
    "a model has at most {limit} files": "一个模型最多包含 {limit} 个文件",
    "a model of yours has this name": "您已有同名模型",
    "a repository is written like owner/name": "仓库应写作 owner/name",
    "a revision is a branch, a tag or a commit": "revision 应为分支、标签或提交",
    "give files or a source, not both": "文件与 source 只能提供其一",
    "give the files of the model, or a source to import it from": "请提供模型文件，或用 source 指定导入来源",
    "the model has this version already": "该模型已有此版本",
    "the model hub breaks off": "模型仓库连接中断",
    "the model hub cannot be reached": "无法连接模型仓库",
    "the model hub redirects to {host}, which is not listed": "模型仓库重定向到未列入许可的主机 {host}",
    "the model hub redirects too often": "模型仓库重定向次数过多",
    "the model was changed": "模型已更新",
    "the model was deleted": "模型已删除",
    "the model was uploaded": "模型已上传",
    "the repository has no such revision": "该仓库没有此 revision",
    "the version was deleted": "版本已删除",
    "the version was uploaded": "版本已上传",
    "there are no files": "没有文件",
    "there is no such repository on the model hub, or it may not be read": "模型仓库中没有该仓库，或无权读取",
    "this folder is not there, or not below one that the operator lists": "该目录不存在，或不在管理员许可的目录之下",
    "{name} arrived damaged": "{name} 传输后已损坏",
    "{name} cannot be read": "无法读取 {name}",
    "{name} is no file, or a link that leads out of the listed folders": "{name} 不是文件，或是指向许可目录之外的链接",
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
    "{name} has a header that is too large": "{name} 的头部过大",
    "{name} is cut off: it is shorter than its header says": "{name} 不完整：短于其头部的声明",
    "{name} is damaged or no safetensors file": "{name} 已损坏，或不是 safetensors 文件",
    "{name} is damaged: it is longer than its header says": "{name} 已损坏：长于其头部的声明",
    "{name} is damaged: its header cannot be read": "{name} 已损坏：无法读取其头部",
    "{name} is damaged: its tensors do not fit their places": "{name} 已损坏：张量与其位置不符",
}
