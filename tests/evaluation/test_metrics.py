"""Each metric against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from tunery.errors import InvalidInput, NotFound
from tunery.evaluation.evaluator import Evaluator, exact_match_metric, length_ratio_metric
from tunery.evaluation.metrics import METRICS
from tunery.evaluation.metrics.accuracy import label
from tunery.evaluation.metrics.json_field_f1 import json_field_f1
from tunery.evaluation.metrics.token_f1 import token_f1
from tunery.evaluation.ports import Answer


def score(name: str, pairs: list[tuple[str, str]]) -> float:
    return METRICS.get(name).measure([Answer(given, wanted) for given, wanted in pairs]).score


def test_exact_match_forgives_white_space_at_the_ends_and_nothing_else() -> None:
    assert score("exact_match", [(" a\n", "a"), ("A", "a"), ("a b", "a  b"), ("", "")]) == 2 / 4


def test_length_ratio_is_the_mean_of_character_ratios() -> None:
    # 2/4 and 6/3; their mean is (0.5 + 2) / 2
    assert score("length_ratio", [("ab", "abcd"), ("abcdef", "abc")]) == 1.25


def test_length_ratio_counts_an_empty_reference_as_one_character() -> None:
    assert score("length_ratio", [("abc", "")]) == 3


def test_length_ratio_says_nothing_of_better_or_worse() -> None:
    assert METRICS.get("length_ratio").direction is None


def test_labels_are_compared_after_light_normalisation() -> None:
    assert label('  "Positive". ') == "positive"
    assert label("ﬁne  Day!") == "fine day"
    assert score("accuracy", [(" Positive.", "positive"), ("positive because", "positive")]) == 1 / 2


def test_macro_f1_is_the_plain_mean_over_labels() -> None:
    # a: TP 1, FP 1, FN 1 -> 2·1/(2·1+1+1) = 1/2.  b: TP 1, FP 1, FN 0 -> 2/3.  c: TP 0 -> 0.
    pairs = [("a", "a"), ("b", "a"), ("b", "b"), ("a", "c")]
    assert score("f1_score", pairs) == pytest.approx((1 / 2 + 2 / 3 + 0) / 3)


def test_a_stray_prediction_is_a_miss_and_no_class_of_its_own() -> None:
    # a: TP 1, FN 1 -> 2/3.  b: TP 1 -> 1.  Had "I think so" been a class, the mean would be over three.
    assert score("f1_score", [("a", "a"), ("I think so", "a"), ("b", "b")]) == pytest.approx((2 / 3 + 1) / 2)


def test_macro_f1_equals_accuracy_where_every_reference_is_its_own_label() -> None:
    assert score("f1_score", [("one", "one"), ("zwei", "two"), ("three", "three")]) == pytest.approx(2 / 3)


def test_token_f1_shares_words_without_articles_and_punctuation() -> None:
    # predicted: cat sat; reference: cat sat down -> shared 2, F1 = 2·2 / (2 + 3)
    assert token_f1("The cat sat!", "a cat sat down") == pytest.approx(4 / 5)


def test_token_f1_of_a_repeated_word_counts_it_as_often_as_both_have_it() -> None:
    assert token_f1("no no no", "no") == pytest.approx(2 * 1 / (3 + 1))


def test_token_f1_of_two_empty_answers_is_one() -> None:
    assert token_f1("the", "a.") == 1
    assert token_f1("word", "a.") == 0


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ('{"a": 1}', 1),
        (" [1, 2]\n", 1),
        ("null", 1),
        ("", 0),
        ("NaN", 0),
        ('{"a": Infinity}', 0),
        ("{'a': 1}", 0),
        ('{"a": 1} and more', 0),
        ('```json\n{"a": 1}\n```', 0),
        ("[" * 100_000, 0),
    ],
)
def test_json_valid_means_the_whole_prediction_is_json(text: str, valid: float) -> None:
    assert score("json_valid", [(text, "")]) == valid


def test_json_field_f1_counts_pairs_of_path_and_value() -> None:
    # right: a; predicted 2 pairs, reference 3 (a, b.0, b.1) -> 2·1 / (2 + 3)
    assert json_field_f1('{"a": 1, "b": [9]}', '{"a": 1, "b": [1, 2]}') == pytest.approx(2 / 5)


def test_json_field_f1_compares_values_as_json_does() -> None:
    assert json_field_f1('{"a": 1.0}', '{"a": 1}') == 1
    assert json_field_f1('{"a": true}', '{"a": 1}') == 0
    assert json_field_f1('{"a": "1"}', '{"a": 1}') == 0
    assert json_field_f1('{"a": {}}', '{"a": []}') == 0
    assert json_field_f1("{}", "{}") == 1


def test_json_field_f1_keeps_dots_inside_keys_apart() -> None:
    assert json_field_f1('{"a.b": 1}', '{"a": {"b": 1}}') == 0


def test_json_field_f1_of_a_prediction_that_is_no_object_is_zero() -> None:
    assert json_field_f1("[1]", '{"a": 1}') == 0
    assert json_field_f1('{"a": 1', '{"a": 1}') == 0


def test_json_field_f1_on_references_that_are_no_objects_is_an_error_that_names_the_row() -> None:
    with pytest.raises(InvalidInput, match=r"row 2 of 2.*'plain'"):
        score("json_field_f1", [("{}", "{}"), ("{}", "plain")])


def test_perplexity_pools_all_tokens() -> None:
    # -(ln 1/2 + ln 1/2 + ln 1/4 + ln 1/16) / 4 = (1 + 1 + 2 + 4)/4 · ln 2 = 2 ln 2 -> 4; rows: 2^(2/2) = 2, 2^(6/2) = 8
    half = math.log(1 / 2)
    answers = [Answer("", "x", (half, half)), Answer("", "y", (2 * half, 4 * half))]
    measured = METRICS.get("perplexity").measure(answers)
    assert measured.score == pytest.approx(4)
    assert list(measured.values) == pytest.approx([2, 8])


@pytest.mark.parametrize("logprobs", [None, (), (math.nan,), (-math.inf,), (0.5,)])
def test_perplexity_refuses_what_is_no_log_probability(logprobs: tuple[float, ...] | None) -> None:
    with pytest.raises(InvalidInput, match="row 1 of 1"):
        METRICS.get("perplexity").measure([Answer("", "x", logprobs)])


def test_the_evaluator_gives_each_metric_and_the_number_of_rows() -> None:
    # exact: 1 of 2; lengths: 2/2 and 1/2
    assert Evaluator().evaluate(["ab", "c"], ["ab", "cd"]) == {"exact_match": 0.5, "length_ratio": 0.75, "n": 2}
    assert exact_match_metric(["ab", "c"], ["ab", "cd"]) == 0.5
    assert length_ratio_metric(["ab", "c"], ["ab", "cd"]) == 0.75


def test_the_evaluator_refuses_lists_that_cannot_be_paired() -> None:
    with pytest.raises(InvalidInput, match="2 predictions cannot be paired with 1 references"):
        Evaluator().evaluate(["a", "b"], ["a"])
    with pytest.raises(InvalidInput, match="no rows"):
        Evaluator().evaluate([], [])


def test_the_evaluator_knows_its_metrics_by_name() -> None:
    with pytest.raises(NotFound, match="did you mean 'exact_match'"):
        Evaluator(["exact_mach"])
    with pytest.raises(InvalidInput, match="perplexity"):
        Evaluator(["perplexity"])
