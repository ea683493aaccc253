"""The real kube-apiserver, as the suite sees it."""

import io
import ssl

import aiohttp

from kubeloop.client.transport import HttpTransport, Request, Response
from kubeloop.testing import ControlPlane


class KubeApiserver:
    name = "kube-apiserver"

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane

    def transport(self) -> HttpTransport:
        return HttpTransport(self._plane.config(), user_agent="contract/1")

    async def exchange(self, request: Request) -> Response:
        config = self._plane.config()
        identity = await config.credentials.identity()
        headers = {**identity.headers, "Content-Type": request.content_type}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(
                request.method,
                config.server + request.path,
                params=request.query,
                data=io.BytesIO(request.body) if request.body else None,
                ssl=ssl.create_default_context(cafile=config.ca_file),
            ) as answer,
        ):
            return Response(answer.status, await answer.read(), answer.headers)

    async def compact(self) -> None:
        """The watch caches have a history beside etcd's; a new process begins with none."""
        self._plane.kill_apiserver()
        await self._plane.compact()
        await self._plane.start_apiserver()
