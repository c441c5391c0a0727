"""How a container gets its image: pull policy, pull secrets, and back-off with the kubelet's events.

It tries until the image is there or the pod is ending; the status shows the reason for waiting.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from localcluster.api import Json
from localcluster.errors import ImageError
from localcluster.images.credentials import CONFIG_JSON, Credentials
from localcluster.images.rootfs import RunnableImage
from localcluster.node.life.backoff import BackOff
from localcluster.node.pod.context import PodContext
from localcluster.node.pod.pulling import PullFailure, policy
from localcluster.node.pod.status import Waiting

_SHOWN_AS_ERROR = 0.4  # of the delay: first ErrImagePull, then ImagePullBackOff


async def of_volumes(pod: PodContext, container: Json, show: Callable[[Waiting], None]) -> None:
    """The images that a container mounts as volumes; raises `Stopped`."""
    mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
    for volume in pod.spec.get("volumes", ()):
        if "image" not in volume or volume["name"] not in mounted:
            continue
        source = volume["image"]
        wanted = {"name": container["name"], "image": source.get("reference", "")}
        wanted["imagePullPolicy"] = source.get("pullPolicy")
        pod.volumes.images[volume["name"]] = (await Acquisition(pod, wanted, show).image()).rootfs


class Acquisition:
    """The image of one container, again for each of its runs."""

    def __init__(self, pod: PodContext, container: Json, show: Callable[[Waiting], None]) -> None:
        self._pod = pod
        self._container = container
        self._show = show
        self._backoff = BackOff()
        self._redefined = asyncio.Event()

    def redefine(self, container: Json) -> None:
        """Use another image from now on, without waiting for the old one's back-off."""
        self._container = container
        self._backoff.reset()
        self._redefined.set()

    @property
    def _name(self) -> str:
        return str(self._container["name"])

    @property
    def _image(self) -> str:
        return str(self._container["image"])

    async def image(self) -> RunnableImage:
        """Return it; raises `Stopped`."""
        while True:
            try:
                return await self._once()
            except PullFailure as failure:
                await self._wait_after(failure)

    async def _once(self) -> RunnableImage:
        images = self._pod.machine.images
        try:
            ref = images.reference(self._image)
        except PullFailure as failure:
            self._warn("InspectFailed", failure.message)
            raise
        how = policy(self._container)
        if how != "Always" and (found := await images.present(ref)):
            said = "already present on machine and can be accessed by the pod"
            self._tell("Pulled", f'Container image "{self._image}" {said}')
            return found
        if how == "Never":
            said = f'Container image "{self._image}" is not present with pull policy of Never'
            self._warn("ErrImageNeverPull", said)
            raise PullFailure("ErrImageNeverPull", said)
        return await self._pull()

    async def _pull(self) -> RunnableImage:
        images = self._pod.machine.images
        self._tell("Pulling", f'Pulling image "{self._image}"')
        began = time.monotonic()
        logins = await self._logins()
        try:
            pulled = await self._pod.unless_stopped(images.pull(images.reference(self._image), logins))
        except PullFailure as failure:
            self._warn("Failed", f'Failed to pull image "{self._image}": {failure.message}')
            raise
        took = f"{time.monotonic() - began:.3f}s"
        size = f"Image size: {pulled.size_bytes} bytes."
        said = f'Successfully pulled image "{self._image}" in {took} ({took} including waiting). {size}'
        self._tell("Pulled", f"{said} {pulled.arrival.words}" if pulled.arrival else said)
        return pulled.image

    async def _wait_after(self, failure: PullFailure) -> None:
        self._redefined.clear()
        self._warn("Failed", f"Error: {failure.reason}")
        self._show(Waiting(failure.reason, failure.message))
        delay = self._backoff.fail(self._pod.machine.now())
        if failure.reason != "ErrImagePull":
            await self._pod.sleep(delay, but=self._redefined)
            return
        await self._pod.sleep(delay * _SHOWN_AS_ERROR, but=self._redefined)
        if self._redefined.is_set():
            return
        said = f'Back-off pulling image "{self._image}"'
        self._tell("BackOff", said)
        self._warn("Failed", "Error: ImagePullBackOff")
        self._show(Waiting("ImagePullBackOff", f"{said}: ErrImagePull: {failure.message}"))
        await self._pod.sleep(delay * (1 - _SHOWN_AS_ERROR), but=self._redefined)

    async def _logins(self) -> Credentials:
        logins = Credentials()
        names = [s["name"] for s in self._pod.spec.get("imagePullSecrets", ()) if s.get("name")]
        missing = []
        for name in names:
            namespace = self._pod.record.namespace
            secret = await self._pod.machine.reader.found(namespace, ("secrets", name))
            if secret is None:
                missing.append(name)
            else:
                logins = logins.plus(self._read(name, secret))
        if missing:
            said = f"Unable to retrieve some image pull secrets ({', '.join(missing)}); "
            said += "attempting to pull the image may not succeed."
            self._warn("FailedToRetrieveImagePullSecret", said)
        return logins

    def _read(self, name: str, secret: Json) -> Credentials:
        try:
            logins = Credentials.of_secret(secret)
        except ImageError as error:
            # A kubelet stops here, too: it does not try the pod's other secrets.
            raise PullFailure(error.what, f"The pull secret {name} can't be read: {error}") from error
        if logins is None:
            said = f"The pull secret {name} is ignored: its type is {secret.get('type')}, not {CONFIG_JSON}"
            self._warn("FailedToRetrieveImagePullSecret", said)
        return logins or Credentials()

    def _tell(self, reason: str, message: str) -> None:
        self._pod.tell(reason, message, container=self._name)

    def _warn(self, reason: str, message: str) -> None:
        self._pod.tell(reason, message, container=self._name, warning=True)
