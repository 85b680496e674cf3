"""Secrets in texts are told to nobody: not in logs, not by operations, not on the desk.

A secret is what stands under a name that says so, a login in a URL, and a JSON Web Token.
"""

import re

REDACTED = "[redacted]"

_WORDS = (
    r"pass(?:word|wd|phrase|code)|pwd|secret|token|authori[sz]ation|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential|cookie|session[_-]?id"
)
SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_VALUE = (
    r"(?!\[redacted\])(?:(?:Bearer|Basic|Digest)\s+)?"
    r"(?:\\\"(?:(?!\\\").)*(?:\\\")?|\"(?:[^\"\\]|\\.)*\"?|'(?:[^'\\]|\\.)*'?|[^\s,;&}\]]+)"
)
# A body may be megabytes of anything: nothing here may look through all of it again from each of its places.
_NAMED = re.compile(
    rf"(?P<name>(?:{_WORDS})[\w.-]{{0,50}}\\?[\"']?\s*[:=]\s*)(?P<value>{_VALUE})", re.IGNORECASE
)
_AUTHORIZATION = re.compile(r"(\bauthori[sz]ation\s*[:=]\s*)\w[\w-]*\s+[^\s,;\"'}\]]+", re.IGNORECASE)
_PAIR = r"[^\s,;=\"']{1,100}=[^\s,;]*"
_COOKIE = re.compile(rf"(cookie\s*[:=]\s*){_PAIR}(?:;\s*{_PAIR})*", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"(?<![\w.-])eyJ[\w-]{5,}\.[\w-]+\.[\w-]*")
_LOGIN = re.compile(r"(?<=://)[^\s/@:]*:[^\s/]*(?=@)")


def redacted_text(text: str) -> str:
    """The text without its secrets."""
    for whole in (_AUTHORIZATION, _COOKIE):
        text = whole.sub(lambda found: found[1] + REDACTED, text)
    text = _NAMED.sub(lambda found: found["name"] + REDACTED, text)
    text = _BEARER.sub(lambda found: f"{found[1]} {REDACTED}", text)
    return _JWT.sub(REDACTED, _LOGIN.sub(REDACTED, text))
