"""A routing socket: batches of requests in one system call, answers matched by sequence number.

Calls block, for microseconds as a rule: rtnetlink answers within the send, but waits for the kernel's RTNL lock, which
the deletion of a device may hold for tens of milliseconds. So not on the event loop. Not thread-safe.

A batch is not a transaction: the kernel goes on after a request it refused. The first refusal is raised.
"""

import errno
import itertools
import os
import socket
from collections.abc import Sequence
from types import TracebackType

from kuryr.daemon.kernel import KernelError
from kuryr.daemon.netlink import codec
from kuryr.daemon.netlink.messages import Request

_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_RECEIVE_BYTES = 1 << 16
_TIMEOUT_S = 5.0
_DUMP_ATTEMPTS = 5


class NetlinkError(KernelError):
    """The kernel refused a request. `errno` as in errno(3), `message` the kernel's own words or errno's."""

    def __init__(self, code: int, message: str, request: Request) -> None:
        name = errno.errorcode.get(code, str(code))
        super().__init__(f"could not {request.description}: {message or os.strerror(code)} ({name})")
        self.errno = code
        self.message = message or os.strerror(code)
        self.request = request


class NetlinkConnection:
    """One AF_NETLINK socket; it stays in the network namespace it was opened in, wherever its threads go."""

    def __init__(self) -> None:
        self._sequence = itertools.count(1)
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
        self._socket.settimeout(_TIMEOUT_S)
        self._socket.bind((0, 0))

    def __enter__(self) -> "NetlinkConnection":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def request(self, *requests: Request) -> list[bytes]:
        """Send all in one datagram; the payloads of the answers that are no acknowledgements. Raises NetlinkError."""
        sent = self._send(requests)
        answers: list[bytes] = []
        refused: NetlinkError | None = None
        while sent:
            for message in self._receive(next(iter(sent.values()))):
                if message.sequence not in sent:
                    continue  # the rest of an earlier batch that timed out
                if message.type != codec.NLMSG_ERROR:
                    answers.append(message.payload)
                    continue
                code, words = codec.parse_acknowledgement(message)
                request = sent.pop(message.sequence)
                if code and refused is None:
                    refused = NetlinkError(code, words, request)
        if refused is not None:
            raise refused
        return answers

    def dump(self, request: Request) -> list[bytes]:
        """The payloads of a listing; repeated while the kernel says that it changed under way."""
        for _attempt in range(_DUMP_ATTEMPTS):
            answers, complete = self._dump(request)
            if complete:
                return answers
        raise NetlinkError(errno.EINTR, f"changed during each of {_DUMP_ATTEMPTS} attempts", request)

    def _dump(self, request: Request) -> tuple[list[bytes], bool]:
        (sequence,) = self._send([request])
        answers: list[bytes] = []
        complete = True
        while True:
            for message in self._receive(request):
                if message.sequence != sequence:
                    continue
                complete = complete and not message.flags & codec.NLM_F_DUMP_INTR
                if message.type not in {codec.NLMSG_ERROR, codec.NLMSG_DONE}:
                    answers.append(message.payload)
                    continue
                code, words = codec.parse_acknowledgement(message)
                if code:
                    raise NetlinkError(code, words, request)
                return answers, complete

    def _send(self, requests: Sequence[Request]) -> dict[int, Request]:
        sent: dict[int, Request] = {}
        data = b""
        for request in requests:
            sequence = next(self._sequence) & 0xFFFFFFFF
            sent[sequence] = request
            flags = request.flags | codec.NLM_F_REQUEST
            if request.flags & codec.NLM_F_DUMP != codec.NLM_F_DUMP:
                flags |= codec.NLM_F_ACK
            data += codec.encode_message(codec.Message(request.type, flags, sequence, request.payload))
        try:
            self._socket.send(data)
        except OSError as error:
            raise NetlinkError(error.errno or errno.EIO, "", requests[0]) from error
        return sent

    def _receive(self, request: Request) -> list[codec.Message]:
        try:
            return list(codec.parse_messages(self._socket.recv(_RECEIVE_BYTES)))
        except TimeoutError as error:
            raise NetlinkError(errno.ETIMEDOUT, f"no answer in {_TIMEOUT_S:g} s", request) from error
        except OSError as error:  # no buffer space, for example
            raise NetlinkError(error.errno or errno.EIO, "", request) from error
