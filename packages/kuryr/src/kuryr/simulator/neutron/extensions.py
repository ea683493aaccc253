"""/extensions: what this Neutron has of what is optional; clients ask before they use it."""

from kuryr.openstack.session import Answer
from kuryr.simulator.neutron.wire import answered
from kuryr.simulator.refusals import Refusal
from kuryr.simulator.requests import Request

_NAMES = {
    "agent": "agent",
    "allowed-address-pairs": "Allowed Address Pairs",
    "binding": "Port Binding",
    "external-net": "Neutron external network",
    "net-mtu": "Network MTU",
    "pagination": "Pagination support",
    "port-security": "Port Security",
    "project-id": "project_id field enabled",
    "provider": "Provider Network",
    "quota_details": "Quota details management support",
    "quotas": "Quota management support",
    "revision-if-match": "If-Match constraints based on revision_number",
    "router": "Neutron L3 Router",
    "security-group": "security-group",
    "sorting": "Sorting support",
    "standard-attr-description": "standard-attr-description",
    "standard-attr-revisions": "Resource revision numbers",
    "standard-attr-tag": "Tag support for resources with standard attribute: port, network, subnet, router",
    "standard-attr-timestamp": "Resource timestamps",
    "subnet_allocation": "Subnet Allocation",
}


def answer_extensions(parts: tuple[str, ...], request: Request) -> Answer:
    """Raises `Refusal`."""
    if not parts:
        return answered(200, {"extensions": [_shown(alias) for alias in _NAMES]}, request)
    if parts[0] not in _NAMES:
        raise Refusal(404, "HTTPNotFound", f"Extension with alias {parts[0]} does not exist")
    return answered(200, {"extension": _shown(parts[0])}, request)


def _shown(alias: str) -> dict[str, object]:
    name = _NAMES[alias]
    return {"name": name, "alias": alias, "description": name, "updated": "2016-01-01T00:00:00-00:00", "links": []}
