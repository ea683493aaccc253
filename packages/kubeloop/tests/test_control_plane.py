"""The API server for tests: what it promises to those who test with it."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kubeloop.client import errors
from kubeloop.client.client import Client, connect
from kubeloop.client.kubeconfig import load_config
from kubeloop.model.base import ObjectMeta
from kubeloop.model.core import Namespace
from kubeloop.testing import Assets, ControlPlane, MissingAssets, StartFailed, find_assets


async def test_its_kubeconfig_and_its_config_reach_the_same_server(control_plane: ControlPlane) -> None:
    assert load_config(str(control_plane.kubeconfig)).server == control_plane.config().server
    async with connect(load_config(str(control_plane.kubeconfig)), user_agent="test/1") as client:
        assert (await client.get(Namespace, "default")).metadata.name == "default"


async def test_a_killed_api_server_comes_back_on_its_port_with_its_data(assets: Assets) -> None:
    async with ControlPlane(assets=assets) as plane, connect(plane.config(), user_agent="test/1") as client:
        await client.create(Namespace(metadata=ObjectMeta(name="kept")))
        plane.kill_apiserver()
        with pytest.raises(errors.Unavailable):
            await client.create(Namespace(metadata=ObjectMeta(name="refused")))
        ca = plane.ca_file.read_bytes()
        await plane.start_apiserver(new_ca=True)
        assert plane.ca_file.read_bytes() != ca
        assert (await client.get(Namespace, "kept")).metadata.name == "kept"
        folder = plane.folder
    assert not folder.exists()


async def test_compaction_leaves_the_objects_and_forgets_their_history(control_plane: ControlPlane) -> None:
    before = await control_plane.revision()
    async with connect(control_plane.config(), user_agent="test/1") as client:
        await client.create(Namespace(metadata=ObjectMeta(name="compacted")))
        assert await control_plane.compact() > before
        assert (await client.get(Namespace, "compacted")).metadata.name == "compacted"


async def test_with_a_controller_manager_a_deleted_namespace_goes(assets: Assets) -> None:
    if assets.kube_controller_manager is None and not os.environ.get("CI"):
        pytest.skip("kube-controller-manager is not there: envtest brings none")
    async with (
        ControlPlane(assets=assets, controller_manager=True) as plane,
        connect(plane.config(), user_agent="test/1") as client,
    ):
        await client.create(Namespace(metadata=ObjectMeta(name="passing")))
        await client.delete(Namespace, "passing")
        with pytest.raises(errors.NotFound):
            await asyncio.wait_for(_get_for_ever(client, "passing"), 30)


async def _get_for_ever(client: Client, name: str) -> None:
    while True:
        await client.get(Namespace, name)
        await asyncio.sleep(0.1)


async def test_an_api_server_that_does_not_start_says_why_and_can_be_started_again(assets: Assets) -> None:
    async with ControlPlane(assets=assets) as plane:
        plane.kill_apiserver()
        key = plane.ca_file.with_name("server.key")
        content = key.read_bytes()
        key.write_text("no key")
        with pytest.raises(StartFailed, match=r"kube-apiserver ended with 1\n(.|\n)*PEM"):
            await plane.start_apiserver()
        key.write_bytes(content)
        await plane.start_apiserver()


def test_a_controller_manager_that_is_not_there_is_missed_before_the_start(assets: Assets) -> None:
    with pytest.raises(MissingAssets, match="kube-controller-manager"):
        ControlPlane(assets=replace(assets, kube_controller_manager=None), controller_manager=True)


PROGRAM = """
import asyncio, sys
from pathlib import Path
from kubeloop.testing import Assets, ControlPlane

async def main():
    plane = ControlPlane(assets=Assets(Path(sys.argv[1]), Path(sys.argv[2])))
    await plane.start()
    print(*(process.pid for process in plane._processes.values()), plane.folder, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_nothing_is_left_running_after_a_crash_of_the_test(assets: Assets) -> None:
    argv = [sys.executable, "-c", PROGRAM, str(assets.etcd), str(assets.kube_apiserver)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as crashed:
        assert crashed.stdout is not None
        *pids, folder = crashed.stdout.readline().split()
        crashed.send_signal(signal.SIGKILL)
    assert len(pids) == 2
    deadline = time.monotonic() + 5
    while any(_runs(int(pid)) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(_runs(int(pid)) for pid in pids)
    shutil.rmtree(folder)


def _runs(pid: int) -> bool:
    try:
        return "kubeloop-control-plane" in os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False


def test_missing_programs_are_named_with_the_way_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    with pytest.raises(MissingAssets, match=r"^kube-apiserver not found in .*setup-envtest"):
        find_assets(environ={"KUBEBUILDER_ASSETS": str(tmp_path), "PATH": ""})


def test_kubebuilder_assets_win_over_the_path(tmp_path: Path) -> None:
    for folder in ("assets", "path"):
        (tmp_path / folder).mkdir()
        for name in ("etcd", "kube-apiserver"):
            (tmp_path / folder / name).touch(mode=0o755)
    found = find_assets(environ={"KUBEBUILDER_ASSETS": str(tmp_path / "assets"), "PATH": str(tmp_path / "path")})
    assert found == Assets(tmp_path / "assets/etcd", tmp_path / "assets/kube-apiserver")
