"""Encodings of text logs: those that Python and Java know alike, and in which a newline is one byte of its own."""

import codecs

_JAVA = {
    "utf-8": "UTF-8",
    "ascii": "US-ASCII",
    **{f"iso8859-{n}": f"ISO-8859-{n}" for n in (1, 2, 4, 5, 7, 9, 15)},
    **{f"cp{n}": f"windows-{n}" for n in range(1250, 1259)},
    "koi8-r": "KOI8-R",
    "gb2312": "GB2312",
    "gbk": "GBK",
    "gb18030": "GB18030",
    "big5": "Big5",
    "shift_jis": "Shift_JIS",
    "euc_jp": "EUC-JP",
    "euc_kr": "EUC-KR",
}
UTF8 = "utf-8"
REPLACEMENT = "\ufffd"
"""What Java's decoders write in the place of bytes that they cannot decode."""


def canonical(name: str) -> str:
    """Python's own name of an encoding. Raises ValueError for one that logs cannot be in."""
    try:
        encoding = codecs.lookup(name).name
    except (LookupError, ValueError):
        encoding = ""
    if encoding not in _JAVA:
        raise ValueError(f"logs can be in {', '.join(_JAVA)}, not in {name!r}; convert them to utf-8")
    return encoding


def java_name(encoding: str) -> str:
    """What Java calls an encoding."""
    return _JAVA[encoding]


def has_replacement(encoding: str) -> bool:
    """Whether text in an encoding can hold the replacement character itself."""
    return encoding in (UTF8, "gb18030")
