import io
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kubeloop.logs import Reconciling, reconciling, set_up_logging
from kubeloop.model.base import ObjectKey


@contextmanager
def logging_to(stream: io.StringIO, format_: str = "text") -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    try:
        set_up_logging("info", format_, stream=stream)  # type: ignore[arg-type]
        yield logging.getLogger("kubeloop.test")
    finally:
        root.handlers, root.level = handlers, level


def test_what_a_reconcile_logs_says_whose_it_is_which_key_and_which_run() -> None:
    out = io.StringIO()
    token = reconciling.set(Reconciling("widgets", ObjectKey("default", "a"), "7f"))
    with logging_to(out) as log:
        log.info("created", extra={"size": 3})
    reconciling.reset(token)
    line = out.getvalue().split(" ", 1)[1]
    assert line == "INFO kubeloop.test created size=3 controller=widgets key=default/a reconcile=7f\n"


def test_a_value_of_many_words_is_quoted_so_that_a_record_is_one_line() -> None:
    out = io.StringIO()
    with logging_to(out) as log:
        log.warning("failed", extra={"cause": 'no "such"\nthing', "empty": ""})
    assert out.getvalue().rstrip().endswith(r'failed cause="no \"such\"\nthing" empty=""')
    assert out.getvalue().count("\n") == 1


def test_json_keeps_types_and_carries_the_exception() -> None:
    out = io.StringIO()
    with logging_to(out, "json") as log:
        try:
            raise ValueError("broken")
        except ValueError:
            log.error("failed", extra={"count": 2, "key": ObjectKey("", "a")}, exc_info=sys.exc_info())
    record = json.loads(out.getvalue())
    assert (record["level"], record["message"], record["count"], record["key"]) == ("ERROR", "failed", 2, "a")
    assert record["exception"].endswith("ValueError: broken")
    assert record["time"].endswith("Z")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(ValueError, match="there are text and json"):
        set_up_logging(format="xml")  # type: ignore[arg-type]
