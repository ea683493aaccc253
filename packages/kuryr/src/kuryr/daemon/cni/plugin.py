"""kuryr-cni, the program that container runtimes call: passes the request to the node's daemon, prints its answer.

Installed as a file of its own and run as `python3 -IS`, so it imports only what it needs from the standard library, and
nothing of kuryr. It decides nothing: without the daemon every command fails, DEL and GC too, so that the runtime calls
again and nothing is lost. Only VERSION is answered here. A daemon that is just started again is waited for: a moment
without it is no reason to make a sandbox anew, or to take the node for unready. Errors go to standard output as CNI
error objects, exit code 1.
"""

import json
import os
import sys
import time

# Half of the time this program takes is imports; `socket` brings selectors and enum families for nothing we use.
from _socket import AF_UNIX, SOCK_STREAM
from _socket import socket as Socket  # noqa: N812

SUPPORTED_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

MAX_REQUEST_BYTES = 1 << 20
DAEMON_TIMEOUT_S = 5.0
DAEMON_RETRY_S = 0.1
# Longer than the daemon's waits as a rule (90 s for the claim, then milliseconds; 30 s more where OVN does not answer),
# shorter than kubelet's patience (runtimeRequestTimeout, 2 min).
ANSWER_TIMEOUT_S = {"ADD": 110.0, "DEL": 50.0, "GC": 110.0}
OTHER_TIMEOUT_S = 30.0

INVALID_ENVIRONMENT = 4
IO_FAILURE = 5
DECODE_FAILURE = 6
INVALID_CONFIGURATION = 7
TRY_AGAIN_LATER = 11
NOT_AVAILABLE = 50


class Refused(Exception):
    """Ends the command with a CNI error."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code
        self.msg = msg


def parse_configuration(text: str) -> dict[str, object]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(DECODE_FAILURE, f"the network configuration on standard input is not JSON: {error}") from error
    if not isinstance(config, dict):
        raise Refused(DECODE_FAILURE, "the network configuration on standard input is not a JSON object")
    return config


def socket_path(config: dict[str, object]) -> str:
    path = config.get("socket")
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path:
        raise Refused(
            INVALID_CONFIGURATION,
            'the network configuration needs "socket": the absolute path of the kuryr daemon\'s socket',
        )
    return path


def connect(path: str) -> Socket:
    end = time.monotonic() + DAEMON_TIMEOUT_S
    while True:
        connection = Socket(AF_UNIX, SOCK_STREAM)
        connection.settimeout(DAEMON_TIMEOUT_S)
        try:
            connection.connect(path)
        except OSError as error:
            if time.monotonic() >= end:
                raise Refused(
                    TRY_AGAIN_LATER,
                    f"the kuryr daemon of this node is not reachable at {path} ({error}): see whether it is running",
                ) from error
            time.sleep(DAEMON_RETRY_S)
        else:
            return connection


def ask(path: str, request: bytes, timeout_s: float) -> bytes:
    """One line there, one line back. The connection ends with the process: that is what tells the daemon."""
    connection = connect(path)
    connection.settimeout(timeout_s)
    answer = b""
    try:
        connection.sendall(request)
        while not answer.endswith(b"\n"):
            data = connection.recv(65536)
            if not data:
                raise Refused(TRY_AGAIN_LATER, "the kuryr daemon stopped before it answered")
            answer += data
    except TimeoutError as error:
        raise Refused(TRY_AGAIN_LATER, f"the kuryr daemon gave no answer within {timeout_s:g} s") from error
    except OSError as error:
        raise Refused(TRY_AGAIN_LATER, f"the connection to the kuryr daemon broke: {error}") from error
    return answer


def run(environment: dict[str, str], text: str) -> dict[str, object]:
    """The object to print; one with a code is an error."""
    command = environment.get("CNI_COMMAND", "")
    if not command:
        raise Refused(INVALID_ENVIRONMENT, "CNI_COMMAND is not set: this program is called by container runtimes")
    if command == "VERSION":
        asked = parse_configuration(text).get("cniVersion") if text.strip() else None
        version = asked if asked in SUPPORTED_VERSIONS else SUPPORTED_VERSIONS[-1]
        return {"cniVersion": version, "supportedVersions": SUPPORTED_VERSIONS}
    config = parse_configuration(text)
    request = {
        "command": command,
        "containerId": environment.get("CNI_CONTAINERID", ""),
        "netns": environment.get("CNI_NETNS", ""),
        "ifname": environment.get("CNI_IFNAME", ""),
        "args": environment.get("CNI_ARGS", ""),
        "path": environment.get("CNI_PATH", ""),
        "config": config,
    }
    line = json.dumps(request).encode() + b"\n"
    if len(line) > MAX_REQUEST_BYTES:
        raise Refused(IO_FAILURE, f"environment and network configuration are longer than {MAX_REQUEST_BYTES} bytes")
    answer = ask(socket_path(config), line, ANSWER_TIMEOUT_S.get(command, OTHER_TIMEOUT_S))
    try:
        parsed = json.loads(answer)
    except ValueError as error:
        raise Refused(IO_FAILURE, f"the kuryr daemon's answer is not JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise Refused(IO_FAILURE, "the kuryr daemon's answer is not a JSON object")
    return parsed


def main() -> int:
    try:
        text = sys.stdin.buffer.read().decode(errors="replace")
        answer = run(dict(os.environ), text)
    except Refused as refused:
        # what makes others call again has a code of its own in STATUS
        away = refused.code == TRY_AGAIN_LATER and os.environ.get("CNI_COMMAND") == "STATUS"
        code = NOT_AVAILABLE if away else refused.code
        answer = {"cniVersion": SUPPORTED_VERSIONS[-1], "code": code, "msg": refused.msg}
    if answer:  # DEL has no result
        sys.stdout.write(json.dumps(answer) + "\n")
    return 1 if "code" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
