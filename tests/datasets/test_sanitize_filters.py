"""What the filters take away, and what they leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.contracts.test_sanitizers import HELD_OUT, Sources
from tunery.datasets.rows import Row
from tunery.datasets.sanitize import PreprocessingStep, Sanitation, check_leakage
from tunery.datasets.schemas import ImportOptions
from tunery.errors import InvalidInput


def run(texts: list[str], step: str, sources: Any = None, **parameters: Any) -> tuple[list[int], PreprocessingStep]:
    """Return the numbers of the texts that are left, and the record."""
    steps = ImportOptions.model_validate({"sanitize": [{"step": step, **parameters}]}).sanitize
    sanitation = Sanitation(steps, "text", sources)
    left = [row.line for row in sanitation.run(Row(f"r{n}", n, {"text": text}) for n, text in enumerate(texts))]
    return left, sanitation.records()[0]


SENTENCES = {
    "en": "The delivery arrived two days late and the box was open.",
    "de": "Die Lieferung kam zwei Tage zu spät und der Karton war offen.",
    "fr": "La livraison est arrivée avec deux jours de retard et la boîte était ouverte.",
    "es": "La entrega llegó dos días tarde y la caja estaba abierta.",
    "it": "La consegna è arrivata con due giorni di ritardo e la scatola era aperta.",
    "pt": "A entrega chegou dois dias atrasada e a caixa estava aberta.",
    "nl": "De levering kwam twee dagen te laat en de doos was open.",
    "pl": "Dostawa przyszła dwa dni za późno, a pudełko było otwarte.",
    "ru": "Доставка пришла на два дня позже, и коробка была открыта.",
    "tr": "Teslimat iki gün geç geldi ve kutu açıktı, bunu istemedik.",
    "ar": "وصلت الشحنة متأخرة يومين وكان الصندوق مفتوحا.",
    "hi": "डिलीवरी दो दिन देर से पहुँची और डिब्बा खुला था।",
    "zh": "货物晚到了两天，箱子是打开的，请把上个月的发票发给我。",
    "ja": "荷物は二日遅れて届き、箱は開いていました。先月の請求書を送ってください。",
    "ko": "배송이 이틀 늦게 도착했고 상자가 열려 있었습니다.",
}


@pytest.mark.parametrize("language", SENTENCES)
def test_rows_in_the_wanted_language_stay_and_all_others_go(language: str) -> None:
    left, record = run([*SENTENCES.values(), "ok"], "filter_language", languages=[language])
    assert left == [list(SENTENCES).index(language), len(SENTENCES)]  # and what is too short to judge
    assert sum(record.details.values()) == record.affected_samples == len(SENTENCES) - 1


def test_a_language_that_the_detector_does_not_know_is_refused() -> None:
    with pytest.raises(InvalidInput, match="does not know 'xx'"):
        run(["a"], "filter_language", languages=["xx"])


PROSE = (
    "The parcel was sent on Monday, and it came on Friday because a bridge on the way had been closed for repairs. "
    "We told the customer at once, who thanked us and asked whether the next one could take another road instead."
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE + " Lorem ipsum dolor.", "placeholders"),
        ("# " * 30 + PROSE, "max_symbols"),  # 30 symbols for 40 words
        ("\n".join(f"- the point number {word} of the list" for word in PROSE.split()[:9]), "max_bullet_lines"),
        (
            "\n".join(
                f"{word} is what nobody of us there can remember anything of today..." for word in PROSE.split()[:4]
            ),
            "max_ellipsis_lines",
        ),
        ("a b c d e f g h " * 5, "min_word_length"),
        ("internationalisation " * 30, "max_word_length"),
        ("1234 " * 30, "min_alphabetic"),
        (PROSE + "\nthe same line\n" + "the same line again\n" * 4, "max_duplicate_lines"),
        ("buy now cheap " * 10, "max_top_ngrams"),
        (" ".join([PROSE] * 2), "max_repeated_ngrams"),
    ],
)
def test_rubbish_goes_and_the_record_says_by_which_rule(text: str, reason: str) -> None:
    left, record = run([PROSE, text, "Paris", "你好世界，" * 2 + "今天天气很好。"], "filter_quality")
    assert left == [0, 2, 3]
    assert record.details == {reason: 1}


def test_a_rule_can_be_turned_off_and_code_can_be_kept_out() -> None:
    assert run(["1234 " * 30], "filter_quality", min_alphabetic=None, max_top_ngrams={}, max_repeated_ngrams={})[0] == [
        0
    ]
    assert run(["def f(): return {}"], "filter_quality")[0] == [0]
    assert run(["def f(): return {}"], "filter_quality", curly_brackets=False)[0] == []
    assert run(["a few words"], "filter_quality", min_words=4)[0] == []


def test_coarse_words_are_whole_words_in_several_languages() -> None:
    texts = ["This is shit.", "Die Schlacht bei Scunthorpe", "So eine SCHEISSE!", "C'est la merde", "the word blimey"]
    assert run(texts, "filter_profanity")[0] == [1, 4]
    assert run(texts, "filter_profanity", languages=["de"], words=["Blimey"])[0] == [0, 1, 3]
    assert run(texts, "filter_profanity", allow=["shit"], at_least=1)[0] == [0, 1, 4]


def test_decontamination_names_both_rows() -> None:
    copied = "Look: THE EVALUATION asks a question of more than thirteen words -- so that a run of it can be seen"
    texts = [
        "nothing of the kind stands here at all, however long one looks for it in this row",
        copied,
        "Short question?",
    ]
    left, record = run(texts, "decontaminate", Sources(), against=["held-out:1"])
    assert left == [0]
    assert record.affected_samples == 2
    first, second = record.details["matches"]
    assert (first["row"], first["evaluation"], first["evaluation_row"]) == ("r1", "held-out:1", "e0")
    assert first["runs"] == 6  # 18 of its words in a row: 18 - 13 + 1
    assert (second["row"], second["evaluation_row"]) == ("r2", "e1")


def test_wording_that_all_evaluation_rows_share_does_not_count() -> None:
    instruction = (
        "Decide whether the following review is positive or negative and answer with exactly one word and no more: "
    )

    class Reviews(Sources):
        def rows(self, reference: str) -> Any:
            return (
                (str(n), "text", {"text": instruction + f"review number {n} tells of thing {n}"}) for n in range(20)
            )

    texts = [instruction + "quite another thing", instruction + "review number 7 tells of thing 7"]
    left, _ = run(texts, "decontaminate", Reviews(), against=["reviews:1"])
    assert left == [0]


def test_s58_leakage_is_measured_and_stops_the_import() -> None:
    """S58, DAT-15: an evaluation set that shares 30 % of its rows, exactly or nearly."""
    cities = ["Rome", "Kyiv", "Oslo", "Lima", "Cairo", "Delhi", "Tokyo", "Quito", "Paris", "Bern"]
    ending = "to the sea by the shortest road that a cart can take?"
    held_out = [f"question {n}: how far is it from {city} {ending}" for n, city in enumerate(cities)]

    class Questions(Sources):
        def rows(self, reference: str) -> Any:
            return ((f"e{n}", "text", {"text": text}) for n, text in enumerate(held_out))

    own = [
        "something of our own that stands in no evaluation set",
        held_out[3].upper(),
        held_out[5],
        held_out[8] + " Say.",
    ]
    left, record = run(own, "check_leakage", Questions(), against=["held-out:1"], threshold=0.9, on_leak="warn")
    assert left == [0, 1, 2, 3]
    details = record.details
    assert (details["evaluation_rows"], details["exact"], details["near"], details["share"]) == (10, 2, 1, 0.3)
    assert details["too_many"]
    assert {(m["evaluation_row"], m["row"], m["exact"]) for m in details["matches"]} == {
        ("e3", "r1", True), ("e5", "r2", True), ("e8", "r3", False),
    }  # fmt: skip
    with pytest.raises(InvalidInput, match=r"3 of 10 evaluation rows \(30.0%\).*r1 is like e3 of held-out:1"):
        run(own, "check_leakage", Questions(), against=["held-out:1"], threshold=0.9)
    assert run(own, "check_leakage", Questions(), against=["held-out:1"], threshold=0.9, at_most=0.3)[0] == left


def test_a_leak_is_exact_though_a_near_one_came_in_an_earlier_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        check_leakage, "BATCH_CHARACTERS", 1
    )  # so that each batch has as much text as the evaluation set
    near, exact = HELD_OUT[0] + " now", HELD_OUT[0]
    filler = "something of our own that stands in no evaluation set, and that is longer than all its rows together are"
    left, record = run([near, filler, filler + "!", exact], "check_leakage", Sources(), against=["e:1"], on_leak="warn")
    assert left == [0, 1, 2, 3]
    assert (record.details["exact"], record.details["near"], record.affected_samples) == (1, 0, 2)
    assert record.details["matches"] == [{"evaluation": "e:1", "evaluation_row": "e0", "row": "r3", "exact": True}]


def test_lengths_in_tokens_of_a_tokenizer() -> None:
    vocabulary = {"[UNK]": 0, "one": 1, "two": 2, "three": 3}
    nothing = ("normalizer", "post_processor", "decoder", "truncation", "padding")
    tokenizer = dict.fromkeys(nothing) | {
        "version": "1.0",
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"},
        "pre_tokenizer": {"type": "Whitespace"},
        "added_tokens": [],
    }

    class Tokenizers(Sources):
        def tokenizer(self, reference: str) -> bytes:
            return json.dumps(tokenizer).encode()

    parameters: dict[str, Any] = {"unit": "tokens", "tokenizer": "package:any", "min_len": 2, "max_len": 3}
    left, record = run(["one", "one two three", "one two, three"], "filter_by_length", Tokenizers(), **parameters)
    assert left == [1]  # 1, 3 and 4 tokens
    assert len(record.details["tokenizer_digest"]) == 64
    with pytest.raises(InvalidInput, match="looked up by an import"):
        run(["one"], "filter_by_length", **parameters)


@pytest.mark.parametrize("reference", ["held-out", "../etc/passwd", "file:abc.jsonl", "http://a/b.jsonl", "a:1/all"])
def test_an_evaluation_set_is_named_so_that_it_stays_the_same(reference: str) -> None:
    with pytest.raises(ValueError, match="stays the same"):
        run(["a"], "decontaminate", against=[reference])
