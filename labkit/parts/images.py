"""`lab.images`: Docker's verbs on this machine's images and the lab's registry; each shows what it did.

Needs a cluster with a registry of its own.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

from labkit import course, pull_secret
from labkit.kube.client import Kube
from labkit.kube.namespaces import NAMESPACE
from labkit.view import image, notebook
from labkit.view.verdict import Note
from localcluster.images.workshop import Built, Push, Workshop
from localcluster.provider import Provider, RegistryAccess, only_embedded


class Images:
    """Docker's verbs. A login is remembered for as long as the notebook runs."""

    def __init__(self, kube: Kube, provider: Provider, stamp: str) -> None:
        self._kube, self._provider, self._stamp = kube, provider, stamp

    @cached_property
    def registry(self) -> RegistryAccess:
        """The lab's registry: its host name and its login."""
        access = self._provider.registry()
        if access is None:
            raise only_embedded(
                "This cluster has no registry of its own.", cause="Its owner manages its images."
            )
        return access

    @cached_property
    def _workshop(self) -> Workshop:
        return Workshop(self.registry)

    def build(self, folder: str | Path, name: str, *, quiet: bool = False) -> Built:
        """`docker build -t NAME FOLDER`; shows each step and its layer unless `quiet`."""
        built = self._workshop.build(course.existing(folder), name)
        if not quiet:
            notebook.show(image.built(built, stamp=self._stamp))
        if built.notes and not quiet:
            notebook.show(Note("\n".join(built.notes)))
        return built

    def tag(self, name: str, new: str) -> None:
        """`docker tag`: give an image on this machine another name."""
        notebook.show(Note(f"{new} → {self._workshop.tag(name, new)}"))

    def login(self, username: str, password: str) -> None:
        """`docker login`: verify the login with the lab's registry and remember it for this notebook."""
        self._workshop.login(username, password)
        notebook.show(Note(f"{self.registry.host} accepts the login of {username}"))

    def push(self, name: str, *, quiet: bool = False) -> Push:
        """`docker push`; shows which layers were sent and which were already there, unless `quiet`."""
        done = self._workshop.push(name)
        if not quiet:
            notebook.show(image.pushed(done, stamp=self._stamp))
        return done

    def digest(self, name: str) -> str:
        """The digest of the image that a name refers to in the registry right now."""
        return self._workshop.digest(name)

    def pull_secret(self, name: str, *, namespace: str = NAMESPACE, password: str = "") -> None:
        """`kubectl create secret docker-registry`, with the lab's login or with another password."""
        access = replace(self.registry, password=password) if password else self.registry
        pull_secret.make(self._kube, access, name=name, namespace=namespace)
        notebook.show(Note(f"secret/{name} in namespace {namespace}: a login to {access.host}"))
