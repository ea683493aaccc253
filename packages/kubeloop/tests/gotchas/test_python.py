"""What a Python process does that a controller's author does not expect, each beside what holds instead."""

import gc
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubeloop.model.codec import decode_page
from kubeloop.model.core import Pod


def _program(source: str, number: signal.Signals) -> tuple[int, str]:
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        rest = process.stdout.read()
        return process.wait(10), rest


def test_sigterm_ends_python_without_any_finally_unless_it_is_handled() -> None:
    head = "import asyncio\nasync def main():\n    try:\n        print('ready', flush=True)\n"
    main = head + "        await asyncio.sleep(60)\n    finally:\n        print('lease given back', flush=True)\n"
    assert _program(f"{main}asyncio.run(main())", signal.SIGTERM) == (-signal.SIGTERM, "")
    handled = f"{main}import kubeloop\nasyncio.run(kubeloop.until_signalled(main()))"
    assert _program(handled, signal.SIGTERM) == (0, "lease given back\n")


def test_the_order_of_a_set_of_texts_is_another_in_each_process() -> None:
    source = "print(*{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'})"
    orders = {
        subprocess.run([sys.executable, "-c", source], env={}, capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(orders) > 1
    assert {" ".join(sorted(order.split())) for order in orders} == {"a b c d e f g h"}


def test_a_default_that_reads_the_configuration_at_import_never_sees_what_is_configured_later() -> None:
    configuration = {"cache_s": 0}

    def looked_up(now: float, *, cache_s: int = configuration["cache_s"]) -> str:
        return "from the cache" if now < cache_s else "from the cloud"

    def asked(now: float) -> str:
        return "from the cache" if now < configuration["cache_s"] else "from the cloud"

    configuration["cache_s"] = 180  # what main() reads from the file, after the imports
    assert looked_up(1) == "from the cloud"
    assert asked(1) == "from the cache"


RECORDED = Path(__file__).parents[4] / "benchmarks/kubeloop/recorded/pod.json"


def _page(count: int) -> bytes:
    return b'{"metadata": {"resourceVersion": "1"}, "items": [' + b",".join([RECORDED.read_bytes()] * count) + b"]}"


def test_untyped_objects_are_walked_by_the_cyclic_collector_and_typed_ones_are_not() -> None:
    page = _page(100)

    def tracked_by(decode: Any) -> float:
        """How many objects of each pod the collector has to walk."""
        gc.collect()
        before = len(gc.get_objects())
        kept = decode()
        gc.collect()
        assert kept
        return (len(gc.get_objects()) - before) / 100

    assert tracked_by(lambda: msgspec.json.decode(page)) == pytest.approx(73, abs=1)
    assert tracked_by(lambda: decode_page(Pod, page)) < 1


def test_an_object_of_the_store_is_shared_and_its_fields_cannot_be_set() -> None:
    pod = decode_page(Pod, _page(1)).items[0]
    name = pod.metadata.name
    with pytest.raises(AttributeError, match="immutable"):
        pod.metadata.name = "other"  # type: ignore[misc]
    other = msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, name="other"))
    assert (pod.metadata.name, other.metadata.name) == (name, "other")
    assert pod.metadata.labels is other.metadata.labels  # a dict within is shared all the same: make a new one
