"""Keys, tokens and passwords: known prefixes, key blocks, assignments, and what is too random to be a word."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from tunery.datasets.pii import DETECTORS, Finding
from tunery.datasets.pii.internet import find_url_credentials

__all__ = ["SecretDetector", "entropy"]

_OPEN, _CLOSE = r"(?<![0-9A-Za-z_])", r"(?![0-9A-Za-z_])"
_PREFIXES: tuple[tuple[str, str], ...] = (
    ("AKIA", r"[A-Z2-7]{16}"),  # Amazon Web Services
    ("ASIA", r"[A-Z2-7]{16}"),
    ("ghp_", r"[0-9A-Za-z]{36,251}"),  # GitHub
    ("gho_", r"[0-9A-Za-z]{36,251}"),
    ("ghu_", r"[0-9A-Za-z]{36,251}"),
    ("ghs_", r"[0-9A-Za-z]{36,251}"),
    ("ghr_", r"[0-9A-Za-z]{36,251}"),
    ("github_pat_", r"[0-9A-Za-z_]{60,251}"),
    ("glpat-", r"[0-9A-Za-z_.-]{20,64}"),  # GitLab
    ("xox", r"[abeoprs]-[0-9A-Za-z-]{10,250}"),  # Slack
    ("xapp-", r"[0-9A-Za-z-]{20,250}"),
    ("hooks.slack.com/services/", r"T[0-9A-Z]{8,12}/B[0-9A-Z]{8,12}/[0-9A-Za-z]{20,32}"),
    ("AIza", r"[0-9A-Za-z_-]{35}"),  # Google
    ("ya29.", r"[0-9A-Za-z_-]{20,250}"),
    ("GOCSPX-", r"[0-9A-Za-z_-]{28}"),
    ("sk_live_", r"[0-9A-Za-z]{16,250}"),  # Stripe
    ("sk_test_", r"[0-9A-Za-z]{16,250}"),
    ("rk_live_", r"[0-9A-Za-z]{16,250}"),
    ("whsec_", r"[0-9A-Za-z+/=]{24,250}"),
    ("sk-", r"(?:proj-|svcacct-|ant-(?:api\d\d-)?|or-v1-)?[0-9A-Za-z_-]{32,250}"),  # OpenAI, Anthropic and others
    ("hf_", r"[A-Za-z]{30,40}"),  # Hugging Face
    ("npm_", r"[0-9A-Za-z]{36}"),
    ("pypi-", r"AgEIcHlwaS5vcmc[0-9A-Za-z_-]{50,250}"),
    ("SG.", r"[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{32,64}"),  # SendGrid
    ("dop_v1_", r"[0-9a-f]{64}"),  # DigitalOcean
    ("shpat_", r"[0-9a-fA-F]{32}"),  # Shopify
    ("tskey-", r"[0-9A-Za-z-]{20,80}"),  # Tailscale
    ("AGE-SECRET-KEY-1", r"[0-9A-Z]{58}"),
)
_KEYS = re.compile(_OPEN + "(?:" + "|".join(re.escape(prefix) + rest for prefix, rest in _PREFIXES) + ")" + _CLOSE)
_JWT = re.compile(r"eyJ[0-9A-Za-z_-]{8,2000}\.eyJ[0-9A-Za-z_-]{2,8000}\.[0-9A-Za-z_-]{0,2000}")
_BEGIN, _END = "-----BEGIN ", "-----END "
_BLOCK = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_BLOCK_END = re.compile(r"-----END (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_BLOCK = 20_000
_NAME = (
    r"(?:pass(?:word|wd|phrase|code)?|pwd|secret|token|api[_-]?key|access[_-]?key|auth[_-]?key|private[_-]?key|"
    r"credential|passwort|contraseña|mot de passe)"
)
_ASSIGNED = re.compile(
    _NAME + r"[a-z0-9_]{0,24}[\"']?\s{0,3}"
    r"(?::=|=>|==|=|:|\bis\b|\bist\b|\bes\b|\best\b)\s{0,3}",
)
_VALUE = re.compile(r"\"([^\"\s]{6,200})\"|'([^'\s]{6,200})'|`([^`\s]{6,200})`|([^\s\"'`,;)}\]<>]{6,200})")
_STEMS = ("pass", "pwd", "secret", "token", "key", "credential", "contraseña")
_PLAIN = re.compile(
    r"[<\[{$%(]|\*{3}|.*(?:example|changeme|placeholder|xxxx|\.\.\.|your[_-])|(?:none|null|true|false|undefined|required|"
    r"optional|string|password|secret|token)s?\W*$|os\.|process\.|self\.|env[.(\[]|get",
    re.IGNORECASE,
)
_LONG = re.compile(r"[0-9A-Za-z+_-](?<![0-9A-Za-z+/=_.-].)[0-9A-Za-z+/_-]{31,199}+={0,2}(?![0-9A-Za-z+/=_.-])")
_LEAST_ENTROPY = 4.3
_CHARACTER_CLASSES = (re.compile("[0-9]"), re.compile("[a-z]"), re.compile("[A-Z]"))


def entropy(text: str) -> float:
    """Return the entropy of a text's characters in bits each. Source: Shannon 1948."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


