"""Text without what identifies a person, a machine or an account: secrets, URLs with credentials, home, user, host.

Redacting may take a word too many; it must never leave a secret. It knows what this machine calls secret (values of
environment variables named like one), what is written like one (`token=...`, `Authorization: ...`), and the shapes of
common access tokens.
"""

from __future__ import annotations

import getpass
import os
import platform
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

GONE = "<redacted>"
SECRET_PARTS = frozenset(
    (
        "key", "keys", "pwd", "pass", "passphrase", "auth", "authorization", "cookie", "cookies", "sas", "sig",
        "signature", "session", "otp", "pat", "dsn",
    )
)  # fmt: skip
"""Words that make a name secret where they stand alone between underscores, dashes, dots or capitals."""
SECRET_PIECES = ("token", "secret", "passw", "credential", "apikey", "accesskey", "privatekey", "authkey")
"""Letters that make a name secret wherever they are in it."""
NOBODY = frozenset(
    (
        "root", "user", "users", "admin", "administrator", "ubuntu", "debian", "runner", "nobody", "app", "docker",
        "ec2-user", "jovyan", "vscode", "codespace", "localhost", "build", "builder", "worker", "home",
    )
)  # fmt: skip
"""Names of accounts and machines that identify nobody and are words of ours; they stay."""
ORDINARY = frozenset(
    (
        "train", "val", "test", "store", "run", "runs", "data", "debug", "demo", "model", "image", "images", "mask",
        "maps", "cache", "loss", "batch", "info", "error", "warning", "note", "python", "torch", "cpu", "cuda", "gpu",
    )
)  # fmt: skip
"""A user or host of such a name, or of under three letters, is redacted in paths and addresses only."""
_SHAPES = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"\beyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*",
    r"\bgh[pousr]_\w{16,}",
    r"\bgithub_pat_\w{16,}",
    r"\bglpat-[\w-]{16,}",
    r"\bhf_\w{16,}",
    r"\bsk-[\w-]{16,}",
    r"\bxox[abeoprs]-[\w-]{8,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}",
    r"\bAIza[\w-]{20,}",
    r"\bwandb_v\d+_\w{16,}",
    r"\bnpm_\w{16,}",
    r"\bya29\.[\w-]{16,}",
    r"\b[sr]k_(?:live|test)_\w{12,}",
    r"(?<=hooks\.slack\.com/services/)[\w/]+",
    r"(?<![\w-])\d{6,12}:[A-Za-z0-9_-]{30,}",
    r"(?<=/bot)\d+:[\w-]+",
    r"(?i:(?<=/webhook/)|(?<=/webhooks/)|(?<=/webhookb2/)|(?<=\bwebhook\.site/))[^\s\"'<>]+",
    r"(?i:(?<=/hooks/)|(?<=/services/hooks/))(?=[^\s\"'<>]*\d)[^\s\"'<>]{8,}",
)
_SHAPE = re.compile("|".join(_SHAPES))
_URL = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/\"'<>]+|[^\s/:\"'<>]*:[^\s\"'<>@]+)@")
_HEADER = re.compile(r"""(?i)\b((?:proxy-)?authorization|(?:set-)?cookie)(["']?\s*[:=]\s*["']?)[^\s"'][^\n"']*""")
_SCHEME = re.compile(r"(?i)\b(bearer|basic)\s+(?=\S*[0-9=])[A-Za-z0-9._~+/=-]{6,}")
_WORD = re.compile(
    r"""(?i)\b(passw(?:or)?d|passphrase|secret|token|api[_-]?key|\w+_key|\w+_token)(\s+(?:is\s+)?)"""
    r"""(?=[^\s"']*\d)[^\s"',;]{6,}"""
)
"""`password hunter2`, as in .netrc, in a shell and in sentences: what follows has a digit in it."""
_SAID = re.compile(
    r"""(?i)\b(my\s+(?:\w+\s+)?(?:password|passwd|passphrase|pass\s?code|pin|secret|token|key)\s+(?:is|was|=)\s*:?\s*)"""
    r"""("[^"\n]*"|'[^'\n]*'|[^\s"',;]+)"""
)
"""`my password is swordfish`: whoever says whose it is says what it is, with or without a digit."""
_SHORT_FLAG = re.compile(
    r"""(\b(?:(?:mysql\w*|mariadb[\w-]*|mycli|mongo\w*|sshpass|7z\w?)\b[^\n|;&]*?[ \t]-p|redis-cli\b[^\n|;&]*?[ \t]-a"""
    r"""|ldap\w+\b[^\n|;&]*?[ \t]-w|(?:un)?zip\b[^\n|;&]*?[ \t]-P)[ \t]?)("[^"\n]*"|'[^'\n]*'|[^\s"'-][^\s"']*)"""
)
"""Programs that take a password in a flag of one letter: `mysql -pSECRET`, `redis-cli -a SECRET`."""
_LIST = re.compile(
    r"""(?m)^(?P<head>(?P<indent>[ \t]*)(?:-[ \t]+)?["']?(?P<name>[\w.-]+)["']?[ \t]*:[ \t]*(?:\#[^\n]*)?\r?)"""
    r"""(?P<items>\n(?P=indent)[ \t]*-[ \t][^\n]*(?:\n(?P=indent)[ \t]*-[ \t][^\n]*|\n(?P=indent)[ \t]+\S[^\n]*)*)"""
)
"""A name and the list below it, as in YAML."""
_ITEM = re.compile(r"(\n[ \t]*(?:-[ \t]+)?)[^\r\n]+")
_INLINE = re.compile(r"""(?P<name>[\w.-]+)(?P<mid>["']?\s*[:=]\s*)\[(?P<items>[^\[\]]+)\]""")
"""A name and its list in brackets, as in TOML, JSON and YAML."""
_LONG = re.compile(r"(?i)(\b(?:wandb|key|token|secret|login|credentials?)\b[^\n]{0,80}?)\b[0-9a-f]{40}\b")
"""40 hexadecimal digits are a commit, or a key where the line speaks of one."""
_USER = re.compile(r"(?<!\S)((?:-u|--user)\s+)[^\s:]+:\S+")
_PAIR = re.compile(
    r"""(?<![\w.-])(?P<name>[\w.-]+)(?P<mid>["']?\s*(?:=|:(?!//))\s*)"""
    r"""(?!\[["']?<redacted>|-[ \t]+<redacted>)"""
    r"""(?P<value>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s"',;&)\]}]+)"""
)
_FLAG = re.compile(r"""(?<![\w-])(?P<name>--[A-Za-z][\w-]*)(?P<mid>\s+)(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s-]\S*)""")
_HOMES = re.compile(r"""/(?:home|Users)/[^/\s"':;,<>()]+|[A-Za-z]:(?:\\{1,2}|/)Users(?:\\{1,2}|/)[^\\/\s"':;,<>()]+""")


