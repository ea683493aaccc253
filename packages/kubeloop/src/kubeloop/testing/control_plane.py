"""A real API server for tests: etcd and kube-apiserver in a temporary folder, on free ports of loopback.

What controller-runtime's envtest is, and for the tests of faults more: the API server can be killed, started again on
the same port and data, stopped and continued, given a new CA, put into a network namespace; etcd can be compacted.

Nothing runs that acts by itself: no kubelet, no scheduler, no garbage collection, and a namespace that is deleted stays
Terminating, unless `controller_manager` is asked for. etcd is told not to wait for the disk: a power cut loses the
data, which is temporary anyway. Needs `kubeloop[testing]`.
"""

import base64
import json
import random
import secrets
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from kubeloop.client import errors
from kubeloop.client.config import ClusterConfig, StaticToken
from kubeloop.client.transport import HttpTransport, Request
from kubeloop.testing.assets import Assets, MissingAssets, find_assets
from kubeloop.testing.certificates import Certificates, write_file
from kubeloop.testing.program import Program

ISSUER = "https://kubeloop.test"

# requests once when they end, and watches also when they begin
AUDIT_POLICY = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
"""


class ControlPlane:
    """One API server with its etcd. Use as an async context manager, or call `start` and `stop`.

    `apiserver_flags` are added to the API server's (`{"watch-cache": "false"}`). In another network namespace `netns`
    (of `ip netns`), `address` is where the API server and etcd listen there.
    """

    def __init__(
        self,
        *,
        assets: Assets | None = None,
        address: str = "127.0.0.1",
        netns: str = "",
        controller_manager: bool = False,
        apiserver_flags: Mapping[str, str] | None = None,
    ) -> None:
        """Raises `MissingAssets` when a program that is needed is not on this machine."""
        self._assets = assets if assets is not None else find_assets()
        if controller_manager and self._assets.kube_controller_manager is None:
            raise MissingAssets("kube-controller-manager not found, neither in $KUBEBUILDER_ASSETS nor on $PATH")
        self._address = address
        self._netns = netns
        self._with_controllers = controller_manager
        self._extra = dict(apiserver_flags or {})
        self._port, etcd_port, self._etcd_peer_port = _free_ports(3)
        self._etcd_url = f"http://{address}:{etcd_port}"
        self._token = secrets.token_hex(16)
        self._folder: Path | None = None
        self._certificates: Certificates | None = None
        self._processes: dict[str, Program] = {}

    async def __aenter__(self) -> "ControlPlane":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()

    @property
    def server(self) -> str:
        """The API server's URL; it stays the same over restarts."""
        return f"https://{self._address}:{self._port}"

    @property
    def folder(self) -> Path:
        """Where logs, certificates and data are; gone after `stop`."""
        if self._folder is None:
            raise RuntimeError("the control plane is not started")
        return self._folder

    @property
    def ca_file(self) -> Path:
        """The CA of the API server's certificate; replaced by `start_apiserver(new_ca=True)`."""
        return self._keys.ca

    @property
    def kubeconfig(self) -> Path:
        """For programs that read one; names the CA's file, so a new CA is seen."""
        return self.folder / "kubeconfig"

    def config(self) -> ClusterConfig:
        """For kubeloop's clients, as a user who may do everything (group system:masters)."""
        return ClusterConfig(self.server, credentials=StaticToken(self._token), ca_file=self.ca_file)

    async def start(self) -> None:
        """Until the API server is ready, which takes about 4 s. Raises `StartFailed`; then nothing is left running."""
        self._folder = Path(tempfile.mkdtemp(prefix="kubeloop-control-plane-"))
        try:
            self._certificates = Certificates(self._folder / "pki", names=("localhost", "127.0.0.1", self._address))
            self._write_access()
            self._run("etcd", self._etcd_argv())
            await self.start_apiserver()
            if self._with_controllers:
                self._run("kube-controller-manager", self._controller_manager_argv())
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kills all that runs and removes the folder. May be called twice."""
        for process in self._processes.values():
            process.kill()
        self._processes.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    async def start_apiserver(self, *, new_ca: bool = False, timeout_s: float = 60) -> None:
        """Starts the API server after `kill_apiserver`, on its port and data, until it is ready.

        Raises `StartFailed`; then it does not run.
        """
        if new_ca:
            self._keys.renew()
        process = self._run("kube-apiserver", self._apiserver_argv())
        async with HttpTransport(self.config(), user_agent="kubeloop-testing/1") as transport:

            async def ready() -> bool:
                try:
                    return (await transport.request(Request("GET", "/readyz"), timeout_s=2)).body == b"ok"
                except errors.ApiError:
                    return False

            try:
                await process.wait_ready(ready, timeout_s=timeout_s)
            except BaseException:
                self.kill_apiserver()  # so that it can be tried again
                raise

    def kill_apiserver(self) -> None:
        """SIGKILL, as the out-of-memory killer does it: connections are reset, nothing is said to anybody."""
        self._processes.pop("kube-apiserver").kill()

    def pause_apiserver(self) -> None:
        """SIGSTOP: connections stay open, and nobody answers."""
        self._processes["kube-apiserver"].signal(signal.SIGSTOP)

    def resume_apiserver(self) -> None:
        """SIGCONT."""
        self._processes["kube-apiserver"].signal(signal.SIGCONT)

    async def revision(self) -> int:
        """The newest resourceVersion of all: the revision of etcd."""
        answer = await self._etcd("range", {"key": base64.b64encode(b"\0").decode(), "count_only": True})
        return int(answer["header"]["revision"])

    async def compact(self, revision: int | None = None) -> int:
        """Forgets etcd's history before `revision`, now by default; gives that revision.

        The API server's watch caches keep a history of their own, which this does not touch: it goes with a restart.
        """
        at = await self.revision() if revision is None else revision
        await self._etcd("compaction", {"revision": str(at), "physical": True})
        return at

    def audit(self) -> Iterable[dict[str, Any]]:
        """Every request that the API server has answered so far (audit.k8s.io/v1 Events), oldest first.

        https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/
        """
        with (self.folder / "audit.log").open() as lines:
            yield from (json.loads(line) for line in lines if line.endswith("\n"))

    @property
    def _keys(self) -> Certificates:
        if self._certificates is None:
            raise RuntimeError("the control plane is not started")
        return self._certificates

    def _run(self, name: str, argv: list[object]) -> Program:
        if name in self._processes:
            raise RuntimeError(f"{name} runs already")
        process = Program(argv, log=self.folder / f"{name}.log", netns=self._netns)
        self._processes[name] = process
        return process

    async def _etcd(self, call: str, body: dict[str, object]) -> Any:
        """One call of etcd's JSON gateway: https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session,
            session.post(f"{self._etcd_url}/v3/kv/{call}", json=body) as answer,
        ):
            answer.raise_for_status()
            return await answer.json()

    def _write_access(self) -> None:
        write_file(self.folder / "tokens.csv", f"{self._token},admin,admin,system:masters\n".encode())
        write_file(self.folder / "audit-policy.yaml", AUDIT_POLICY.encode())
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": self.server, "certificate-authority": str(self.ca_file)}}
            ],
            "users": [{"name": "admin", "user": {"token": self._token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        }
        write_file(self.kubeconfig, yaml.safe_dump(content).encode())

    def _etcd_argv(self) -> list[object]:
        peers = f"http://{self._address}:{self._etcd_peer_port}"
        flags = {
            "data-dir": self.folder / "etcd",
            "listen-client-urls": self._etcd_url,
            "advertise-client-urls": self._etcd_url,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        return [self._assets.etcd, "--unsafe-no-fsync", *_flags(flags)]

    def _apiserver_argv(self) -> list[object]:
        keys = self._keys
        flags = {
            "etcd-servers": self._etcd_url,
            "etcd-compaction-interval": "0",  # only a test compacts
            "bind-address": self._address,
            "advertise-address": self._address,
            "secure-port": self._port,
            "cert-dir": self.folder / "pki",
            "tls-cert-file": keys.server,
            "tls-private-key-file": keys.server_key,
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-account-issuer": ISSUER,
            "service-account-key-file": keys.accounts,
            "service-account-signing-key-file": keys.accounts_key,
            "service-cluster-ip-range": "10.0.0.0/24",
            "endpoint-reconciler-type": "none",
            "disable-admission-plugins": "ServiceAccount",  # nobody makes the accounts that pods would need
            "allow-privileged": "true",
            "audit-policy-file": self.folder / "audit-policy.yaml",
            "audit-log-path": self.folder / "audit.log",
            **self._extra,
        }
        return [self._assets.kube_apiserver, *_flags(flags)]

    def _controller_manager_argv(self) -> list[object]:
        flags = {
            "kubeconfig": self.kubeconfig,
            "leader-elect": "false",
            "service-account-private-key-file": self._keys.accounts_key,
            "root-ca-file": self.ca_file,
            "use-service-account-credentials": "true",
            "bind-address": self._address,
            "secure-port": "0",
        }
        assert self._assets.kube_controller_manager is not None
        return [self._assets.kube_controller_manager, *_flags(flags)]


def _flags(flags: Mapping[str, object]) -> list[object]:
    return [f"--{name}={value}" for name, value in flags.items()]


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below the range from which outgoing connections take theirs.

    One from that range could be taken while the API server is down between two starts, even by a client that tries to
    reach it: TCP then connects the client with itself.
    """
    ports: list[int] = []
    while len(ports) < count:
        port = random.randint(20000, 32000)  # noqa: S311 - no secret
        with closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in ports:
            ports.append(port)
    return ports
