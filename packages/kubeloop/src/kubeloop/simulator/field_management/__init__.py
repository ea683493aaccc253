"""Who owns which fields of an object: what every write says of it, and server-side apply.

After structured-merge-diff, with which kube-apiserver does this:
https://kubernetes.io/docs/reference/using-api/server-side-apply/. All of it is pure: bodies in, bodies out.
"""

from kubeloop.simulator.field_management.ownership import Writer, applied, times_kept, updated

__all__ = ["Writer", "applied", "times_kept", "updated"]
