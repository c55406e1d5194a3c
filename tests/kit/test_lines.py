"""Lines of a stream of events."""

from __future__ import annotations

import pytest

from tunery.kit.lines import lines_of

TEXT = 'data: {"content": "one\u2028two\u2029three\u0085four"}\r\n\ndata: [DONE]\n\nrest'


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_a_line_ends_at_a_line_feed_only_however_the_stream_comes(size: int) -> None:
    data = TEXT.encode()
    lines = list(lines_of(data[at : at + size] for at in range(0, len(data), size)))
    assert lines == ['data: {"content": "one\u2028two\u2029three\u0085four"}', "", "data: [DONE]", "", "rest"]
