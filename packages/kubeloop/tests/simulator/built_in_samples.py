"""One object of each built-in kind, as small as the real server takes it."""

from typing import Any

Body = dict[str, Any]

_CONTAINER = {
    "name": "c",
    "image": "example.com/i:1",
    "ports": [{"containerPort": 80}],
    "livenessProbe": {"httpGet": {"port": 80}},
    "env": [{"name": "N", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
}
_VOLUMES = [
    {"name": "c", "configMap": {"name": "x"}},
    {"name": "s", "secret": {"secretName": "x"}},
    {"name": "e", "emptyDir": {}},
    {"name": "h", "hostPath": {"path": "/"}},
]
_POD: Body = {"containers": [_CONTAINER], "volumes": _VOLUMES}
_TEMPLATE: Body = {"metadata": {"labels": {"a": "b"}}, "spec": _POD}
_JOB: Body = {"template": {**_TEMPLATE, "spec": {**_POD, "restartPolicy": "Never"}}}
_SELECTOR = {"matchLabels": {"a": "b"}}
_OF_LABELS: Body = {"selector": _SELECTOR, "template": _TEMPLATE}
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
_RBAC = "rbac.authorization.k8s.io"
_RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
_ROLE_REF = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "x"}
_LIMIT = {"cpu": "1"}
_ABOUT = {"kind": "Pod", "name": "x", "namespace": "default"}
_WEBHOOK = {
    "name": "a.b.c",
    "admissionReviewVersions": ["v1"],
    "sideEffects": "None",
    "clientConfig": {"service": {"name": "x", "namespace": "y"}},
    "rules": [{"operations": ["CREATE"], "apiGroups": ["q"], "apiVersions": ["v1"], "resources": ["pods"]}],
}

SAMPLES: dict[str, Body] = {
    "clusterrolebindings.rbac.authorization.k8s.io": {
        "roleRef": _ROLE_REF,
        "subjects": [{"kind": "User", "name": "x"}, {"kind": "ServiceAccount", "name": "x", "namespace": "y"}],
    },
    "clusterroles.rbac.authorization.k8s.io": {"rules": _RULES},
    "configmaps": {"data": {"a": "b"}},
    "controllerrevisions.apps": {"data": {}, "revision": 1},
    "cronjobs.batch": {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": _JOB}}},
    "daemonsets.apps": {"spec": _OF_LABELS},
    "deployments.apps": {"spec": _OF_LABELS},
    "endpoints": {"subsets": [{"addresses": [{"ip": "10.1.1.1"}], "ports": [{"port": 1}]}]},
    "endpointslices.discovery.k8s.io": {
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.1.1.1"]}],
        "ports": [{"port": 1}],
    },
    "events.events.k8s.io": {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "a.b/c",
        "reportingInstance": "b",
        "action": "c",
        "reason": "r",
        "type": "Normal",
        "regarding": _ABOUT,
    },
    "ingressclasses.networking.k8s.io": {"spec": {"controller": "a.b/c"}},
    "ingresses.networking.k8s.io": {"spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 1}}}}},
    "jobs.batch": {"spec": _JOB},
    "leases.coordination.k8s.io": {},
    "limitranges": {"spec": {"limits": [{"type": "Container", "default": _LIMIT, "defaultRequest": _LIMIT}]}},
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [_WEBHOOK]},
    "networkpolicies.networking.k8s.io": {"spec": {"podSelector": {}, "egress": [{"ports": [{"port": 1}]}]}},
    "nodes": {},
    "persistentvolumeclaims": {"spec": _CLAIM},
    "persistentvolumes": {
        "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    },
    "poddisruptionbudgets.policy": {"spec": {"minAvailable": 1, "selector": _SELECTOR}},
    "pods": {"spec": _POD},
    "podtemplates": {"template": _TEMPLATE},
    "priorityclasses.scheduling.k8s.io": {"value": 1},
    "replicasets.apps": {"spec": _OF_LABELS},
    "replicationcontrollers": {"spec": {"template": _TEMPLATE}},
    "resourcequotas": {"spec": {"hard": {"pods": "1"}}},
    "rolebindings.rbac.authorization.k8s.io": {"roleRef": _ROLE_REF, "subjects": [{"kind": "Group", "name": "x"}]},
    "roles.rbac.authorization.k8s.io": {"rules": _RULES},
    "secrets": {"stringData": {"a": "b"}},
    "serviceaccounts": {},
    "services": {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
    "statefulsets.apps": {
        "spec": {
            **_OF_LABELS,
            "serviceName": "x",
            "volumeClaimTemplates": [{"metadata": {"name": "a"}, "spec": _CLAIM}],
        }
    },
    "storageclasses.storage.k8s.io": {"provisioner": "x"},
    "validatingwebhookconfigurations.admissionregistration.k8s.io": {"webhooks": [_WEBHOOK]},
}
