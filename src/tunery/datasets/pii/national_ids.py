"""National identity, tax, insurance and health numbers: their forms and check rules.

Each rule gets the number without separators, in upper case. Sources: the issuing bodies' published rules, named in
each line's comment where the rule has no name of its own.
"""

from __future__ import annotations

from calendar import monthrange

from tunery.datasets.pii.checksums import iso7064_mod11_10, luhn, verhoeff, weighted
from tunery.datasets.pii.recognizers import Recognizer, grouped

__all__ = ["FEW_DIGITS", "ID_CARD", "NATIONAL_IDS", "is_date"]


def is_date(year: int, month: int, day: int) -> bool:
    """Tell whether there is such a day."""
    return 1 <= month <= 12 and 1 <= day <= monthrange(year if year > 0 else 2000, month)[1]


def _us_ssn(n: str) -> bool:  # SSA, randomisation of 2011: no area 000, 666 or 9xx, no group 00, no serial 0000
    return n[:3] not in ("000", "666") and n[0] != "9" and n[3:5] != "00" and n[5:] != "0000"


def _us_itin(n: str) -> bool:  # IRS, publication 1915
    group = int(n[3:5])
    return n[0] == "9" and (50 <= group <= 65 or 70 <= group <= 88 or 90 <= group <= 92 or 94 <= group <= 99)


def _gb_nino(n: str) -> bool:  # HMRC, NIM39110
    return n[:2] not in ("BG", "GB", "NK", "KN", "TN", "NT", "ZZ")


def _gb_nhs(n: str) -> bool:
    return (11 - weighted(n, range(10, 1, -1)) % 11) % 11 == int(n[9])


def _de_tax_id(n: str) -> bool:  # of the first ten digits one stands twice or three times, the others once at most
    counts = sorted(n[:10].count(digit) for digit in set(n[:10]))
    return counts[-1] in (2, 3) and counts[-2] == 1 and iso7064_mod11_10(n)


def _de_id_card(n: str) -> bool:  # ICAO 9303: weights 7, 3, 1; letters from A = 10
    return sum(int(c, 36) * (7, 3, 1)[i % 3] for i, c in enumerate(n[:9])) % 10 == int(n[9])


def _fr_insee(n: str) -> bool:
    number = int(n[:13].replace("2A", "19").replace("2B", "18"))
    month = int(n[3:5])
    return (1 <= month <= 12 or 20 <= month <= 42 or month >= 50) and 97 - number % 97 == int(n[13:])


def _es_nif(n: str) -> bool:
    digits = n[:8] if n[0].isdigit() else str("XYZ".index(n[0])) + n[1:8]
    return n[8] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(digits) % 23]


_IT_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def _it_fiscal_code(n: str) -> bool:  # Decreto ministeriale 23/12/1976
    values = [int(c) if c.isdigit() else ord(c) - 65 for c in n[:15]]
    total = sum(_IT_ODD[value] if i % 2 == 0 else value for i, value in enumerate(values))
    return chr(65 + total % 26) == n[15]


