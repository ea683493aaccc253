"""Credentials from a program: `exec` of a kubeconfig, as client-go runs it.

One run at a time serves all requests that wait. The program runs anew shortly before its credentials expire and after
a 401; while what it gave is valid, a run that fails is no one's error. It never gets our standard input, and what it
prints on standard output, which holds secrets, is in no log and no error; what it prints on standard error is.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
"""

import asyncio
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from kubeloop.client.config import Identity
from kubeloop.client.errors import Unauthorized
from kubeloop.client.tls import KeyPair

API_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")

_RENEW_BEFORE_EXPIRY_S = 60.0  # or a quarter of the lifetime, if that is less
_AGAIN_AFTER_FAILURE_S = 10.0  # while the credentials are valid still

log = logging.getLogger(__name__)


class _Status(msgspec.Struct):
    token: str = ""
    certificate: str = msgspec.field(default="", name="clientCertificateData")
    key: str = msgspec.field(default="", name="clientKeyData")
    expires: datetime | None = msgspec.field(default=None, name="expirationTimestamp")


class _ExecCredential(msgspec.Struct):
    api_version: str = msgspec.field(default="", name="apiVersion")
    kind: str = ""
    status: _Status | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What to run, and how. `cluster` is what the program is told of the cluster: None where it did not ask."""

    argv: tuple[str, ...]
    api_version: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cluster: Mapping[str, Any] | None = field(default=None, repr=False)
    install_hint: str = ""

    @property
    def missing(self) -> str:
        """The error's text for a program that is not there."""
        return f"credential plug-in {self.argv[0]!r} is not installed. {self.install_hint}".rstrip()


class ExecPlugin:
    """The credentials that a program hands out."""

    def __init__(
        self, command: Command, *, timeout_s: float = 20.0, wall_clock: Callable[[], float] = time.time
    ) -> None:
        """A run that takes longer than `timeout_s` is killed and counts as failed."""
        self._command = command
        self._timeout_s = timeout_s
        self._wall_clock = wall_clock
        self._lock = asyncio.Lock()
        self._identity: Identity | None = None
        self._renew_at = float("inf")
        self._expires_at = float("inf")
        self._runs = 0  # that have ended
        self._failure = ""  # of the last run

    async def identity(self) -> Identity:
        now = self._wall_clock()
        if self._identity is None or now >= self._renew_at:
            await self._run_once(self._identity)
        assert self._identity is not None
        return self._identity

    async def renew(self, refused: Identity) -> bool:
        if self._identity is refused:
            self._renew_at = self._expires_at = 0.0
            await self._run_once(refused)
        return self._identity != refused

    async def _run_once(self, stale: Identity | None) -> None:
        """Replaces `stale`; who comes while the program runs shares that run's end."""
        if stale and self._lock.locked() and self._wall_clock() < self._expires_at:
            return
        ended = self._runs
        async with self._lock:
            if self._runs == ended:
                await self._run()
            if self._failure:
                if self._identity is None or self._wall_clock() >= self._expires_at:
                    raise Unauthorized(self._failure)
                log.warning("credentials not renewed", extra={"problem": self._failure})

    async def _run(self) -> None:
        try:
            status = _parse(self._command, await self._output())
        except Unauthorized as error:
            self._failure = error.message
            self._renew_at = self._wall_clock() + _AGAIN_AFTER_FAILURE_S
        else:
            self._failure = ""
            self._keep(status)
        self._runs += 1

    def _keep(self, status: _Status) -> None:
        self._identity = Identity(
            {"Authorization": f"Bearer {status.token}"} if status.token else {},
            KeyPair(status.certificate, status.key) if status.certificate else None,
        )
        self._renew_at = self._expires_at = float("inf")
        if status.expires:
            self._expires_at = status.expires.timestamp()
            lifetime_s = max(self._expires_at - self._wall_clock(), 0.0)
            self._renew_at = self._expires_at - min(_RENEW_BEFORE_EXPIRY_S, lifetime_s / 4)

    async def _output(self) -> bytes:
        command = self._command
        process = _start(command)
        try:
            output, printed = await asyncio.to_thread(_communicate, process, self._timeout_s)
        except subprocess.TimeoutExpired as error:
            raise Unauthorized(
                f"credential plug-in {command.argv[0]!r}: no answer within {self._timeout_s} s"
            ) from error
        except asyncio.CancelledError:
            _kill(process)  # the thread sees its end
            raise
        if process.returncode:
            said = printed.decode(errors="replace").strip()[-1000:]
            raise Unauthorized(
                f"credential plug-in {command.argv[0]!r} failed with exit code {process.returncode}: {said}"
            )
        return output


def _start(command: Command) -> subprocess.Popen[bytes]:
    """Not `asyncio.create_subprocess_exec`: cancelled while it starts the program, it waits for the program's end."""
    spec: dict[str, Any] = {"interactive": False}
    if command.cluster is not None:
        spec["cluster"] = command.cluster
    info = {"apiVersion": command.api_version, "kind": "ExecCredential", "spec": spec}
    try:
        return subprocess.Popen(
            command.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **command.env, "KUBERNETES_EXEC_INFO": msgspec.json.encode(info).decode()},
            start_new_session=True,  # so that its children can be killed with it
        )
    except FileNotFoundError as error:
        raise Unauthorized(command.missing) from error
    except OSError as error:
        raise Unauthorized(f"credential plug-in {command.argv[0]!r} cannot be run: {error}") from error


def _communicate(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bytes]:
    """Runs in a thread. Raises `TimeoutExpired`, when the program has been killed."""
    with process:
        try:
            return process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _parse(command: Command, output: bytes) -> _Status:
    """The status in an ExecCredential. Raises `Unauthorized`, which does not quote the output: it holds secrets."""
    name = f"credential plug-in {command.argv[0]!r}"
    try:
        credential = msgspec.json.decode(output, type=_ExecCredential)
    except msgspec.MsgspecError as error:
        raise Unauthorized(f"{name} printed no ExecCredential: {error}") from error
    if credential.kind != "ExecCredential" or credential.api_version != command.api_version:
        raise Unauthorized(
            f"{name} printed {credential.api_version}/{credential.kind}, not {command.api_version}/ExecCredential"
        )
    status = credential.status
    if status is None or not (status.token or status.certificate):
        raise Unauthorized(f"{name} gave neither a token nor a certificate")
    if bool(status.certificate) != bool(status.key):
        raise Unauthorized(f"{name}: clientCertificateData and clientKeyData go together")
    if status.expires and status.expires.tzinfo is None:
        raise Unauthorized(f"{name}: expirationTimestamp has no time zone")
    return status
