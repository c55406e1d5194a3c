"""Every metric, built in or a stranger's, keeps the port's promises."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from tunery.errors import InvalidInput
from tunery.evaluation.metrics import METRICS
from tunery.evaluation.ports import Answer, Metric

ANSWERS = [
    Answer('{"a": 1, "b": "x"}', '{"a": 1, "b": "x"}', (-0.1, -0.2)),
    Answer('{"a": 1, "b": "y"}', '{"a": 1, "b": "x"}', (-1.5,)),
    Answer("no JSON at all", '{"a": 2, "c": [1, 2]}', (-3.0, -0.4, -2.2)),
    Answer(' {"a": 2, "c": [1]}', '{"a": 2, "c": [1, 2]}', (-0.7, -0.1)),
    Answer("", '{"d": {}}', (-0.01,)),
]

metrics = pytest.mark.parametrize("metric", [metric for _, metric in METRICS], ids=METRICS.names())


def test_the_promised_metrics_are_there() -> None:
    promised = "exact_match length_ratio accuracy f1_score token_f1 json_valid json_field_f1 perplexity"
    assert set(promised.split()) <= set(METRICS.names())


@pytest.mark.parametrize("name", METRICS.names())
def test_a_metric_is_registered_under_its_own_name(name: str) -> None:
    assert METRICS.get(name).name == name


@pytest.mark.parametrize("name", METRICS.names())
def test_a_built_in_metric_names_the_source_of_its_formula(name: str) -> None:
    assert "Source: " in (import_module(f"tunery.evaluation.metrics.{name}").__doc__ or "")


@metrics
def test_no_rows_are_an_error_and_no_score(metric: Metric) -> None:
    with pytest.raises(InvalidInput, match="no rows"):
        metric.measure([])


@metrics
def test_each_row_has_a_value(metric: Metric) -> None:
    values = metric.measure(ANSWERS).values
    assert values.shape == (len(ANSWERS),)
    assert np.isfinite(values).all()


@metrics
def test_a_row_that_weighs_three_counts_as_three_rows(metric: Metric) -> None:
    weights = np.array([[3.0, 1.0, 0.0, 2.0, 1.0]])
    repeated = [answer for answer, times in zip(ANSWERS, weights[0], strict=True) for _ in range(int(times))]
    assert metric.measure(ANSWERS).aggregate(weights)[0] == pytest.approx(metric.measure(repeated).score)


@metrics
def test_many_samples_at_once_give_what_each_gives_alone(metric: Metric) -> None:
    weights = np.random.default_rng(1).integers(0, 4, size=(7, len(ANSWERS))).astype(float)
    weights[:, 0] += 1
    aggregate = metric.measure(ANSWERS).aggregate
    alone = [aggregate(row[None, :])[0] for row in weights]
    np.testing.assert_allclose(aggregate(weights), alone)


@metrics
def test_the_order_of_rows_does_not_matter(metric: Metric) -> None:
    assert metric.measure(ANSWERS[::-1]).score == pytest.approx(metric.measure(ANSWERS).score)


@metrics
def test_a_binary_metric_is_the_mean_of_zeros_and_ones(metric: Metric) -> None:
    if metric.binary:
        measured = metric.measure(ANSWERS)
        assert set(measured.values) <= {0.0, 1.0}
        assert measured.score == pytest.approx(measured.values.mean())


@metrics
def test_any_prediction_has_a_finite_value(metric: Metric) -> None:
    odd = [
        "",
        " ",
        "\x00",
        "NaN",
        "[" * 20_000,
        "9" * 5_000,
        '{"a": NaN}',
        '"\\ud800"',
        "🦀",
        "null",
        "{}",
        "a" * 10_000,
    ]
    answers = [Answer(prediction, '{"a": 1}', (-1.0,)) for prediction in odd]
    assert np.isfinite(metric.measure(answers).values).all()


def test_the_example_of_how_to_add_a_metric_works(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(str(files("tunery.evaluation.metrics"))) / "ADDING.md").read_text()
    METRICS.names()
    monkeypatch.setattr(METRICS, "_found", dict(METRICS._found))
    exec(page.split("```python\n")[1].split("```")[0], {})
    answers = [Answer("one two", "one"), Answer("two", "one")]
    assert METRICS.get("starts_alike").measure(answers).score == 1 / 2
