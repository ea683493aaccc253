"""Resource versions as numbers: what is newer.

Versions of one resource type compare as integers: guaranteed by the API concepts page since Kubernetes 1.35 (KEP-5504),
and true before because they are etcd's revisions.
"""


def version_number(version: str) -> int:
    """0 for a version that is not a number (an aggregated API server of its own mind): it is then never refused."""
    return int(version) if version.isdigit() else 0
