"""What pydantic finds wrong, in our words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tunery.datasets.schemas import ImportOptions
from tunery.kit.faults import faults_of


@pytest.mark.parametrize("given", [{"on_error": {"a": 1}}, {"on_error": "halt"}, {"on_error": ["stop"]}])
def test_a_value_that_is_none_of_the_words_is_told_whatever_it_is(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as refused:
        ImportOptions.model_validate(given)
    (fault,) = faults_of(refused.value.errors(), ImportOptions, given)
    assert fault["path"] == "on_error"
    assert "stop" in fault["message"]
