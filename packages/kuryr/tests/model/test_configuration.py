import contextlib
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kuryr.model.configuration import Configuration, ConfigurationError, load_configuration, render_defaults, require

_keys = st.sampled_from(["neutron", "network", "security_groups", "pools", "cool_down_s", "log", "level", "x"])


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
        ("log: {level: loud}", r"log.level: .*'loud'; allowed: debug, error, info, warning"),
        ("neutron: {security_groups: web}", r"neutron.security_groups: Expected `array`.*; write a list: \[a, b\]"),
        ("controller: {workers: 0}", r"controller.workers: Expected `int` >= 1, found 0"),
        ("cluster_id: {a: b}", r"cluster_id: Expected `str`, got `object`"),
        ("- pods", "the file: expected a section with keys"),
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


def test_every_problem_is_told_at_once_each_with_its_source(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        "neutron: {netwrok: x, timeout_s: soon}\npools: [1]\nlog: {level: loud}\ncolour: red",
    )
    environ = {
        "KURYR_POOLS__COOLDOWN": "3",
        "KURYR_CONTROLLER__WORKERS": "none",
        "KURYR_DAEMON": "x",
        "KURYR_CLUSTER_ID__A": "y",
        "KURYR_NO__SUCH__KEY": "z",
        "KURYR_NEUTRON__SECURITY_GROUPS": "[a",
    }
    with pytest.raises(ConfigurationError) as raised:
        load_configuration(path, environ)
    told = [line.split(": ")[:2] for line in str(raised.value).splitlines()]
    assert sorted(map(tuple, told)) == sorted(
        [
            (path, "unknown key neutron.netwrok"),
            (path, "neutron.timeout_s"),
            (path, "pools"),
            (path, "log.level"),
            (path, "unknown key colour"),
            ("KURYR_POOLS__COOLDOWN", "unknown key pools.cooldown"),
            ("KURYR_CONTROLLER__WORKERS", "controller.workers"),
            ("KURYR_DAEMON", "daemon"),
            ("KURYR_CLUSTER_ID__A", "cluster_id has no keys below it"),
            ("KURYR_NO__SUCH__KEY", "unknown key no"),
            ("KURYR_NEUTRON__SECURITY_GROUPS", "not YAML"),
        ]
    )


def test_a_section_whose_keys_are_all_left_out_is_fine(tmp_path: Path) -> None:
    assert load_configuration(_file(tmp_path, "neutron:\n  # network: pods\n"), {}) == Configuration()


@pytest.mark.parametrize("text", ["123", "1e5", "yes", "null", "[a", "x: y"])
def test_a_variable_for_a_text_is_taken_as_it_is(text: str) -> None:
    assert load_configuration("", {"KURYR_NEUTRON__NETWORK": text}).neutron.network == text


def test_a_right_variable_mends_a_wrong_key_of_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "log: {level: loud}")
    assert load_configuration(path, {"KURYR_LOG__LEVEL": "debug"}).log.level == "debug"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_keys, inner, max_size=3),
    max_leaves=8,
)


@given(content=json_like)
def test_any_file_gives_a_configuration_or_an_error_of_ours(
    content: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("any") / "kuryr.yaml"
    path.write_text(yaml.safe_dump(content))
    with contextlib.suppress(ConfigurationError):
        assert isinstance(load_configuration(str(path), {}), Configuration)


def test_a_missing_key_says_where_to_set_it() -> None:
    with pytest.raises(ConfigurationError, match=r"neutron.network is not set: .* KURYR_NEUTRON__NETWORK"):
        require("", "neutron.network")
