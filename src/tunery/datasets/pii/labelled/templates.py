"""Sentences of our own, with places for values, and texts that look like identifiers and are none."""

from __future__ import annotations

__all__ = ["ANYWHERE", "NEGATIVES", "TEMPLATES"]

ANYWHERE = (
    "{}",
    "Please update the record: {}.",
    "He wrote {} on the back of the form, and left.",
    "- {}\n- (second entry missing)",
    '{{"value": "{}", "checked": true}}',
    "see {}, thanks",
    "As agreed on Monday I am sending you {} again; the old one no longer works.",
)
"""For every kind that speaks for itself."""

_SAID = (
    "{name}: {}",
    "{name} {}",
    "My {name} is {}, please do not share it.",
    "Could you check whether {name} {} is still on file?",
    "The customer gave us this {name}: {}. Nothing else was said.",
    "user_id;country;{name}\n88;XX;{}",
)
"""For kinds that a word tells; the word fills ``name``."""


def _said(*names: str, also: tuple[str, ...] = ()) -> tuple[str, ...]:
    return tuple(form.replace("{name}", name) for form in _SAID for name in names) + also


TEMPLATES: dict[str, tuple[str, ...]] = {
    "EMAIL": ANYWHERE + _said("email", "E-mail") + ("Schreiben Sie an <{}> oder rufen Sie an.", "mailto:{}?subject=Hi"),
    "PHONE": ANYWHERE[1:]
    + _said("phone", "Tel.")
    + (
        "Call me at {} after six.",
        "Sie erreichen mich unter {} (mobil).",
        "Mon portable : {}",
        "You can text {} or leave a message.",
        "Our office ({}) is closed today.",
    ),
    "CARD": ANYWHERE + _said("card number", "credit card") + ("Charge it to {} exp 09/29.",),
    "IBAN": ANYWHERE + _said("IBAN", "account") + ("Bitte überweisen Sie 120,50 EUR auf {} bis Freitag.",),
    "IP_ADDRESS": ANYWHERE + _said("IP", "client") + ("Failed login from {} port 22 ssh2", "ping {}"),
    "MAC_ADDRESS": ANYWHERE + _said("MAC", "hwaddr"),
    "CRYPTO_ADDRESS": ANYWHERE + _said("wallet", "BTC/ETH address"),
    "DATE_OF_BIRTH": (
        *_said("date of birth", "DOB"),
        "She was born on {} in Lyon.",
        "Geboren am {} in Köln.",
        "né le {} à Nantes",
        "Fecha de nacimiento: {}",
    ),
    "US_SSN": ANYWHERE[1:] + _said("SSN", "social security number"),
    "US_ITIN": ANYWHERE[1:] + _said("ITIN"),
    "GB_NINO": ANYWHERE + _said("NI number", "National Insurance number"),
    "GB_NHS": ("Patient, male, 64, {}.", *_said("NHS number", "NHS no.")),
    "DE_TAX_ID": ANYWHERE[1:] + _said("Steuer-ID", "Steueridentifikationsnummer"),
    "DE_ID_CARD": ("The clerk noted {}.", *_said("Personalausweis", "Ausweisnummer")),
    "FR_INSEE": ANYWHERE + _said("NIR", "numéro de sécurité sociale"),
    "ES_NIF": ANYWHERE + _said("DNI", "NIE"),
    "IT_FISCAL_CODE": ANYWHERE + _said("codice fiscale"),
    "NL_BSN": ("Noted: {}.", *_said("BSN", "burgerservicenummer")),
    "PL_PESEL": ANYWHERE[1:] + _said("PESEL"),
    "BR_CPF": ANYWHERE[1:] + _said("CPF"),
    "BR_CNPJ": ANYWHERE[1:] + _said("CNPJ"),
    "IN_AADHAAR": ANYWHERE[1:] + _said("Aadhaar", "aadhar number"),
    "IN_PAN": ANYWHERE + _said("PAN"),
    "CN_RESIDENT_ID": ANYWHERE + _said("身份证号", "ID"),
    "JP_MY_NUMBER": ("Noted: {}.", *_said("My Number", "マイナンバー")),
    "KR_RRN": ANYWHERE + _said("주민등록번호", "RRN"),
    "CA_SIN": ("Noted: {}.", *_said("SIN", "social insurance number")),
    "AU_TFN": ("Noted: {}.", *_said("TFN", "tax file number")),
    "AU_MEDICARE": ("Noted: {}.", *_said("Medicare number", "medicare")),
    "BE_NATIONAL": ANYWHERE[1:] + _said("rijksregisternummer", "NISS"),
    "SE_PERSONAL": ANYWHERE + _said("personnummer"),
    "FI_HETU": ANYWHERE + _said("henkilötunnus"),
    "NO_BIRTH": ANYWHERE[1:] + _said("fødselsnummer"),
    "DK_CPR": ("Noted: {}.", *_said("CPR-nr.", "CPR")),
    "CH_AHV": ANYWHERE + _said("AHV-Nummer"),
    "PT_NIF": ("Noted: {}.", *_said("NIF", "número de contribuinte")),
    "ZA_ID": ANYWHERE[1:] + _said("ID number"),
    "MX_CURP": ANYWHERE + _said("CURP"),
    "TR_IDENTITY": ANYWHERE[1:] + _said("T.C. kimlik no"),
    "SG_NRIC": ANYWHERE + _said("NRIC"),
    "RU_SNILS": ANYWHERE + _said("СНИЛС"),
    "PK_CNIC": ANYWHERE + _said("CNIC"),
    "VIN": ANYWHERE + _said("VIN", "Fahrgestellnummer"),
    "URL_CREDENTIALS": (
        "postgres://{}@db.example.com:5432/shop",
        "git clone https://{}@git.example.org/team/repo.git",
        "DATABASE_URL=mysql://{}@localhost/app\nDEBUG=1",
        "It answers at https://{}@example.net/hook?x=1, she said.",
    ),
    "API_KEY": (*ANYWHERE, "export TOKEN={}", 'client = Client(api_key="{}")', "curl -H 'Authorization: Bearer {}' x"),
    "JWT": ("Authorization: Bearer {}", "token={}", "{}", "The cookie was {} yesterday."),
    "PRIVATE_KEY": ("{}", "Here is my key:\n{}\nkeep it safe", "cat id_rsa\n{}"),
    "PASSWORD": (
        "password: {}",
        "DB_PASSWORD={}",
        'passwd = "{}"',
        "user=bob password={} host=db",
        "My password is {} by the way.",
        '{{"username": "bob", "password": "{}"}}',
        "pwd: '{}'",
    ),
}
"""Sentences by kind."""