def is_secret_name(name: str) -> bool:
    """Whether what this name stands for is a secret.

    >>> [is_secret_name(n) for n in ("WANDB_API_KEY", "apiKey", "HF_TOKEN", "db.password", "keypoints", "KeyError")]
    [True, True, True, True, False, False]
    """
    if name.endswith(("Error", "Exception")):
        return False
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    parts = [part.lower() for part in re.split(r"[^A-Za-z0-9]+", split) if part]
    joined = "".join(parts).replace("tokeniz", "").replace("tokeniz", "")
    # MYKEY and OCRKEY are keys, too, but only variables are written like this.
    shouted = name.isupper() and joined.endswith("key")
    return shouted or bool(SECRET_PARTS.intersection(parts)) or any(piece in joined for piece in SECRET_PIECES)


class Redactor:
    """Redacts what belongs to one user on one machine; given at the edge, so that nothing here looks at either."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        homes: tuple[str, ...] = (),
        users: tuple[str, ...] = (),
        hosts: tuple[str, ...] = (),
    ) -> None:
        secrets = {v for k, v in environment.items() if is_secret_name(k) and len(v) >= 6}
        # Longest first: one secret may begin another.
        self._secrets = sorted(secrets, key=lambda s: (-len(s), s))
        kept = {h.rstrip("/\\") for h in homes}
        self._homes = sorted((h for h in kept if len(h) > 1), key=lambda h: (-len(h), h))
        self._names = [
            *((name, "<user>") for name in sorted(set(users)) if name and name.lower() not in NOBODY),
            *((name, "<host>") for name in _hosts(hosts)),
        ]

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, GONE)
        text = _SHAPE.sub(GONE, text)
        text = _URL.sub(rf"\1{GONE}@", text)
        text = _HEADER.sub(rf"\1\2{GONE}", text)
        text = _SCHEME.sub(rf"\1 {GONE}", text)
        text = _LIST.sub(_hide_list, text)
        text = _INLINE.sub(_hide_inline, text)
        text = _PAIR.sub(_hide, text)
        text = _FLAG.sub(_hide, text)
        text = _USER.sub(rf"\1{GONE}", text)
        text = _SHORT_FLAG.sub(rf"\1{GONE}", text)
        text = _SAID.sub(rf"\1{GONE}", text)
        text = _WORD.sub(rf"\1\2{GONE}", text)
        text = _LONG.sub(rf"\1{GONE}", text)
        for home in self._homes:
            text = re.sub(re.escape(home) + r"(?![\w-])", "~", text)
        text = _HOMES.sub("~", text)
        for name, shown in self._names:
            ordinary = len(name) < 3 or name.lower() in ORDINARY
            word = rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])"
            pattern = rf"(?<=[/\\@]){re.escape(name)}(?![A-Za-z0-9])|{word}(?=@)" if ordinary else word
            text = re.sub(pattern, shown, text, flags=re.IGNORECASE)
        return text

    def data(self, value: Any, name: str = "") -> Any:
        """Plain data without secrets: strings are redacted, and whatever has a secret's name is gone."""
        if isinstance(value, Mapping):
            return {self.text(str(k)): self.data(v, str(k)) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(v, name) for v in value]
        if isinstance(value, str):
            return GONE if value and is_secret_name(name) else self.text(value)
        return value


