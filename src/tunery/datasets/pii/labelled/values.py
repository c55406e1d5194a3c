"""Made-up identifiers in the public forms of each kind, with right check digits. Nobody's, but for chance."""

from __future__ import annotations

import base64
import hashlib
import string
from calendar import month_name
from collections.abc import Callable
from random import Random

from tunery.datasets.pii.payment import IBAN_LENGTHS

__all__ = ["VALUES"]

_FIRST = "Ann Bogdan Chen Divya Emeka Farah Greta Hiro Ines João Katya Liam Mei Noor Olga Pavel Quinn Rosa Sven Tariq"
_LAST = "Abbott Bauer Costa Dubois Evans Fischer Garcia Hansen Ivanova Jones Kowalski Lopez Moreau Novak Okafor Patel"
_HOSTS = (
    "example.org example.com mail.example.net uni-beispiel.de ejemplo.es exemple.fr firma.example.pl post.example.jp"
)
Maker = Callable[[Random], str]


def digits(r: Random, count: int, first: str = "") -> str:
    """Return that many digits, the first of them as given."""
    return first + "".join(r.choice("0123456789") for _ in range(count - len(first)))


def letters(r: Random, count: int, alphabet: str = string.ascii_uppercase) -> str:
    """Return that many letters."""
    return "".join(r.choice(alphabet) for _ in range(count))


def _fit(r: Random, make: Callable[[], str], fits: Callable[[str], bool]) -> str:
    while not fits(value := make()):
        pass
    return value


