"""What the rules look for beyond layer 1: dates, places, ages, codes with a word before them, terms, media.

These forms tell little by themselves (a date is no personal datum), so they are no detectors of the redacting steps.
Their recall was not measured, and reports say so. Sources of the lists: 45 CFR 164.514(b)(2) and the guidance of HHS of
2012-11-26 (three-digit ZIP codes of the census of 2000); GDPR Art. 8 and 9; CCPA section 1798.140(w) on precise places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tunery.datasets.pii import Finding

__all__ = ["SMALL_ZIP3", "TERM_LANGUAGES", "FormDetector"]

SMALL_ZIP3 = frozenset(
    {
        "036",
        "059",
        "063",
        "102",
        "203",
        "556",
        "692",
        "790",
        "821",
        "823",
        "830",
        "831",
        "878",
        "879",
        "884",
        "890",
        "893",
    }
)
"""First three digits of areas with 20,000 people or fewer (census of 2000)."""

TERM_LANGUAGES = ("de", "en", "es", "fr")

_MONTH = (
    r"(?:jan(?:uary|uar)?|feb(?:ruary|ruar)?|mar(?:ch)?|m[aä]rz|apr(?:il)?|may|mai|june?|juni|july?|juli|"
    r"aug(?:ust)?|sep(?:t(?:ember)?)?|o[ck]t(?:ober)?|nov(?:ember)?|de[cz](?:ember)?)"
)
_YEAR = r"(?:1[89]|20)[0-9]{2}"
_CODE = r"(?=[a-z/-]{0,20}[0-9])[a-z0-9][a-z0-9/-]{3,30}"
_GAP = r"(?:[\s:#=-]{1,4}|\s(?:is|no\.?|number|nr\.?)[\s:#=]{1,3}){1,2}"
_TERMS = (
    # health
    "diagnosis|diagnosed|hiv|cancer|diabetes|depression|schizophrenia|pregnant|pregnancy|disability|chemotherapy|"
    "psychiatric|prescription|diagnose|krebs|schwanger|behinderung|depressionen|cáncer|embarazada|discapacidad|sida|"
    "enceinte|handicap|grossesse|"
    # religion, belief
    "catholic|protestant|muslim|jewish|hindu|buddhist|atheist|katholisch|evangelisch|muslimisch|jüdisch|católico|"
    "judío|musulmán|catholique|musulman|juif|"
    # union, politics
    "trade union|union member|labor union|gewerkschaft|sindicato|syndicat|political party|party member|parteimitglied|"
    # sex life, orientation
    "homosexual|heterosexual|bisexual|gay|lesbian|transgender|sexual orientation|homosexuell|lesbisch|"
    # origin, genes, body
    "ethnicity|ethnic origin|racial|genetic test|dna test|fingerprint|iris scan|biometric|biometrisch|biométrico"
)
_FORMS: tuple[tuple[str, str], ...] = (
    ("DATE", rf"(?<![0-9./-])(?:{_YEAR}([-/.])[0-9]{{1,2}}\1[0-9]{{1,2}}|[0-9]{{1,2}}([-/.])[0-9]{{1,2}}\2(?:{_YEAR}|"
     r"[0-9]{2}))(?![0-9])(?![-/.][0-9])"),
    ("DATE", rf"(?<![^\W_])(?:[0-9]{{1,2}}(?:st|nd|rd|th|\.)?(?: of)?[ -])?{_MONTH}\.?,?[ -](?:[0-9]{{1,2}}"
     rf"(?:st|nd|rd|th)?,? )?{_YEAR}(?![0-9])"),
    ("DATE_LIKE", rf"(?<![^\W_]){_MONTH}\.? [0-9]{{1,2}}(?:st|nd|rd|th)?(?![0-9])|(?<![0-9])[0-9]{{1,2}}"
     rf"(?:st|nd|rd|th|\.)?(?: of)?[ -]{_MONTH}(?![^\W_])|(?<![0-9./-])(?:0?[1-9]|1[0-2])/(?:0?[1-9]|[12][0-9]|3[01])"
     rf"(?![0-9/])|(?<![0-9.-]){_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])(?![0-9.-])"),
    ("AGE_90", r"(?<![^\W_])(?:(?:aged?|alter)[\s:=]{1,3}(?:9[0-9]|1[01][0-9])(?![0-9])|(?:9[0-9]|1[01][0-9])[ -]"
     r"(?:years?|yrs?|jahre)[ -](?:old|of age|alt))"),
    ("AGE_CHILD", r"(?<![^\W_])(?:(?:aged?|alter)[\s:=]{1,3}(?:1[0-5]|[0-9])(?![0-9])|(?:1[0-5]|[0-9])[ -]"
     r"(?:years?|yrs?|jahre)[ -](?:old|alt))"),
    ("URL", r"(?:https?|ftp)://[^\s<>\"']{3,500}|(?<![^\W_])www\.[a-z0-9-]{1,63}\.[a-z]{2,20}"),
    ("ZIP", r"(?<![^\W_])(?:zip(?: ?code)?|postal code|postcode|plz)[\s:=]{1,3}[0-9]{5}(?:-[0-9]{4})?(?![0-9])|"
     r", (?:a[lkzr]|c[aot]|d[ce]|fl|ga|hi|i[dlna]|k[sy]|la|m[edainsot]|n[evhjmycd]|o[hkr]|pa|ri|s[cd]|t[nx]|ut|v[ta]|"
     r"w[aivy]) [0-9]{5}(?:-[0-9]{4})?(?![0-9])"),
    ("ZIP3", rf"(?<![^\W_])zip(?: ?code)?[\s:=]{{1,3}}(?:{'|'.join(sorted(SMALL_ZIP3))})(?![0-9])"),
    ("STREET", r"(?<![^\W_])[0-9]{1,5} (?:[^\W\d_]{1,20}\.? ){1,3}(?:street|st|avenue|ave|road|rd|boulevard|blvd|lane|"
     r"ln|drive|dr|court|ct|square|terrace)(?![^\W_])|(?<![^\W_])[^\W\d_]{2,30}(?:straße|strasse|str\.|weg|gasse|platz)"
     r" [0-9]{1,4}(?![0-9])|(?<![^\W_])[0-9]{1,4},? (?:rue|avenue|boulevard) [^\W\d_]{2,30}"),
    ("COORDINATES", r"(?<![0-9.])-?[0-9]{1,2}\.[0-9]{3,12}, ?-?[0-9]{1,3}\.[0-9]{3,12}(?![0-9.])|"
     r"(?<![^\W_])(?:lat|lon|lng|long|latitude|longitude|coordinates?)[\s:=]{1,3}-?[0-9]{1,3}\.[0-9]{3,17}(?![0-9.])"),
    ("RECORD_NUMBER", r"(?<![^\W_])(?:mrn|medical record|patient id|chart number|health plan|member id|beneficiary|"
     rf"policy|account|acct|certificate|driver'?s licen[cs]e|licen[cs]e|passport){_GAP}{_CODE}"),
    ("DEVICE_ID", rf"(?<![^\W_])(?:licen[cs]e plate|number plate|kennzeichen|serial|imei|udi|device id){_GAP}{_CODE}"),
    ("MEDIA", r"data:(?:image|audio|video)/|^(?:image_url|input_image|input_audio|video_url)$|"
     r"[^\s\"'<>]{1,200}\.(?:jpe?g|png|gif|webp|heic|tiff?|bmp|wav|mp3|flac|m4a|mp4|mov)(?![^\W_])"),
    ("SPECIAL_CATEGORY", rf"(?<![^\W_])(?:{_TERMS})(?![^\W_])"),
)  # fmt: skip
_HINTS = {"URL": ("://", "www."), "MEDIA": (".", "data:", "_"), "SPECIAL_CATEGORY": ("",)}
"""What must stand in a text for a form to be looked for; the others need a digit."""

_DIGIT = re.compile(r"[0-9]")
_COMPILED = tuple((kind, _HINTS.get(kind), re.compile(pattern)) for kind, pattern in _FORMS)


class FormDetector:
    """Finds the forms above, in lower case."""

    name = "forms"
    version = "2"
    kinds: tuple[str, ...] = tuple(sorted({kind for kind, _ in _FORMS}))

    def find(self, text: str) -> list[Finding]:
        """Return what is in the text."""
        lower = text.lower()
        return list(self._find(lower if len(lower) == len(text) else text))

    def _find(self, text: str) -> Iterator[Finding]:
        has_digit = _DIGIT.search(text) is not None
        for kind, hints, pattern in _COMPILED:
            if has_digit if hints is None else any(hint in text for hint in hints):
                for match in pattern.finditer(text):
                    yield Finding(kind, match.start(), match.end(), 0.6)