def _hosts(hosts: tuple[str, ...]) -> list[str]:
    """Full names before their first parts; neither if it says nothing."""
    names = {n for host in hosts for n in (host, host.partition(".")[0]) if n and n.lower() not in NOBODY}
    return sorted(names, key=lambda n: (-len(n), n))


def _hide_list(match: re.Match[str]) -> str:
    return match["head"] + _ITEM.sub(rf"\1{GONE}", match["items"]) if is_secret_name(match["name"]) else match[0]


def _hide_inline(match: re.Match[str]) -> str:
    said = match["mid"] + match["items"]
    quote = '"' if '"' in said else "'" if "'" in said else ""
    shown = f"{match['name']}{match['mid']}[{quote}{GONE}{quote}]"
    return shown if is_secret_name(match["name"]) else match[0]


def _hide(match: re.Match[str]) -> str:
    hide: Callable[[str], bool] = is_secret_name
    value = match["value"]
    if not hide(match["name"].lstrip("-")) or value.strip("\"'") in ("", GONE):
        return match[0]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{match['name']}{match['mid']}{quote}{GONE}{quote}"


def this_machine() -> Redactor:
    """What must not leave this machine."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = ""  # an account without a name, as in some containers
    home = Path.home()
    return Redactor(
        environment=os.environ,
        homes=(str(home), os.path.realpath(home)),
        users=(user,),
        hosts=(platform.node(),),
    )
