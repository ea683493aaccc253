import base64
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from kubeloop.client.config import Anonymous, Impersonation, StaticToken, TokenFile
from kubeloop.client.errors import ConfigError
from kubeloop.client.exec_plugin import ExecPlugin
from kubeloop.client.kubeconfig import in_cluster_config, load_config, parse_kubeconfig

from .test_rotation import key_pair

EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "interactiveMode": "Never"}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Any:
    """Writes a kubeconfig of one context, with these fields of cluster, user and context."""

    def write(
        cluster: dict[str, Any] | None = None,
        user: dict[str, Any] | None = None,
        context: dict[str, Any] | None = None,
        *,
        name: str = "one",
    ) -> Path:
        content = {
            "current-context": name,
            "contexts": [{"name": name, "context": {"cluster": name, "user": name, **(context or {})}}],
            "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example", **(cluster or {})}}],
            "users": [{"name": name, "user": user or {}}],
        }
        path = tmp_path / name
        path.write_text(yaml.safe_dump(content))
        return path

    return write


def test_a_context_names_cluster_user_and_namespace(kubeconfig: Any) -> None:
    config = parse_kubeconfig(
        [
            kubeconfig(
                {"tls-server-name": "api", "proxy-url": "http://proxy:3128"},
                {"token": "t"},
                {"namespace": "kuryr"},
            )
        ]
    )
    assert config.server == "https://one.example"
    assert (config.tls_server_name, config.proxy_url, config.namespace) == ("api", "http://proxy:3128", "kuryr")
    assert isinstance(config.credentials, StaticToken)
    assert config.verify_tls


def test_of_several_files_the_first_to_name_a_thing_wins_and_any_context_can_be_chosen(kubeconfig: Any) -> None:
    files = [kubeconfig(name="one"), kubeconfig(name="two")]
    assert parse_kubeconfig(files).server == "https://one.example"
    assert parse_kubeconfig(files, "two").server == "https://two.example"
    environ = {"KUBECONFIG": ":".join(map(str, files))}
    assert load_config(context="two", environ=environ).server == "https://two.example"
    with pytest.raises(ConfigError, match="there are: one, two"):
        parse_kubeconfig(files, "three")


