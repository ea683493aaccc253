"""OVSDB's notation and framing."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kuryr.daemon.ovsdb.codec import JsonStream, OvsdbFormatError, as_set, encode_map, parse_value

texts = st.text(max_size=20)
messages = st.lists(st.dictionaries(texts, st.recursive(texts | st.integers(), st.lists, max_leaves=5)), max_size=4)


@given(messages, st.lists(st.integers(0, 200)), st.booleans())
def test_messages_come_out_however_the_stream_is_cut(
    expected: list[dict[str, Any]], cuts: list[int], ascii_only: bool
) -> None:
    data = "".join(json.dumps(message, ensure_ascii=ascii_only) for message in expected).encode()
    stream, got, start = JsonStream(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        got += stream.feed(data[start:cut])
        start = max(start, cut)
    assert got == expected


@given(st.dictionaries(texts, texts))
def test_maps_survive_encoding(values: dict[str, str]) -> None:
    assert parse_value(encode_map(values)) == values


@pytest.mark.parametrize(
    ("value", "elements"),
    [
        (["set", []], ()),
        (["uuid", "1"], ("1",)),
        (["set", [["uuid", "1"], ["uuid", "2"]]], ("1", "2")),
        ("one", ("one",)),
        (7, (7,)),
    ],
)
def test_a_set_of_one_may_be_bare(value: Any, elements: tuple[Any, ...]) -> None:
    assert as_set(parse_value(value)) == elements


@pytest.mark.parametrize("data", [b"[1]}", b"HTTP/1.1 400 Bad Request }", b"\xff}"])
def test_a_peer_that_speaks_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(OvsdbFormatError):
        JsonStream().feed(data)


@pytest.mark.parametrize("value", [[], ["map", [["key"]]], ["tree", []], ["set", 1]])
def test_a_value_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(OvsdbFormatError):
        parse_value(value)
