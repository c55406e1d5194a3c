"""Presidio's turn of ``benchmarks/pii.py``; runs in an environment that has presidio-analyzer and presidio-evaluator.

python presidio_pii.py sentences N              N labelled texts of presidio-evaluator, one JSON a line
python presidio_pii.py find [MODEL] < TEXTS     for each text what Presidio finds, with scores; all its recognizers on
"""

from __future__ import annotations

import json
import sys
import time

KINDS = {
    "EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN",
    "IP_ADDRESS": "IP_ADDRESS", "MAC_ADDRESS": "MAC_ADDRESS", "CRYPTO": "CRYPTO_ADDRESS", "US_SSN": "US_SSN",
    "US_ITIN": "US_ITIN", "UK_NINO": "GB_NINO", "UK_NHS": "GB_NHS", "DE_TAX_ID": "DE_TAX_ID",
    "DE_ID_CARD": "DE_ID_CARD", "ES_NIF": "ES_NIF", "ES_NIE": "ES_NIF", "IT_FISCAL_CODE": "IT_FISCAL_CODE",
    "PL_PESEL": "PL_PESEL", "IN_AADHAAR": "IN_AADHAAR", "IN_PAN": "IN_PAN", "KR_RRN": "KR_RRN", "CA_SIN": "CA_SIN",
    "AU_TFN": "AU_TFN", "AU_MEDICARE": "AU_MEDICARE", "SE_PERSONNUMMER": "SE_PERSONAL",
    "FI_PERSONAL_IDENTITY_CODE": "FI_HETU", "TR_NATIONAL_ID": "TR_IDENTITY", "ZA_ID_NUMBER": "ZA_ID",
    "SG_NRIC_FIN": "SG_NRIC", "PERSON": "PERSON", "LOCATION": "LOCATION",
}  # fmt: skip
PLACES = ("STREET_ADDRESS", "GPE", "LOC", "LOCATION")


def sentences(count: int) -> None:
    from presidio_evaluator.data_generator import PresidioSentenceFaker

    faker = PresidioSentenceFaker("en_US", lower_case_ratio=0.05, random_seed=1)
    for sample in faker.generate_new_fake_sentences(num_samples=count):
        spans = [
            ("LOCATION" if span.entity_type in PLACES else KINDS.get(span.entity_type, span.entity_type))
            for span in sample.spans
        ]
        places = [(span.start_position, span.end_position) for span in sample.spans]
        print(json.dumps([sample.full_text, [(k, *place) for k, place in zip(spans, places, strict=True)]]))


def find(model: str | None) -> None:
    import presidio_analyzer.predefined_recognizers as predefined
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import SpacyNlpEngine

    engine = SpacyNlpEngine(models=[{"lang_code": "en", "model_name": model or "blank"}])
    if model is None:
        import spacy

        engine.nlp = {"en": spacy.blank("en")}
    else:
        engine.load()
    registry = RecognizerRegistry(supported_languages=["en"])
    for name in dir(predefined):
        maker = getattr(predefined, name)
        if name.endswith("Recognizer") and not any(word in name for word in ("Azure", "NER", "Ner", "Lang", "Stanza")):
            try:
                made = maker(supported_language="en")
            except Exception as error:  # noqa: BLE001
                print(f"left out: {name}: {error}", file=sys.stderr)
                continue
            if set(made.supported_entities) & set(KINDS) and (model or "Spacy" not in name):
                registry.add_recognizer(made)
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["en"])
    seconds = 0.0
    for line in sys.stdin:
        text = json.loads(line)
        started = time.perf_counter()
        found = analyzer.analyze(text, language="en")
        seconds += time.perf_counter() - started
        print(json.dumps([(KINDS[f.entity_type], f.start, f.end, f.score) for f in found if f.entity_type in KINDS]))
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    if sys.argv[1] == "sentences":
        sentences(int(sys.argv[2]))
    else:
        find(sys.argv[2] if len(sys.argv) > 2 else None)