def test_a_client_certificate_as_data_leaves_no_file_and_no_secret_in_the_repr(
    kubeconfig: Any, ca: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = key_pair(ca, "client.example")
    cluster = {"certificate-authority-data": encoded(ca.cert_pem.bytes().decode())}
    user = {"client-certificate-data": encoded(pair.certificate), "client-key-data": encoded(pair.key)}
    file = kubeconfig(cluster, user)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    config = parse_kubeconfig([file])
    config.tls_context()
    assert config.key_pair == pair
    assert not list(scratch.iterdir())
    assert "PRIVATE" not in repr(config)


def test_a_certificate_as_file_and_its_key_as_data_go_together(kubeconfig: Any, ca: trustme.CA, tmp_path: Path) -> None:
    pair = key_pair(ca, "client.example")
    (tmp_path / "client.crt").write_text(pair.certificate)
    user = {"client-certificate": "client.crt", "client-key-data": encoded(pair.key)}
    assert parse_kubeconfig([kubeconfig({}, user)]).key_pair == pair


def test_files_are_relative_to_the_kubeconfig_and_stay_paths(kubeconfig: Any, ca_file: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to(ca_file)
    config = parse_kubeconfig([kubeconfig({"certificate-authority": "current"}, {"tokenFile": "token", "token": "t"})])
    assert config.ca_file == tmp_path / "current"  # not resolved: what rotates is the symlink
    assert isinstance(config.credentials, TokenFile)


def test_credentials_are_those_that_client_go_would_take(kubeconfig: Any) -> None:
    assert isinstance(parse_kubeconfig([kubeconfig()]).credentials, Anonymous)
    assert isinstance(parse_kubeconfig([kubeconfig({}, {"exec": EXEC})]).credentials, ExecPlugin)
    assert isinstance(parse_kubeconfig([kubeconfig({}, {"exec": EXEC, "token": "t"})]).credentials, StaticToken)
    beta = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "sh"}
    assert isinstance(parse_kubeconfig([kubeconfig({}, {"exec": beta})]).credentials, ExecPlugin)


def test_impersonation_is_read(kubeconfig: Any) -> None:
    user = {"token": "t", "as": "jane", "as-uid": "4", "as-groups": ["dev"], "as-user-extra": {"scopes": ["a", "b"]}}
    config = parse_kubeconfig([kubeconfig({}, user)])
    assert config.impersonation == Impersonation("jane", "4", ("dev",), {"scopes": ("a", "b")})


@pytest.mark.parametrize(
    ("cluster", "user", "problem"),
    [
        ({"server": "api:6443"}, {}, "no usable server"),
        ({"proxy-url": "socks5://proxy"}, {}, "socks5 is not supported"),
        ({"certificate-authority-data": "%%%"}, {}, "certificate-authority-data is not base64"),
        ({"certificate-authority-data": encoded("nonsense")}, {}, "certificate-authority-data of .* cannot be loaded"),
        ({"certificate-authority": "missing.crt"}, {}, r"missing\.crt cannot be loaded"),
        ({"certificate-authority": "x", "insecure-skip-tls-verify": True}, {}, "exclude each other"),
        ({}, {"username": "jane", "password": "s3cret"}, "username.*any more"),
        ({}, {"auth-provider": {"name": "gcp"}}, "auth-provider.*exec plug-in"),
        ({}, {"client-certificate-data": encoded("s3cret")}, "go together"),
        ({}, {"client-certificate": "missing.crt", "client-key": "missing.key"}, "client-key cannot be loaded"),
        ({}, {"client-certificate-data": encoded("s3cret"), "client-key-data": encoded("s3cret")}, "cannot be loaded"),
        ({}, {"as-groups": ["dev"]}, "needs a user"),
        ({}, {"exec": {**EXEC, "interactiveMode": "Always"}}, "needs a terminal"),
        ({}, {"exec": {**EXEC, "interactiveMode": None}}, "interactiveMode must be"),
        ({}, {"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, "v1alpha1' is not supported"),
        ({}, {"exec": {**EXEC, "command": ""}}, "no command"),
        ({}, {"exec": "sh"}, "not of the right shape"),
        ({}, {"exec": {**EXEC, "env": ["A=b"]}}, "not of the right shape"),
        ({}, {"exec": {**EXEC, "command": "./missing", "installHint": "Get it there"}}, "not installed. Get it there"),
    ],
)
def test_what_is_wrong_is_said_at_the_start_with_the_files_name_and_without_secrets(
    kubeconfig: Any, cluster: dict[str, Any], user: dict[str, Any], problem: str
) -> None:
    file = kubeconfig(cluster, user)
    with pytest.raises(ConfigError, match=problem) as caught:
        parse_kubeconfig([file])
    assert str(file) in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "- a", "a: [", "\x00"])
def test_what_is_no_kubeconfig_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "config").write_text(content)
    with pytest.raises(ConfigError, match="config"):
        parse_kubeconfig([tmp_path / "config"])


@pytest.mark.parametrize(
    "content",
    ["clusters: 5", "clusters: [5]", "clusters: [{cluster: {}}]", "users: [{name: a, user: 5}]", "contexts: {a: b}"],
)
def test_a_kubeconfig_of_another_shape_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / "config").write_text(f"current-context: a\n{content}\n")
    with pytest.raises(ConfigError, match="config"):
        parse_kubeconfig([tmp_path / "config"])


def test_outside_a_pod_and_without_a_kubeconfig_the_error_says_what_was_tried(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="KUBECONFIG is not set"):
        load_config(environ={"HOME": str(tmp_path)})
    with pytest.raises(ConfigError, match="not in a pod"):
        in_cluster_config(environ={})
    with pytest.raises(ConfigError, match="automountServiceAccountToken"):
        in_cluster_config(environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, service_account=tmp_path)


def test_an_ipv6_address_of_the_service_is_bracketed(tmp_path: Path) -> None:
    for name in ("token", "ca.crt"):
        (tmp_path / name).write_text("x")
    config = in_cluster_config(environ={"KUBERNETES_SERVICE_HOST": "fd00::1"}, service_account=tmp_path)
    assert (config.server, config.namespace) == ("https://[fd00::1]:443", "default")