def _total(number: str, weights: list[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(number, weights, strict=True))


def _luhn_digit(number: str) -> str:
    doubled = [int(d) * 2 if i % 2 == 0 else int(d) for i, d in enumerate(reversed(number))]
    return str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def _spaced(value: str, *sizes: int, by: str = " ") -> str:
    parts, start = [], 0
    for size in sizes:
        parts.append(value[start : start + size])
        start += size
    return by.join(parts)


def _date(r: Random, form: str, first: int = 1940, last: int = 2009) -> str:
    year, month, day = r.randint(first, last), r.randint(1, 12), r.randint(1, 28)
    return form.format(yyyy=year, yy=f"{year % 100:02}", mm=f"{month:02}", dd=f"{day:02}")


def email(r: Random) -> str:
    """Return an e-mail address."""
    first, last = r.choice(_FIRST.split()).lower(), r.choice(_LAST.split()).lower()
    forms = (f"{first}.{last}", f"{first}{r.randint(1, 99)}", f"{first[0]}{last}", f"{first}_{last}", f"{first}+news")
    return f"{r.choice(forms)}@{r.choice(_HOSTS.split())}"


_AREAS = ("212", "312", "415", "503", "617", "702", "713", "808", "907", "202")


def phone(r: Random) -> str:
    """Return a telephone number as people write it, in the US and elsewhere."""
    area, exchange, line = r.choice(_AREAS), f"{r.randint(2, 9)}{r.randint(20, 99)}", digits(r, 4)
    if r.random() < 0.55:
        form = r.choice(
            ("({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1 {} {} {}", "+1-{}-{}-{}", "1-{}-{}-{}", "{} {} {}", "+1{}{}{}")
        )
        extension = r.choice(("", "", "", " x" + digits(r, 3), " ext. " + digits(r, 3)))
        return str(form.format(area, exchange, line)) + extension
    return r.choice(
        (
            f"+44 20 7946 {digits(r, 4)}",
            f"+44 7700 900{digits(r, 3)}",
            f"020 7946 {digits(r, 4)}",
            f"+49 151 {digits(r, 8, '2')}",
            f"0151 {digits(r, 8, '2')}",
            f"+49 (0)30 {digits(r, 7, '2')}",
            f"030 / {digits(r, 7, '2')}",
            f"+33 6 {digits(r, 2, '1')} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)}",
            f"06 {digits(r, 2, '1')} {digits(r, 2)} {digits(r, 2)} {digits(r, 2)}",
            f"+91 98{digits(r, 3)} {digits(r, 5)}",
            f"+55 11 9{digits(r, 4, '8')}-{digits(r, 4)}",
            f"+34 6{digits(r, 2, '1')} {digits(r, 3)} {digits(r, 3)}",
            f"+81 90-{digits(r, 4, '1')}-{digits(r, 4)}",
            f"+86 138 {digits(r, 4)} {digits(r, 4)}",
            f"0049 151 {digits(r, 8, '2')}",
        )
    )


def card(r: Random) -> str:
    """Return a card number of a known issuer."""
    prefix, length = r.choice(
        (("4", 16), ("4", 16), ("51", 16), ("2221", 16), ("34", 15), ("37", 15), ("6011", 16), ("3530", 16), ("36", 14))
    )
    number = digits(r, length - 1, prefix)
    number += _luhn_digit(number)
    sizes = {16: (4, 4, 4, 4), 15: (4, 6, 5), 14: (4, 6, 4)}[length]
    return r.choice((number, _spaced(number, *sizes), _spaced(number, *sizes, by="-")))


def iban(r: Random) -> str:
    """Return an account number."""
    country = r.choice(("DE", "GB", "FR", "ES", "IT", "NL", "PL", "CH", "BE", "AT", "SE", "NO", "PT", "BR", "AE"))
    length = IBAN_LENGTHS[country]
    body = letters(r, 4) + digits(r, length - 8) if country in ("GB", "NL") else digits(r, length - 4)
    numeric = "".join(str(int(c, 36)) for c in body + country + "00")
    value = f"{country}{98 - int(numeric) % 97:02}{body}"
    return value if r.random() < 0.5 else " ".join(value[i : i + 4] for i in range(0, length, 4))


def ip_address(r: Random) -> str:
    """Return an IPv4 or IPv6 address."""
    if r.random() < 0.7:
        return f"{r.choice((10, 77, 93, 145, 172, 203))}.{r.randint(0, 255)}.{r.randint(0, 255)}.{r.randint(1, 254)}"
    groups = [f"{r.randint(0x100, 0xFFFF):x}" for _ in range(7)]
    return r.choice((f"2001:db8::{groups[0]}:{groups[1]}", "2001:" + ":".join(groups), f"fe80::{':'.join(groups[:4])}"))


def mac_address(r: Random) -> str:
    """Return a hardware address."""
    pairs = [f"{r.randint(0, 255):02x}" for _ in range(6)]
    return r.choice((":".join(pairs), "-".join(pairs).upper()))


def crypto_address(r: Random) -> str:
    """Return an address of Bitcoin or Ethereum."""
    kind = r.randint(0, 2)
    if kind == 0:
        return "0x" + letters(r, 40, "0123456789abcdef")
    if kind == 1:
        return r.choice(
            (
                "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
                "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
            )
        )
    data = bytes([r.choice((0, 5)), *(r.randint(0, 255) for _ in range(20))])
    data += hashlib.sha256(hashlib.sha256(data).digest()).digest()[:4]
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[rest] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def date_of_birth(r: Random) -> str:
    """Return a day."""
    months = month_name[1:]
    form = r.choice(("{yyyy}-{mm}-{dd}", "{mm}/{dd}/{yyyy}", "{dd}.{mm}.{yyyy}", "{dd}/{mm}/{yy}", "", ""))
    if form:
        return _date(r, form)
    day, year, month = r.randint(1, 28), r.randint(1940, 2009), r.choice(months)
    return r.choice((f"{month} {day}, {year}", f"{day} {month} {year}", f"{day} {month[:3]} {year}"))


def us_ssn(r: Random) -> str:
    """Return a social security number."""
    area = _fit(r, lambda: digits(r, 3), lambda a: a not in ("000", "666") and a[0] != "9")
    number = f"{area}-{r.randint(1, 99):02}-{r.randint(1, 9999):04}"
    return number if r.random() < 0.8 else number.replace("-", r.choice(("", " ")))


def us_itin(r: Random) -> str:
    """Return an individual taxpayer number."""
    return f"9{digits(r, 2)}-{r.randint(70, 88)}-{digits(r, 4)}"


def gb_nino(r: Random) -> str:
    """Return a national insurance number."""
    number = r.choice(("AB", "CE", "JG", "PX", "SR", "TW", "ZY")) + digits(r, 6) + r.choice("ABCD")
    return number if r.random() < 0.5 else _spaced(number, 2, 2, 2, 2, 1)


def gb_nhs(r: Random) -> str:
    """Return a health service number."""
    weights = list(range(10, 1, -1))
    nine = _fit(r, lambda: digits(r, 9, r.choice("49")), lambda n: _total(n, weights) % 11 != 1)
    number = nine + str(-_total(nine, weights) % 11)
    return number if r.random() < 0.4 else _spaced(number, 3, 3, 4)


def de_tax_id(r: Random) -> str:
    """Return a tax number."""
    ten = list("0123456789")
    r.shuffle(ten)
    ten[r.randrange(1, 10)] = ten[0]
    if ten[0] == "0":
        ten = ["1" if d == "0" else "0" if d == "1" else d for d in ten]
    product = 10
    for digit in ten:
        product = ((int(digit) + product) % 10 or 10) * 2 % 11
    number = "".join(ten) + str((11 - product) % 10)
    return number if r.random() < 0.5 else _spaced(number, 2, 3, 3, 3)


def de_id_card(r: Random) -> str:
    """Return the number of an identity card."""
    body = r.choice("CFGHJKLMNPRTVWXYZ") + letters(r, 7, "0123456789CFGHJKLMNPRTVWXYZ") + digits(r, 1)
    return body + str(sum(int(c, 36) * (7, 3, 1)[i % 3] for i, c in enumerate(body)) % 10)


def fr_insee(r: Random) -> str:
    """Return a social security number."""
    body = f"{r.randint(1, 2)}{r.randint(40, 99)}{r.randint(1, 12):02}{r.randint(10, 95)}{digits(r, 6)}"
    number = body + f"{97 - int(body) % 97:02}"
    return number if r.random() < 0.4 else _spaced(number, 1, 2, 2, 2, 3, 3, 2)


def es_nif(r: Random) -> str:
    """Return an identity number of a citizen or a resident."""
    lead = r.choice(("", "", "X", "Y"))
    body = digits(r, 8 - len(lead))
    number = int(("XYZ".index(lead) if lead else 0) * 10**7) + int(body)
    return f"{lead}{body}{r.choice(('', '-'))}{'TRWAGMYFPDXBNJZSQVHLCKE'[number % 23]}"


def it_fiscal_code(r: Random) -> str:
    """Return a fiscal code."""
    consonants = "BCDFGLMNPRSTVZ"
    month = r.choice("ABCDEHLMPRST")
    body = (
        f"{letters(r, 6, consonants)}{digits(r, 2)}{month}{r.randint(1, 28):02}{r.choice('ABCDEFGHIL')}{digits(r, 3)}"
    )
    odd = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]
    places = [int(c, 36) - (10 if c.isalpha() else 0) for c in body]
    total = sum(odd[place] if i % 2 == 0 else place for i, place in enumerate(places))
    return body + chr(65 + total % 26)


