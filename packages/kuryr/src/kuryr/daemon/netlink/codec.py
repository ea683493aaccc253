"""The bytes of rtnetlink: message headers, attributes, acknowledgements. Pure; knows no message's meaning.

Layouts are those of linux/netlink.h (see also netlink(7)): native byte order, everything padded to 4 bytes. Parsing
raises NetlinkFormatError instead of reading past the end.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NLMSG_ERROR = 2
NLMSG_DONE = 3

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_ACK_TLVS = 0x200
NLM_F_CAPPED = 0x100
NLM_F_DUMP_INTR = 0x10

NLA_TYPE_MASK = 0x3FFF
NLA_F_NESTED = 0x8000
NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port id
_ATTRIBUTE = struct.Struct("=HH")  # length, type
_ERRNO = struct.Struct("=i")


class NetlinkFormatError(ValueError):
    """A message of the kernel is not as linux/netlink.h says."""


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message. `payload` is the family's header and its attributes."""

    type: int
    flags: int
    sequence: int
    payload: bytes


def encode_attribute(kind: int, payload: bytes) -> bytes:
    """A type-length-value with its padding."""
    length = _ATTRIBUTE.size + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length % 4)


def encode_nested(kind: int, *attributes: bytes) -> bytes:
    return encode_attribute(kind | NLA_F_NESTED, b"".join(attributes))


def encode_string(kind: int, value: str) -> bytes:
    return encode_attribute(kind, value.encode() + b"\0")


def encode_u32(kind: int, value: int) -> bytes:
    return encode_attribute(kind, struct.pack("=I", value))


def encode_message(message: Message) -> bytes:
    length = _HEADER.size + len(message.payload)
    header = _HEADER.pack(length, message.type, message.flags, message.sequence, 0)
    return header + message.payload + b"\0" * (-length % 4)


def parse_messages(data: bytes) -> Iterator[Message]:
    """The messages of one datagram."""
    offset = 0
    while offset < len(data):
        if offset + _HEADER.size > len(data):
            raise NetlinkFormatError(f"{len(data) - offset} bytes are too few for a message header")
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise NetlinkFormatError(f"message length {length} at {offset} of {len(data)} bytes")
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + length])
        offset += length + (-length % 4)


def parse_attributes(data: bytes) -> dict[int, bytes]:
    """Type (without the nested and byte-order flags) -> payload; of repeated attributes the last."""
    attributes: dict[int, bytes] = {}
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < _ATTRIBUTE.size or offset + length > len(data):
            raise NetlinkFormatError(f"attribute length {length} at {offset} of {len(data)} bytes")
        attributes[kind & NLA_TYPE_MASK] = data[offset + _ATTRIBUTE.size : offset + length]
        offset += length + (-length % 4)
    return attributes


def parse_string(payload: bytes) -> str:
    return payload.split(b"\0", 1)[0].decode(errors="replace")


def parse_acknowledgement(message: Message) -> tuple[int, str]:
    """The errno (0: done) and the kernel's own words, if it had any, of an NLMSG_ERROR or NLMSG_DONE message."""
    if len(message.payload) < _ERRNO.size:
        raise NetlinkFormatError("an acknowledgement without an error number")
    (code,) = _ERRNO.unpack_from(message.payload)
    offset = _ERRNO.size
    if message.type == NLMSG_ERROR:
        # The request's header follows, and its payload unless the kernel was asked to leave it out.
        if len(message.payload) < offset + _HEADER.size:
            raise NetlinkFormatError("an acknowledgement without the request's header")
        (length, *_) = _HEADER.unpack_from(message.payload, offset)
        offset += _HEADER.size if message.flags & NLM_F_CAPPED or not code else length + (-length % 4)
    words = ""
    if message.flags & NLM_F_ACK_TLVS:
        words = parse_string(parse_attributes(message.payload[offset:]).get(NLMSGERR_ATTR_MSG, b""))
    return -code, words
