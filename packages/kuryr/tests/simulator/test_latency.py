import random
import statistics

from kuryr.simulator.latency import latency_s

CREATE = ("POST", "/network/v2.0/ports", b'{"port": {}}')


def test_a_port_create_takes_as_long_as_it_was_measured() -> None:
    chance = random.Random(1)
    drawn = sorted(latency_s(*CREATE, chance) for _ in range(5000))
    assert 0.33 < statistics.median(drawn) < 0.36
    assert 0.62 < drawn[4950] < 0.74


def test_several_ports_in_one_create_take_as_long_as_one_after_the_other() -> None:
    one = latency_s(*CREATE, random.Random(1))
    many = latency_s("POST", "/network/v2.0/ports", b'{"ports": [{}, {}, {}]}', random.Random(1))
    assert many == 3 * one


def test_what_only_reads_is_quick() -> None:
    chance = random.Random(1)
    assert latency_s("GET", "/network/v2.0/ports/x", b"", chance) < 0.1 < latency_s(*CREATE, chance)