@DETECTORS.register("secrets")
class SecretDetector:
    """Finds what opens doors: keys of known services, key blocks, signed tokens, passwords, random strings."""

    name = "secrets"
    version = "1"
    kinds: tuple[str, ...] = ("API_KEY", "HIGH_ENTROPY", "JWT", "PASSWORD", "PRIVATE_KEY", "URL_CREDENTIALS")

    def find(self, text: str) -> list[Finding]:
        """Return what is in the text."""
        return list(self._find(text))

    def _find(self, text: str) -> Iterator[Finding]:
        if len(text) < 8:
            return
        if any(prefix in text for prefix, _ in _PREFIXES):
            for match in _KEYS.finditer(text):
                yield Finding("API_KEY", match.start(), match.end(), 0.95)
        if "eyJ" in text:
            for match in _JWT.finditer(text):
                yield Finding("JWT", match.start(), match.end(), 0.95)
        if _BEGIN in text:
            yield from _blocks(text)
        if "://" in text and "@" in text:
            yield from find_url_credentials(text)
        yield from _passwords(text)
        if len(text) >= 32:
            yield from _random(text)


def _blocks(text: str) -> Iterator[Finding]:
    """Yield key blocks; one without an end is covered as far as one may reach."""
    for match in _BLOCK.finditer(text):
        limit = min(len(text), match.end() + _LONGEST_BLOCK)
        end = _BLOCK_END.search(text, match.end(), limit)
        following = text.find(_BEGIN, match.end(), limit)
        yield Finding("PRIVATE_KEY", match.start(), end.end() if end else following if following > 0 else limit, 1.0)


def _passwords(text: str) -> Iterator[Finding]:
    lower = text.lower()
    if len(lower) != len(text) or not any(stem in lower for stem in _STEMS):
        return
    for name in _ASSIGNED.finditer(lower):
        value = _VALUE.match(text, name.end())
        if value is None:
            continue
        group = value.lastindex or 0
        secret = value[group].rstrip(".") if group == 4 else value[group]
        if _PLAIN.match(secret) or not _could_be_password(secret, name[0]):
            continue
        yield Finding("PASSWORD", value.start(group), value.start(group) + len(secret), 0.8)


def _could_be_password(value: str, assignment: str) -> bool:
    classes = sum(pattern.search(value) is not None for pattern in _CHARACTER_CLASSES)
    if assignment.rstrip()[-1:] in "=:>" and "pass" in assignment and len(value) >= 6:
        return classes >= 2 or (len(value) >= 8 and not value.isalpha())
    return classes >= 2 and len(value) >= 8 and (classes == 3 or entropy(value) > 2.8)


def _random(text: str) -> Iterator[Finding]:
    for match in _LONG.finditer(text):
        value = match[0]
        if all(pattern.search(value) for pattern in _CHARACTER_CLASSES) and entropy(value) >= _LEAST_ENTROPY:
            yield Finding("HIGH_ENTROPY", match.start(), match.end(), 0.6)
