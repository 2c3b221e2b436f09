"""What is said of stored files and of archives."""

from collections.abc import Mapping

FILES: Mapping[str, str] = {
    "a stored file is missing": "存储的文件缺失",
    "this is no key of stored files": "这不是存储文件的键",
    "the store has this key already": "存储中已有此键",
    "two files are named {name}": "有两个文件同名：{name}",
    "a file has a name that is not taken: {name}": "文件名不被接受：{name}",
    "a name in the archive is not UTF-8": "压缩包中有文件名不是 UTF-8 编码",
    "the archive goes on after its end": "压缩包在结尾之后仍有内容",
    "the archive has a header that is too large": "压缩包的头部过大",
    "the archive has members that overlap": "压缩包中的成员相互重叠",
    "the archive has too many entries": "压缩包的条目过多",
    "the archive holds a link or a special file: {name}": "压缩包中含有链接或特殊文件：{name}",
    "the archive holds a sparse file, which is not taken": "压缩包中含有稀疏文件，不被接受",
    "the archive is corrupt": "压缩包已损坏",
    "the archive is corrupt or cut off": "压缩包已损坏或不完整",
    "the archive is corrupt, or its directory is too large": "压缩包已损坏，或其目录过大",
    "the archive is corrupt: a folder has content": "压缩包已损坏：目录条目带有内容",
    "the archive is corrupt: a header's checksum is wrong": "压缩包已损坏：头部校验和错误",
    "the archive is corrupt: a number in a header cannot be read": "压缩包已损坏：头部中的数字无法读取",
    "the archive is corrupt: an extended header cannot be read": "压缩包已损坏：扩展头部无法读取",
    "the archive is corrupt: its two lists of members differ": "压缩包已损坏：两份成员列表不一致",
    "the archive is cut off": "压缩包不完整",
    "the archive is encrypted": "压缩包已加密",
    "the archive is packed in a way that is not taken: use deflate or store": "不支持该压缩方式，请使用 deflate 或 store",
    "{name} is damaged: it cannot be unpacked": "{name} 已损坏：无法解压",
    "{name} is damaged: its checksum does not agree": "{name} 已损坏：校验和不一致",
    "{name} is damaged: its packed bytes end too early": "{name} 已损坏：压缩数据提前结束",
    "{name} is larger than the archive says": "{name} 的实际大小超过压缩包的声明",
}