NEGATIVES = (
    "Order {d8} was shipped on {date} and weighs {d2}.{d3} kg.",
    "Invoice no. {d10} over {d4}.{d2} EUR is due in {d2} days.",
    "pip install package=={d1}.{d2}.{d1} && python3.{d2} -m tool --seed {d6}",
    "The train leaves at {hour}:{minute}:{minute} from platform {d1}, gate {d2}.",
    "ISBN 978-{d1}-{d2}-{d6}-{d1}, pages {d3}-{d3}",
    "commit {hex40} changed {d3} lines in {d2} files",
    "id: {uuid}",
    "sha256:{hex64}",
    "From {year} to {year} the population grew from {d3},{d3} to {d1},{d3},{d3}.",
    "3.14159265358979 and {d1}.{d10} differ in the {d1}th digit.",
    "Located at {d2}.{d4}, -{d2}.{d4}, {d3} m above sea level.",
    "doi:10.{d4}/s{d5}-0{d2}-{d5}-{d1}",
    "The match ended {d1}-{d1} after {d2} minutes; attendance {d2},{d3}.",
    "GET /api/v1/items/{d6}?page={d1}&size={d2} HTTP/1.1 200 {d4}",
    "Meeting moved to {date} {hour}:{minute}, room {d3}.",
    "We measured {d1}.{d2}e-{d1} and {d2}.{d4} with n={d3}.",
    "Version {d1}.{d1}.{d2}.{d1} of the driver was released in {year}.",
    "Part numbers {d3}-{d4}-{A3} and {A2}{d5} are out of stock.",
    "x = [{d2}, {d2}, {d3}, {d4}, {d2}, {d3}]  # sums to {d4}",
    "The ratio is {d4}/{d4}; see table {d1}.{d1} on page {d3}.",
    "Flight {A2}{d4} from FRA to JFK, seat {d2}A, {date}.",
    "timestamp={d10} duration_ms={d5} bytes={d8}",
    "@decorator\ndef function_{d1}(self): return self.value @ other",
    "thanks @anna and @ben_{d2} for the review of #{d5}",
    "She scored {d2}% in {year} and {d2}% in {year}; the class average was {d2}.{d1}%.",
    "std::vector<int>::iterator it = a[{d1}::{d1}];",
    "the password must have {d2} characters and is never stored",
    "token limit: {d5}; secret sharing needs {d1} of {d1} parts",
    "Solve 12{d1} x {d2} + {d4} = {d5} for x.",
    "Tracking: 1Z{A3}{d3}{A2}{d8}",
    "BUILD-{d8}-{A3} finished in {d3}.{d2} s",
    "Budget {year}: {d3} {d3} {d3} kr, of it {d2} {d3} for travel",
    "Error 0x{hex8} at address 0x{hex8}{hex8}",
    "color: #{hex6}; margin: {d2}px {d2}px {d1}px {d2}px",
)
"""Texts in which nothing is to be found. ``d3`` is three digits, ``A2`` two capitals, ``hex40`` forty hex digits."""