def _nl_bsn(n: str) -> bool:
    return n != "000000000" and weighted(n, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _pl_pesel(n: str) -> bool:
    century, month = divmod(int(n[2:4]), 20)
    year = (1900, 2000, 2100, 2200, 1800)[century] + int(n[:2])
    return is_date(year, month, int(n[4:6])) and weighted(n, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def _mod11_below_2(n: str, weights: range | tuple[int, ...]) -> int:
    left = weighted(n, weights) % 11
    return 0 if left < 2 else 11 - left


def _br_cpf(n: str) -> bool:
    first, second = _mod11_below_2(n, range(10, 1, -1)), _mod11_below_2(n, range(11, 1, -1))
    return len(set(n)) > 1 and n[9:] == f"{first}{second}"


def _br_cnpj(n: str) -> bool:  # letters count as their ASCII code less 48 (IN RFB 2.229/2024)
    values = [ord(c) - 48 for c in n]
    weights = (5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)
    for length, weighing in ((12, weights), (13, (6, *weights))):
        left = sum(v * w for v, w in zip(values[:length], weighing, strict=True)) % 11
        if values[length] != (0 if left < 2 else 11 - left):
            return False
    return len(set(n)) > 1


def _cn_resident_id(n: str) -> bool:  # GB 11643-1999
    if not (1880 <= int(n[6:10]) <= 2099 and is_date(int(n[6:10]), int(n[10:12]), int(n[12:14]))):
        return False
    return "10X98765432"[weighted(n[:17], (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)) % 11] == n[17]


def _jp_my_number(n: str) -> bool:
    left = weighted(n, (6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)) % 11
    return int(n[11]) == (0 if left <= 1 else 11 - left)


def _kr_rrn(n: str) -> bool:  # numbers given since October 2020 have no check digit
    century = {"1": 1900, "2": 1900, "5": 1900, "6": 1900, "9": 1800, "0": 1800}.get(n[6], 2000)
    return is_date(century + int(n[:2]), int(n[2:4]), int(n[4:6]))


def _ca_sin(n: str) -> bool:
    return n[0] not in "08" and luhn(n)


def _au_tfn(n: str) -> bool:
    return weighted(n, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def _au_medicare(n: str) -> bool:
    return weighted(n, (1, 3, 7, 9, 1, 3, 7, 9)) % 10 == int(n[8])


def _be_national(n: str) -> bool:
    return int(n[9:]) in (97 - int(n[:9]) % 97, 97 - int("2" + n[:9]) % 97)


def _se_personal(n: str) -> bool:
    short = n.replace("+", "")[-10:]  # of those over a hundred the separator is a plus
    return is_date(2000, int(short[2:4]), int(short[4:6]) % 60) and luhn(short)


def _fi_hetu(n: str) -> bool:
    letter = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(n[:6] + n[-4:-1]) % 31]
    return is_date(2000, int(n[2:4]), int(n[:2])) and letter == n[-1]


def _no_birth(n: str) -> bool:
    return (
        is_date(2000, int(n[2:4]) % 40, int(n[:2]) % 40)
        and weighted(n, (3, 7, 6, 1, 8, 9, 4, 5, 2, 1)) % 11 == 0
        and weighted(n, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)) % 11 == 0
    )


def _dk_cpr(n: str) -> bool:
    return is_date(2000, int(n[2:4]), int(n[:2]))


def _ch_ahv(n: str) -> bool:  # EAN-13
    return weighted(n, (1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)) % 10 == 0


def _pt_nif(n: str) -> bool:
    return int(n[8]) == _mod11_below_2(n, range(9, 1, -1))


def _za_id(n: str) -> bool:
    return is_date(2000, int(n[2:4]), int(n[4:6])) and n[10] in "012" and luhn(n)


def _mx_curp(n: str) -> bool:
    values = ["0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ".index(c) for c in n[:17]]
    return (10 - sum(v * (18 - i) for i, v in enumerate(values)) % 10) % 10 == int(n[17])


def _tr_identity(n: str) -> bool:
    odd, even = sum(map(int, n[0:9:2])), sum(map(int, n[1:8:2]))
    return n[0] != "0" and (odd * 7 - even) % 10 == int(n[9]) and sum(map(int, n[:10])) % 10 == int(n[10])


def _sg_nric(n: str) -> bool:
    total = weighted(n[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(n[0], 0)
    if n[0] == "M":
        return n[8] == "KLJNPQRTUWX"[10 - total % 11]
    return n[8] == ("JZIHGFEDCBA" if n[0] in "ST" else "XWUTRQPNMLK")[total % 11]


def _verhoeff_of_12(n: str) -> bool:
    return n[0] in "23456789" and n != n[::-1] and verhoeff(n)


ID_CARD = Recognizer(
    "DE_ID_CARD",
    r"(?=\D{0,8}\d)[CFGHJKLMNPRTVWXYZ][CFGHJKLMNPRTVWXYZ0-9]{8}\d",
    _de_id_card,
    0.4,
    r"\w*ausweis\w*|reisepass\w*|id\W?card|identity card|passport",
)
"""The German identity card, whose number may have few digits."""

TAX_ACCOUNT = Recognizer("IN_PAN", r"[A-Z]{3}[ABCFGHLJPT][A-Z]\d{4}[A-Z]", None, 0.85)

FEW_DIGITS = (ID_CARD, TAX_ACCOUNT)
"""The numbers that may have fewer than six digits."""

NATIONAL_IDS: tuple[Recognizer, ...] = (
    grouped("US_SSN", "3-2-4", _us_ssn, 0.3, r"ssn|social\W{0,2}security|soc\W{0,2}sec", 0.85),
    grouped("US_ITIN", "3-2-4", _us_itin, 0.3, r"itin|taxpayer|tax\W{0,2}id", 0.85),
    Recognizer("GB_NINO", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d\d ?\d\d ?\d\d ?[A-D]", _gb_nino, 0.9),
    grouped("GB_NHS", "3 3 4", _gb_nhs, 0.4, r"nhs"),
    grouped("DE_TAX_ID", "2 3 3 3", _de_tax_id, 0.7, r"steuer\w*|idnr|tin|tax"),
    ID_CARD,
    Recognizer(
        "FR_INSEE",
        r"[12] ?\d\d ?\d\d ?(?:\d\d|2[AB]) ?\d{3} ?\d{3} ?\d\d",
        _fr_insee,
        0.9,
        r"nir|insee|s[ée]cu\w*|num[ée]ro de s",
    ),
    Recognizer("ES_NIF", r"(?:\d{8}|[XYZ]-?\d{7})[- ]?[A-Z]", _es_nif, 0.8, r"dni|nie|nif"),
    Recognizer(
        "IT_FISCAL_CODE",
        r"[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
        _it_fiscal_code,
        0.95,
    ),
    grouped("NL_BSN", "4.2.3", _nl_bsn, 0.3, r"bsn|burgerservice\w*|sofi\w*"),
    grouped("PL_PESEL", "11", _pl_pesel, 0.5, r"pesel"),
    grouped("BR_CPF", "3.3.3-2", _br_cpf, 0.5, r"cpf", 0.95),
    Recognizer("BR_CNPJ", r"[0-9A-Z]{2}\.[0-9A-Z]{3}\.[0-9A-Z]{3}/[0-9A-Z]{4}-\d\d", _br_cnpj, 0.95),
    grouped("BR_CNPJ", "14", _br_cnpj, 0.5, r"cnpj"),
    grouped("IN_AADHAAR", "4 4 4", _verhoeff_of_12, 0.4, r"aadha+r|uidai|uid", 0.6),
    Recognizer("IN_PAN", r"[A-Z]{3}[ABCFGHJLPT][A-Z]\d{4}[A-Z]", None, 0.85),
    Recognizer("CN_RESIDENT_ID", r"[1-9]\d{16}[0-9Xx]", _cn_resident_id, 0.95),
    grouped("JP_MY_NUMBER", "4 4 4", _jp_my_number, 0.3, r"my number|マイナンバー|個人番号|kojin bango"),
    Recognizer("KR_RRN", r"\d{6}-[0-9]\d{6}", _kr_rrn, 0.8, r"rrn|resident|주민\w*"),
    Recognizer("CA_SIN", r"\d{3}-\d{3}-\d{3}", _ca_sin, 0.6),
    grouped("CA_SIN", "3 3 3", _ca_sin, 0.3, r"sin|social insurance|nas|assurance sociale"),
    Recognizer("AU_TFN", r"\d{3} \d{3} \d{3}|\d{9}", _au_tfn, 0.3, r"tfn|tax file"),
    grouped("AU_MEDICARE", "4 5 1", _au_medicare, 0.3, r"medicare", 0.5),
    grouped("BE_NATIONAL", "2.2.2-3.2", _be_national, 0.4, r"rijksregister\w*|registre national|niss|insz", 0.95),
    Recognizer("SE_PERSONAL", r"(?:\d\d)?\d{6}[-+]\d{4}", _se_personal, 0.7, r"person\w*nummer|pnr"),
    Recognizer("FI_HETU", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-FHJ-NPR-Y]", _fi_hetu, 0.9),
    grouped("NO_BIRTH", "6 5", _no_birth, 0.7, r"f[øo]dsels\w*|personnummer|fnr"),
    grouped("DK_CPR", "6-4", _dk_cpr, 0.3, r"cpr\w*"),
    Recognizer("CH_AHV", r"756\.?\d{4}\.?\d{4}\.?\d\d", _ch_ahv, 0.95),
    grouped("PT_NIF", "3 3 3", _pt_nif, 0.3, r"nif|contribuinte"),
    grouped("ZA_ID", "6 4 3", _za_id, 0.7, r"id|identity"),
    Recognizer("MX_CURP", r"[A-Z][AEIOUX][A-Z]{2}\d{6}[HMX][A-Z]{5}[0-9A-Z]\d", _mx_curp, 0.95),
    grouped("TR_IDENTITY", "11", _tr_identity, 0.6, r"t\.?c\.?|kimlik\w*"),
    Recognizer("SG_NRIC", r"[STFGM]\d{7}[A-Z]", _sg_nric, 0.9),
    Recognizer("RU_SNILS", r"\d{3}-\d{3}-\d{3}[ -]\d\d", None, 0.8),
    Recognizer("PK_CNIC", r"\d{5}-\d{7}-\d", None, 0.8),
)
"""What is looked for, with its rule, its confidence without context, and the words that tell it."""
