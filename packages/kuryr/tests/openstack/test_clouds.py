from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from kuryr.openstack.clouds import load_cloud
from kuryr.openstack.errors import CloudConfigError


class Files:
    """A working folder, a home and /etc are not ours to write: all is in the home, or named."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / ".config/openstack"
        self.folder.mkdir(parents=True)
        self.environ = {"HOME": str(home)}

    def write(self, name: str, content: Any, *, folder: Path | None = None) -> Path:
        path = (folder or self.folder) / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    empty = tmp_path / "work"
    empty.mkdir()
    monkeypatch.chdir(empty)
    return Files(tmp_path / "home")


def clouds(*names: str, **more: Any) -> dict[str, Any]:
    return {"clouds": {name: {"auth": {"auth_url": f"https://{name}/v3"}, **more} for name in names}}


def test_the_cloud_that_is_named_is_taken_from_the_home(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(files.home))
    ca_file = files.write("ca.pem", "", folder=files.home)
    ca_file.write_bytes(trustme.CA().cert_pem.bytes())
    files.write("clouds.yaml", clouds("a", "b", region_name="r", interface="internalURL", cacert="~/ca.pem"))
    cloud = load_cloud("b", environ=files.environ)
    assert (cloud.name, cloud.auth["auth_url"], cloud.region) == ("b", "https://b/v3", "r")
    assert (cloud.interface, cloud.ca_file) == ("internal", str(ca_file))


def test_the_working_folder_goes_before_the_home(files: Files) -> None:
    files.write("clouds.yaml", clouds("home"))
    files.write("clouds.yaml", clouds("work"), folder=Path())
    assert load_cloud("", environ=files.environ).name == "work"


@pytest.mark.parametrize("suffix", ["yml", "json"])
def test_the_other_suffixes_count_too(files: Files, suffix: str) -> None:
    files.write(f"clouds.{suffix}", '{"clouds": {"a": {"auth": {"auth_url": "https://a/v3"}}}}')
    assert load_cloud("a", environ=files.environ).name == "a"


def test_the_environment_names_file_and_cloud(files: Files, tmp_path: Path) -> None:
    path = files.write("mine.yaml", clouds("a", "b"), folder=tmp_path)
    environ = {**files.environ, "OS_CLIENT_CONFIG_FILE": str(path), "OS_CLOUD": "b"}
    assert load_cloud("", environ=environ).name == "b"
    assert load_cloud("a", environ=environ).name == "a"


def test_the_only_cloud_needs_no_name(files: Files) -> None:
    files.write("clouds.yaml", clouds("a"))
    assert load_cloud("", environ=files.environ).name == "a"


def test_secrets_are_merged_over_the_cloud(files: Files) -> None:
    files.write("clouds.yaml", clouds("a", region_name="r"))
    files.write("secure.yaml", {"clouds": {"a": {"auth": {"password": 1234}}}})
    cloud = load_cloud("a", environ=files.environ)
    assert cloud.auth == {"auth_url": "https://a/v3", "password": "1234"}
    assert cloud.region == "r"


def test_the_environment_names_the_secrets(files: Files, tmp_path: Path) -> None:
    files.write("clouds.yaml", clouds("a"))
    path = files.write("s.yaml", {"clouds": {"a": {"auth": {"password": "x"}}}}, folder=tmp_path)
    cloud = load_cloud("a", environ={**files.environ, "OS_CLIENT_SECURE_FILE": str(path)})
    assert cloud.auth["password"] == "x"


def test_secrets_beside_the_file_of_our_configuration_go_before_the_homes(files: Files, tmp_path: Path) -> None:
    path = files.write("clouds.yaml", clouds("a"), folder=tmp_path)
    files.write("secure.yaml", {"clouds": {"a": {"auth": {"password": "home"}}}})
    assert load_cloud("a", str(path), environ=files.environ).auth["password"] == "home"
    files.write("secure.yaml", {"clouds": {"a": {"auth": {"password": "beside"}}}}, folder=tmp_path)
    assert load_cloud("a", str(path), environ=files.environ).auth["password"] == "beside"


def test_a_profile_is_what_the_cloud_does_not_say_itself(files: Files) -> None:
    files.write("clouds-public.yaml", {"public-clouds": {"big": clouds("big", region_name="r")["clouds"]["big"]}})
    files.write("clouds.yaml", {"clouds": {"a": {"profile": "big", "region_name": "mine", "auth": {"username": "u"}}}})
    cloud = load_cloud("a", environ=files.environ)
    assert (cloud.auth, cloud.region) == ({"auth_url": "https://big/v3", "username": "u"}, "mine")


def test_a_password_is_not_printed_with_the_cloud(files: Files) -> None:
    files.write("clouds.yaml", {"clouds": {"a": {"auth": {"auth_url": "https://a/v3", "password": "secret"}}}})
    assert "secret" not in repr(load_cloud("a", environ=files.environ))


@pytest.mark.parametrize(
    ("more", "verify"),
    [({}, True), ({"verify": False}, False), ({"verify": "false"}, False), ({"insecure": True}, False)],
)
def test_tls_is_verified_unless_it_is_said_otherwise(files: Files, more: dict[str, Any], verify: bool) -> None:
    files.write("clouds.yaml", clouds("a", **more))
    assert load_cloud("a", environ=files.environ).verify is verify


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (clouds("a", "b"), "c", r"no cloud named 'c'; set openstack.cloud to one of: a, b"),
        (clouds("a", "b"), "", r"no cloud named ''; set openstack.cloud to one of: a, b"),
        ({}, "a", r"no cloud named 'a'; there is none"),
        ({"clouds": {"a": {}}}, "a", r"cloud 'a' has no auth.auth_url"),
        ({"clouds": {"a": {"profile": "big"}}}, "a", r"no profile named 'big': there is no clouds-public.yaml"),
        (clouds("a", verify="maybe"), "a", r"verify and insecure are true or false"),
        ({"clouds": ["a"]}, "a", r"clouds is not a mapping"),
        ({"clouds": {"a": "x"}}, "a", r"clouds is not a mapping"),
        ("a: [", "a", r"cannot be read as clouds.yaml"),
        ("- a", "a", r"cannot be read as clouds.yaml"),
    ],
)
def test_a_wrong_file_says_what_to_do(files: Files, content: Any, name: str, said: str) -> None:
    files.write("clouds.yaml", content)
    with pytest.raises(CloudConfigError, match=said):
        load_cloud(name, environ=files.environ)


def test_a_ca_that_is_not_there_is_told_at_once(files: Files) -> None:
    files.write("clouds.yaml", clouds("a", cacert="/nonexistent/ca.pem"))
    with pytest.raises(CloudConfigError, match=r"cloud 'a': there is no cacert /nonexistent/ca.pem"):
        load_cloud("a", environ=files.environ)


def test_a_ca_that_is_no_certificate_is_told_at_once(files: Files) -> None:
    ca_file = files.write("ca.pem", "not a certificate", folder=files.home)
    files.write("clouds.yaml", clouds("a", cacert=str(ca_file)))
    with pytest.raises(CloudConfigError, match=r"cloud 'a': cacert \S+ca.pem holds no certificate in PEM"):
        load_cloud("a", environ=files.environ)


def test_no_file_says_where_it_was_looked_for(files: Files) -> None:
    with pytest.raises(CloudConfigError, match=r"looked for clouds.yaml, .*\.config/openstack/clouds.yaml"):
        load_cloud("a", environ=files.environ)


@pytest.mark.parametrize("variable", ["OS_CLIENT_CONFIG_FILE", "OS_CLIENT_SECURE_FILE"])
def test_a_file_that_is_named_must_be_there(files: Files, variable: str) -> None:
    files.write("clouds.yaml", clouds("a"))
    with pytest.raises(CloudConfigError, match=r"/nonexistent/x.yaml is not there"):
        load_cloud("a", environ={**files.environ, variable: "/nonexistent/x.yaml"})
