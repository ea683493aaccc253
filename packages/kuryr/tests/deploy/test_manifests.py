"""Everything in deploy/ is taken by a real API server as it is, and fits what the programs read."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from kubeloop import HttpTransport, Request
from kubeloop.testing import ControlPlane
from kuryr.model.configuration import Configuration, load_configuration

from ..conftest import REPOSITORY, collection_of, manifests

FILES = sorted(path.stem for path in (REPOSITORY / "deploy").glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
async def test_the_server_takes_it_as_it_is(control_plane: ControlPlane, name: str) -> None:
    async with HttpTransport(control_plane.config(), user_agent="test/1") as transport:
        for manifest in manifests(name):
            query = (("dryRun", "All"), ("fieldValidation", "Strict"), ("fieldManager", "test"), ("force", "true"))
            path = f"{collection_of(manifest)}/{manifest['metadata']['name']}"
            apply = "application/apply-patch+yaml"
            answer = await transport.request(
                Request("PATCH", path, query, msgspec.json.encode(manifest), apply), timeout_s=10
            )
            assert answer.status in (200, 201), answer.body


def workload(name: str) -> dict[str, Any]:
    return next(one for one in manifests(name) if one["kind"] in ("Deployment", "DaemonSet"))


def container(name: str) -> dict[str, Any]:
    (only,) = workload(name)["spec"]["template"]["spec"]["containers"]
    return dict(only)


def configuration(name: str, folder: Path) -> Configuration:
    """What the program makes of its file and environment; a field of the pod is some name."""
    environ = {one["name"]: one.get("value", "node1") for one in container(name)["env"]}
    path = folder / "kuryr.yaml"
    maps = [one["data"]["kuryr.yaml"] for one in manifests(name) if one["kind"] == "ConfigMap"]
    path.write_text(maps[0] if maps else "")
    return load_configuration(str(path), environ)


@pytest.mark.parametrize("name", ["controller", "daemon"])
def test_kubelet_asks_for_health_where_the_program_serves_it(name: str, tmp_path: Path) -> None:
    one = container(name)
    options = getattr(configuration(name, tmp_path), name)
    (port,) = one["ports"]
    assert options.http == f":{port['containerPort']}"
    assert one["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    assert one["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": port["name"]}


def test_the_daemon_has_every_folder_of_the_host_that_it_uses(tmp_path: Path) -> None:
    daemon = configuration("daemon", tmp_path).daemon
    mounted = {mount["mountPath"]: mount["name"] for mount in container("daemon")["volumeMounts"]}
    volumes = workload("daemon")["spec"]["template"]["spec"]["volumes"]
    host = {volume["name"]: volume["hostPath"]["path"] for volume in volumes}
    options = msgspec.structs.asdict(daemon)
    paths = {
        key: value.removeprefix("unix:") for key, value in options.items() if isinstance(value, str) and "/" in value
    }
    assert {"socket", "ovsdb", "ovn_run_dir", "cni_conf_dir", "cni_bin_dir"} <= paths.keys()
    for key, path in paths.items():
        around = [folder for folder in mounted if Path(path).is_relative_to(folder)]
        assert around, f"{key}: {path} is in no mount"
        assert host[mounted[around[0]]] == around[0], f"{key}: the same path inside and outside, for the plug-in"


def test_the_two_replicas_are_on_different_nodes_and_an_update_needs_no_third() -> None:
    spec = workload("controller")["spec"]
    anti = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert spec["replicas"] == 2
    assert anti[0]["labelSelector"] == spec["selector"]
    assert spec["strategy"]["rollingUpdate"]["maxSurge"] == 0