def nl_bsn(r: Random) -> str:
    """Return a citizen service number."""
    weights = [9, 8, 7, 6, 5, 4, 3, 2]
    body = _fit(r, lambda: digits(r, 8, r.choice("123")), lambda n: _total(n, weights) % 11 != 10)
    return body + str(_total(body, weights) % 11)


def pl_pesel(r: Random) -> str:
    """Return a national number."""
    body = _date(r, "{yy}{mm}{dd}", 1940, 1999) + digits(r, 4)
    return body + str(-_total(body, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10)


def _two_mod11(body: str, first: list[int], second: list[int]) -> str:
    for weights in (first, second):
        left = _total(body, weights) % 11
        body += "0" if left < 2 else str(11 - left)
    return body


def br_cpf(r: Random) -> str:
    """Return a taxpayer number."""
    n = _two_mod11(digits(r, 9), list(range(10, 1, -1)), list(range(11, 1, -1)))
    return n if r.random() < 0.3 else f"{n[:3]}.{n[3:6]}.{n[6:9]}-{n[9:]}"


def br_cnpj(r: Random) -> str:
    """Return a company's number."""
    weights = [5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    n = _two_mod11(digits(r, 8) + "0001", weights, [6, *weights])
    return n if r.random() < 0.3 else f"{n[:2]}.{n[2:5]}.{n[5:8]}/{n[8:12]}-{n[12:]}"


def in_aadhaar(r: Random) -> str:
    """Return a resident's number."""
    table = [[0] * 10 for _ in range(10)]
    for a in range(10):
        for b in range(10):
            table[a][b] = (a + b) % 5 + 5 * ((a > 4) ^ (b > 4)) if a < 5 else (a - b) % 5 + 5 * ((a > 4) ^ (b > 4))
    steps = [list(range(10)), [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]]
    while len(steps) < 8:
        steps.append([steps[-1][steps[1][i]] for i in range(10)])
    body, check = digits(r, 11, r.choice("23456789")), 0
    for place, digit in enumerate(reversed(body), start=1):
        check = table[check][steps[place % 8][int(digit)]]
    number = body + str(next(d for d in range(10) if table[check][d] == 0))
    return number if r.random() < 0.3 else _spaced(number, 4, 4, 4)


def in_pan(r: Random) -> str:
    """Return a tax account number."""
    return letters(r, 3) + r.choice("PPPCHF") + letters(r, 1) + digits(r, 4) + letters(r, 1)


def cn_resident_id(r: Random) -> str:
    """Return an identity number."""
    body = digits(r, 6, r.choice(("11", "31", "44", "51"))) + _date(r, "{yyyy}{mm}{dd}") + digits(r, 3)
    return body + "10X98765432"[_total(body, [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11]


def jp_my_number(r: Random) -> str:
    """Return an individual number."""
    body = digits(r, 11)
    left = _total(body, [6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11
    number = body + str(0 if left <= 1 else 11 - left)
    return number if r.random() < 0.5 else _spaced(number, 4, 4, 4)


def kr_rrn(r: Random) -> str:
    """Return a resident registration number."""
    body = _date(r, "{yy}{mm}{dd}", 1940, 1999) + digits(r, 6, r.choice("12"))
    check = (11 - _total(body, [2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10
    return f"{body[:6]}-{body[6:]}{check}"


def ca_sin(r: Random) -> str:
    """Return a social insurance number."""
    number = digits(r, 8, r.choice("1245679"))
    number += _luhn_digit(number)
    return r.choice((number, _spaced(number, 3, 3, 3), _spaced(number, 3, 3, 3, by="-")))


def au_tfn(r: Random) -> str:
    """Return a tax file number."""
    weights = [1, 4, 3, 7, 5, 8, 6, 9, 10]
    number = _fit(r, lambda: digits(r, 9, r.choice("123456789")), lambda n: _total(n, weights) % 11 == 0)
    return number if r.random() < 0.4 else _spaced(number, 3, 3, 3)


def au_medicare(r: Random) -> str:
    """Return a health insurance number."""
    body = digits(r, 8, r.choice("23456"))
    number = body + str(_total(body, [1, 3, 7, 9, 1, 3, 7, 9]) % 10) + r.choice("12345")
    return number if r.random() < 0.4 else _spaced(number, 4, 5, 1)


def be_national(r: Random) -> str:
    """Return a national register number."""
    body = _date(r, "{yy}{mm}{dd}", 1940, 1999) + f"{r.randint(1, 997):03}"
    n = body + f"{97 - int(body) % 97:02}"
    return n if r.random() < 0.3 else f"{n[:2]}.{n[2:4]}.{n[4:6]}-{n[6:9]}.{n[9:]}"


def se_personal(r: Random) -> str:
    """Return a personal number."""
    body = _date(r, "{yy}{mm}{dd}", 1940, 1999) + digits(r, 3)
    return f"{r.choice(('', '19'))}{body[:6]}-{body[6:]}{_luhn_digit(body)}"


def fi_hetu(r: Random) -> str:
    """Return a personal identity code."""
    date, serial = _date(r, "{dd}{mm}{yy}", 1940, 1999), f"{r.randint(2, 899):03}"
    return f"{date}-{serial}{'0123456789ABCDEFHJKLMNPRSTUVWXY'[int(date + serial) % 31]}"


def no_birth(r: Random) -> str:
    """Return a birth number."""
    first, second = [3, 7, 6, 1, 8, 9, 4, 5, 2], [5, 4, 3, 2, 7, 6, 5, 4, 3, 2]
    while True:
        body = _date(r, "{dd}{mm}{yy}", 1940, 1999) + digits(r, 3)
        one = -_total(body, first) % 11
        two = -_total(body + str(one % 10), second) % 11
        if one < 10 and two < 10:
            return f"{body[:6]}{r.choice(('', ' '))}{body[6:]}{one}{two}"


def dk_cpr(r: Random) -> str:
    """Return a person number."""
    return _date(r, "{dd}{mm}{yy}", 1940, 1999) + "-" + digits(r, 4)


def ch_ahv(r: Random) -> str:
    """Return an old-age insurance number."""
    n = "756" + digits(r, 9)
    n += str(-_total(n, [1, 3] * 6) % 10)
    return n if r.random() < 0.3 else f"{n[:3]}.{n[3:7]}.{n[7:11]}.{n[11:]}"


def pt_nif(r: Random) -> str:
    """Return a tax number."""
    body = digits(r, 8, r.choice("12"))
    left = _total(body, list(range(9, 1, -1))) % 11
    number = body + str(0 if left < 2 else 11 - left)
    return number if r.random() < 0.5 else _spaced(number, 3, 3, 3)


def za_id(r: Random) -> str:
    """Return an identity number."""
    body = _date(r, "{yy}{mm}{dd}", 1940, 1999) + digits(r, 4) + r.choice("01") + "8"
    return body + _luhn_digit(body)


def mx_curp(r: Random) -> str:
    """Return a population registry code."""
    body = r.choice("GHLMPR") + r.choice("AEIOU") + letters(r, 2, "BCDFGLMN") + _date(r, "{yy}{mm}{dd}", 1940, 1999)
    body += r.choice("HM") + r.choice(("DF", "JC", "NL")) + letters(r, 3, "BCDFGLMN") + "0"
    alphabet = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    return body + str(-sum(alphabet.index(c) * (18 - i) for i, c in enumerate(body)) % 10)


def tr_identity(r: Random) -> str:
    """Return an identity number."""
    body = digits(r, 9, r.choice("123456789"))
    ten = body + str((sum(map(int, body[::2])) * 7 - sum(map(int, body[1::2]))) % 10)
    return ten + str(sum(map(int, ten)) % 10)


def sg_nric(r: Random) -> str:
    """Return an identity card number."""
    lead, body = r.choice("STFG"), digits(r, 7)
    total = _total(body, [2, 7, 6, 5, 4, 3, 2]) + (4 if lead in "TG" else 0)
    return lead + body + ("JZIHGFEDCBA" if lead in "ST" else "XWUTRQPNMLK")[total % 11]


def ru_snils(r: Random) -> str:
    """Return a pension account number."""
    n = digits(r, 9, r.choice("123456789"))
    return f"{_spaced(n, 3, 3, 3, by='-')} {_total(n, list(range(9, 0, -1))) % 101 % 100:02}"


def pk_cnic(r: Random) -> str:
    """Return an identity card number."""
    return f"{digits(r, 5, '3')}-{digits(r, 7)}-{digits(r, 1)}"


def vin(r: Random) -> str:
    """Return a vehicle's number."""
    values = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True))
    body = r.choice(("1HG", "WBA", "JH4", "5YJ", "2T1")) + letters(r, 5, "ABCDEFGHJKLMNPRSTUVWXYZ0123456789")
    tail = r.choice("ABCDEFGH") + r.choice("ABCDEFGH") + digits(r, 6)
    weights = [8, 7, 6, 5, 4, 3, 2, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    total = sum((values[c] if c.isalpha() else int(c)) * w for c, w in zip(body + tail, weights, strict=True)) % 11
    return body + ("X" if total == 10 else str(total)) + tail


def url_credentials(r: Random) -> str:
    """Return a user and a password as URLs carry them."""
    return f"{r.choice(('admin', 'svc-sync', 'reader', 'bob'))}:{letters(r, r.randint(6, 14), string.ascii_letters)}"


_ALNUM = string.ascii_letters + string.digits


def api_key(r: Random) -> str:
    """Return a key in the form of one of many services."""
    return r.choice(
        (
            lambda: "AKIA" + letters(r, 16, string.ascii_uppercase + "234567"),
            lambda: "ghp_" + letters(r, 36, _ALNUM),
            lambda: "github_pat_" + letters(r, 22, _ALNUM) + "_" + letters(r, 59, _ALNUM),
            lambda: f"xoxb-{digits(r, 11)}-{digits(r, 12)}-{letters(r, 24, _ALNUM)}",
            lambda: "AIza" + letters(r, 35, _ALNUM + "_-"),
            lambda: "sk_live_" + letters(r, 24, _ALNUM),
            lambda: "sk-proj-" + letters(r, 48, _ALNUM),
            lambda: "hf_" + letters(r, 34, string.ascii_letters),
            lambda: "glpat-" + letters(r, 20, _ALNUM),
            lambda: "npm_" + letters(r, 36, _ALNUM),
        )
    )()


def jwt(r: Random) -> str:
    """Return a signed token."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head, claims = part(b'{"alg":"HS256","typ":"JWT"}'), part(b'{"sub":"%d"}' % r.randint(10**7, 10**8))
    return f"{head}.{claims}.{letters(r, 43, _ALNUM + '-_')}"


def private_key(r: Random) -> str:
    """Return a key block."""
    name = r.choice(("RSA ", "EC ", "OPENSSH ", ""))
    body = "\n".join(letters(r, 64, _ALNUM + "+/") for _ in range(3))
    return f"-----BEGIN {name}PRIVATE KEY-----\n{body}\n-----END {name}PRIVATE KEY-----"


def password(r: Random) -> str:
    """Return a password."""
    return letters(r, r.randint(8, 16), string.ascii_letters + "0123456789!#%*+_-")


VALUES: dict[str, Maker] = {
    made.__name__.upper(): made
    for made in (
        email, phone, card, iban, ip_address, mac_address, crypto_address, date_of_birth, us_ssn, us_itin, gb_nino,
        gb_nhs, de_tax_id, de_id_card, fr_insee, es_nif, it_fiscal_code, nl_bsn, pl_pesel, br_cpf, br_cnpj, in_aadhaar,
        in_pan, cn_resident_id, jp_my_number, kr_rrn, ca_sin, au_tfn, au_medicare, be_national, se_personal, fi_hetu,
        no_birth, dk_cpr, ch_ahv, pt_nif, za_id, mx_curp, tr_identity, sg_nric, ru_snils,
        pk_cnic, vin, url_credentials, api_key, jwt, private_key, password,
    )
}  # fmt: skip
"""What makes a value of each kind."""
