import random

from hypothesis import given
from hypothesis import strategies as st

from kubeloop.client.back_off import BackOff

SECONDS = st.floats(0.001, 1000)


@given(first_s=SECONDS, longest_s=SECONDS, failures=st.integers(1, 10**9))
def test_back_off_is_between_half_and_whole_of_the_doubled_bound(
    first_s: float, longest_s: float, failures: int
) -> None:
    bound = min(longest_s, first_s * 2.0 ** min(failures - 1, 60))
    assert bound / 2 <= BackOff(first_s, longest_s).delay_s(failures) <= bound


@given(first_s=SECONDS, longest_s=SECONDS, failures=st.integers(1, 10**9))
def test_more_failures_never_lower_the_bound(first_s: float, longest_s: float, failures: int) -> None:
    back_off = BackOff(first_s, longest_s)
    most = max(back_off.delay_s(failures) for _ in range(20))
    assert back_off.delay_s(failures + 1) >= most / 2


def test_many_that_failed_together_do_not_come_back_together() -> None:
    random.seed(1)
    assert len({BackOff(1.0).delay_s(3) for _ in range(100)}) > 90


def test_back_off_doubles_up_to_its_bound() -> None:
    back_off = BackOff(1.0, 10.0)
    for failures, most in ((1, 1.0), (2, 2.0), (3, 4.0), (5, 10.0), (1000, 10.0)):
        assert most / 2 <= back_off.delay_s(failures) <= most
