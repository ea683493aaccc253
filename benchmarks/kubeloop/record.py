"""Records the pod of `recorded/`: a pod of a Deployment as a busy cluster has them, from a real kube-apiserver.

    python -m benchmarks.kubeloop.record

It is created as the ReplicaSet controller does, bound as the scheduler does, and its status is the kubelet's, each
under its own field manager. Kept are the server's own bytes: JSON, and protobuf for the client that prefers it.
"""

import asyncio
import json
import ssl
from typing import Any

import aiohttp

from benchmarks.kubeloop.traffic import JSON_POD, NAME, NAMESPACE, NODE, POD_IP, PROTOBUF_POD, PROTOBUF_TYPE
from kubeloop.testing import ControlPlane

Body = dict[str, Any]

IMAGE = "registry.example.com/shop/checkout:2026.11.3"
DIGEST = "registry.example.com/shop/checkout@sha256:" + "4f6b1c" * 10 + "9d20"
NOW = "2026-11-24T08:15:42Z"


def probe(path: str) -> Body:
    return {
        "httpGet": {"path": path, "port": 8080, "scheme": "HTTP"},
        "initialDelaySeconds": 5,
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


def container(name: str, port: int) -> Body:
    return {
        "name": name,
        "image": IMAGE,
        "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
        "env": [
            {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
            {"name": "DATABASE_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "orders", "key": "password"}}},
        ],
        "resources": {"limits": {"memory": "512Mi"}, "requests": {"cpu": "250m", "memory": "512Mi"}},
        "readinessProbe": probe("/readyz"),
        "volumeMounts": [
            {"name": "config", "readOnly": True, "mountPath": "/etc/checkout"},
            {"name": "token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
        ],
    }


TOKEN_SOURCES = [
    {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
    {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
]

POD: Body = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": NAME,
        "namespace": NAMESPACE,
        "labels": {
            "app.kubernetes.io/name": "checkout",
            "app.kubernetes.io/part-of": "shop",
            "app.kubernetes.io/version": "2026.11.3",
            "pod-template-hash": "7d9c6b5f84",
        },
        "annotations": {
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "8080",
            "checksum/config": "8c1f0a7be2" * 6 + "44d9",
        },
        "ownerReferences": [
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "name": "checkout-7d9c6b5f84",
                "uid": "0b0ce2a6-4b5c-4c1f-9a7e-2f3d1c5e8a90",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    },
    "spec": {
        "serviceAccountName": "checkout",
        "containers": [container("checkout", 8080)],
        "volumes": [
            {"name": "config", "configMap": {"name": "checkout"}},
            {"name": "token", "projected": {"sources": TOKEN_SOURCES}},
        ],
    },
}


def container_status(name: str) -> Body:
    return {
        "name": name,
        "state": {"running": {"startedAt": NOW}},
        "ready": True,
        "started": True,
        "restartCount": 0,
        "image": IMAGE,
        "imageID": DIGEST,
        "containerID": "containerd://" + "a4d03e5c" * 8,
    }


CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")

STATUS: Body = {
    "phase": "Running",
    "conditions": [{"type": one, "status": "True", "lastTransitionTime": NOW} for one in CONDITIONS],
    "hostIP": "192.0.2.17",
    "hostIPs": [{"ip": "192.0.2.17"}],
    "podIP": POD_IP,
    "podIPs": [{"ip": POD_IP}],
    "startTime": NOW,
    "containerStatuses": [container_status("checkout")],
    "qosClass": "Burstable",
}


async def record(server: str, headers: dict[str, str], ca_file: str) -> None:
    """Creates the pod and writes what the server then says of it."""
    context = ssl.create_default_context(cafile=ca_file)
    pods = f"{server}/api/v1/namespaces/{NAMESPACE}/pods"
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": NAME},
        "target": {"kind": "Node", "name": NODE},
    }
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(ssl=context)) as session:

        async def call(method: str, url: str, body: Body, content_type: str = "application/json") -> None:
            async with session.request(
                method, url, data=json.dumps(body), headers={"Content-Type": content_type}
            ) as answer:
                assert answer.status < 300, await answer.text()

        await call("POST", f"{server}/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        await call("POST", f"{pods}?fieldManager=kube-controller-manager", POD)
        await call("POST", f"{pods}/{NAME}/binding?fieldManager=kube-scheduler", binding)
        patch = {"status": STATUS}
        await call(
            "PATCH", f"{pods}/{NAME}/status?fieldManager=kubelet", patch, "application/strategic-merge-patch+json"
        )
        for file, accept in ((JSON_POD, "application/json"), (PROTOBUF_POD, PROTOBUF_TYPE)):
            async with session.get(f"{pods}/{NAME}", headers={"Accept": accept}) as answer:
                assert answer.status == 200
                assert answer.content_type == accept
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(await answer.read())


async def main() -> None:
    async with ControlPlane() as control_plane:
        config = control_plane.config()
        identity = await config.credentials.identity()
        await record(config.server, dict(identity.headers), str(control_plane.ca_file))


if __name__ == "__main__":
    asyncio.run(main())
