"""Random sequences of operations on both servers: every answer is the same, and so is what watches tell afterwards.

This is what says that the simulator tells the truth. A difference that it finds is shrunk to the shortest sequence,
printed as it was performed; the simulator is then mended, and the sequence becomes a test of the contract suite.
"""

from collections.abc import Iterator

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .operations import OPERATIONS, WATCHES, Operation, Side, ends
from .servers import Server, assert_same


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    database=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(operations=OPERATIONS, watches=st.lists(WATCHES, max_size=2))
def test_both_servers_answer_the_same(
    servers: tuple[Server, Server], numbers: Iterator[int], operations: list[Operation], watches: list[Operation]
) -> None:
    namespace = f"d{next(numbers)}"
    for server in servers:
        assert server.call("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})[0] == 201
    real, simulated = (Side(server, namespace) for server in servers)
    done: list[Operation] = []
    for operation in [*operations, *ends(), *watches]:
        done.append(operation)
        assert_same(real.perform(operation), simulated.perform(operation), done)
