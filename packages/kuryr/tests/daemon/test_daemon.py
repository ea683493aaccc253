"""The daemon as `kuryr daemon` runs it, with an API server that is away."""

import asyncio
import json
from pathlib import Path

import msgspec
import yaml

from kuryr.cli.daemon import run_daemon
from kuryr.model.configuration import Configuration, Daemon, Kubernetes

from .conftest import OvsdbServer


def _configuration(folder: Path, ovsdb: str) -> Configuration:
    kubeconfig = {
        "clusters": [{"name": "away", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "away", "user": "u"}}],
        "current-context": "c",
    }
    (folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    daemon = Daemon(
        node="node1",
        socket=str(folder / "run" / "cni.sock"),
        ovsdb=ovsdb,
        ovn_run_dir=str(folder),
        cni_conf_dir=str(folder / "net.d"),
        cni_bin_dir=str(folder / "bin"),
    )
    return Configuration(kubernetes=Kubernetes(kubeconfig=str(folder / "kubeconfig")), daemon=daemon)


async def _ask(socket: str, command: str) -> dict[str, object]:
    request = {"command": command, "containerId": "c1", "ifname": "eth0", "config": {"cniVersion": "1.0.0"}}
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(socket)
                break
            except OSError:
                await asyncio.sleep(0.02)  # it does not listen yet
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            answer = await reader.readline()
        finally:
            writer.close()
    return msgspec.json.decode(answer, type=dict[str, object])


async def test_del_is_done_by_a_daemon_that_was_started_while_the_api_server_was_away(
    ovsdb_server: OvsdbServer, tmp_path: Path
) -> None:
    configuration = _configuration(tmp_path, ovsdb_server.remote)
    async with asyncio.TaskGroup() as group:
        daemon = group.create_task(run_daemon(configuration))
        async with asyncio.timeout(10):
            while await _ask(configuration.daemon.socket, "DEL"):
                pass  # OVSDB is not connected yet
        assert not (tmp_path / "net.d").exists(), "the node's network is not announced before the claims are known"
        daemon.cancel()
