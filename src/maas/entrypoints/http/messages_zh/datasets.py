"""What is said of datasets and their rows."""

from collections.abc import Mapping

DATASETS: Mapping[str, str] = {
    "a row group has more than {limit} bytes; write smaller ones": "行组超过 {limit} 字节，请写成更小的行组",
    "the file has more than {limit} columns": "文件的列数超过 {limit}",
    "the file has {count} bad rows; nothing was stored": "文件有 {count} 行不正确，未保存任何内容",
    "the file holds no rows": "文件中没有数据行",
    "the file is not CSV in UTF-8": "文件不是 UTF-8 编码的 CSV",
    "the file is not a JSON array of rows": "文件不是由数据行组成的 JSON 数组",
    "the file is not parquet, or is corrupt": "文件不是 parquet 格式，或已损坏",
    "the file is {found}, not UTF-8 text": "文件是 {found}，不是 UTF-8 文本",
    "the first line must name each column once": "第一行必须列出每个列名，且不能重复",
    "the text is not UTF-8; convert the file to UTF-8": "文本不是 UTF-8 编码，请将文件转换为 UTF-8",
}
