from itertools import pairwise
from pathlib import Path

import pytest

from kuryr.model.configuration import Configuration, ConfigurationError, load_configuration, render_defaults, require


def _file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "kuryr.yaml"
    path.write_text(text)
    return str(path)


def test_no_file_and_no_environment_gives_the_defaults() -> None:
    assert load_configuration("", {}) == Configuration()


def test_the_documented_defaults_load_as_the_defaults(tmp_path: Path) -> None:
    assert load_configuration(_file(tmp_path, render_defaults()), {}) == Configuration()


def test_every_key_is_documented() -> None:
    lines = render_defaults().splitlines()
    for before, line in pairwise(lines):
        if line and not line.lstrip().startswith("#"):
            assert len(before.strip()) > len("# "), f"{line} has no description"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "neutron: {netwrok: x}",
            r"kuryr.yaml: unknown key neutron.netwrok: did you mean neutron.network\? allowed here: ",
        ),
        ("colour: red", "unknown key colour: allowed here: cluster_id, kubernetes"),
        ("pools: {cool_down_s: -1}", "pools.cool_down_s: Expected `float` > 0"),
        ("pools: {cool_down_s: soon}", "pools.cool_down_s: Expected `float`, got `str`"),
        ("daemon: {socket: run/cni.sock}", "daemon.socket: Expected `str` matching regex"),
        ("neutron: [pods]", "neutron: expected a section with keys"),
        ("a: [", "cannot be read"),
    ],
)
def test_a_wrong_file_is_refused_by_key_and_with_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        load_configuration(_file(tmp_path, text), {})


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "neutron: {network: a, security_groups: [x]}")
    environ = {
        "KURYR_NEUTRON__NETWORK": "b",
        "KURYR_POOLS__COOL_DOWN_S": "3",
        "KURYR_LAB_IMAGE": "not ours",
        "HOME": "/",
    }
    loaded = load_configuration(path, environ)
    assert (loaded.neutron.network, loaded.neutron.security_groups, loaded.pools.cool_down_s) == ("b", ("x",), 3.0)


def test_the_variables_of_a_service_named_like_us_are_not_keys() -> None:
    environ = {"KURYR_WEB_SERVICE_HOST": "10.96.0.7", "KURYR_WEB_PORT": "tcp://x", "KURYR_WEB_PORT_80_TCP": "x"}
    assert load_configuration("", environ) == Configuration()


def test_a_wrong_variable_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match=r"KURYR_POOLS__COOLDOWN: unknown key pools.cooldown"):
        load_configuration("", {"KURYR_POOLS__COOLDOWN": "3"})


def test_a_missing_key_says_where_to_set_it() -> None:
    with pytest.raises(ConfigurationError, match=r"neutron.network is not set: .* KURYR_NEUTRON__NETWORK"):
        require("", "neutron.network")
