"""Discovery: which groups, versions and resources there are. Pure functions of the kinds that are served.

Both forms: a document for each group and version, and all of them aggregated in one for /api and one for /apis, which
kubectl asks for first. Listed is what this server does, not what a real one could do besides.
https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

import re
from collections.abc import Iterable, Iterator
from itertools import groupby

from kubeloop.simulator.kinds import Kind
from kubeloop.simulator.refusals import Body

VERSION: Body = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0+kubeloop-simulator",
    "gitCommit": "",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SUBRESOURCE_VERBS = {
    "status": ("get", "patch", "update"),
    "scale": ("get", "patch", "update"),
    "finalize": ("update",),
    "binding": ("create",),
    "eviction": ("create",),
}
_OTHER_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
}


def wants_aggregated(accept: str) -> bool:
    """Whether the aggregated form is what is wanted, of those that we have."""
    first = accept.split(",")[0]
    return all(f"{name}={value}" in first for name, value in (("as", "APIGroupDiscoveryList"), ("v", "v2")))


def discovery(path: str, kinds: Iterable[Kind]) -> Body | None:
    """The document at that path, or None: /api, /apis, /api/v1, /apis/GROUP, /apis/GROUP/VERSION."""
    parts = path.strip("/").split("/")
    if parts == ["api"]:
        return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
    groups = _groups(kind for kind in kinds if kind.group)
    if parts == ["apis"]:
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(*one) for one in groups.items()]}
    if parts[0] == "apis" and len(parts) == 2 and parts[1] in groups:
        return {"kind": "APIGroup", "apiVersion": "v1", **_group(parts[1], groups[parts[1]])}
    group_version = {("api", 2): "/".join(parts[1:]), ("apis", 3): "/".join(parts[1:])}.get((parts[0], len(parts)))
    found = [kind for kind in kinds if kind.api_version == group_version]
    resources = [resource for kind in found for resource in _resources(kind)]
    head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version}
    return {**head, "resources": resources} if found else None


def aggregated_discovery(path: str, kinds: Iterable[Kind]) -> Body:
    """All of /api, or of /apis."""
    of_core = path.strip("/") == "api"
    groups = _groups(kind for kind in kinds if of_core == (not kind.group))
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": name} if name else {},
                "versions": [
                    {"version": version, "resources": [_aggregated(kind) for kind in found], "freshness": "Current"}
                    for version, found in versions.items()
                ],
            }
            for name, versions in groups.items()
        ],
    }


def _groups(kinds: Iterable[Kind]) -> dict[str, dict[str, list[Kind]]]:
    """Kinds by group and version, the preferred version first."""
    found: dict[str, dict[str, list[Kind]]] = {}
    for group, members in groupby(sorted(kinds, key=_place), key=lambda kind: kind.group):
        found[group] = {name: list(of) for name, of in groupby(members, key=lambda kind: kind.version)}
    return found


def _place(kind: Kind) -> tuple[object, ...]:
    return (kind.custom, kind.group, version_rank(kind.version), kind.plural)


def version_rank(version: str) -> tuple[object, ...]:
    """Sorts v2, v1, v1beta2, v1alpha1, then what is no version of Kubernetes'."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (3, 0, 0, version)
    major, stage, minor = found.groups()
    return ({None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0), "")


def _group(name: str, versions: Iterable[str]) -> Body:
    named = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": named, "preferredVersion": named[0]}


def verbs_of(kind: Kind) -> list[str]:
    """In the order in which the real server has them."""
    verbs = _CUSTOM_VERBS if kind.custom else _VERBS
    return [verb for verb in verbs if kind.collection_deletable or verb != "deletecollection"]


def _subresources(kind: Kind) -> Iterator[tuple[str, tuple[str, str, str], tuple[str, ...]]]:
    """Name, group, version and kind, verbs."""
    for name in sorted(kind.subresources):
        yield name, _OTHER_KINDS.get(name, (kind.group, kind.version, kind.kind)), _SUBRESOURCE_VERBS[name]


def _names(kind: Kind) -> Body:
    found: Body = {"shortNames": list(kind.short_names), "categories": list(kind.categories)}
    return {name: value for name, value in found.items() if value}


def _resources(kind: Kind) -> Iterator[Body]:
    head = {"namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs_of(kind)}
    yield {"name": kind.plural, "singularName": kind.singular, **head, **_names(kind)}
    for name, (group, version, other), verbs in _subresources(kind):
        found: Body = {"name": f"{kind.plural}/{name}", "singularName": "", "namespaced": kind.namespaced}
        if other != kind.kind:
            found |= {"group": group, "version": version} if group else {"version": version}
        yield {**found, "kind": other, "verbs": list(verbs)}


def _aggregated(kind: Kind) -> Body:
    found: Body = {
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": verbs_of(kind),
        **_names(kind),
    }
    subresources = [
        {"subresource": name, "responseKind": {"group": group, "version": version, "kind": other}, "verbs": list(verbs)}
        for name, (group, version, other), verbs in _subresources(kind)
    ]
    return {**found, "subresources": subresources} if subresources else found
