"""KEDA in pods of a kind lab: its published objects, but for the images, which come from the lab's registry.

It makes its certificates itself, as on any cluster. Its admission webhook is left out. Started on demand.
https://keda.sh
"""

from __future__ import annotations

import copy
import json
from typing import Any

import yaml

from localcluster import polling
from localcluster.api.client import Api
from localcluster.embedded import admin, keda, pki
from localcluster.kind import files, images
from localcluster.kind.engine import Engine
from localcluster.kind.settings import Settings
from localcluster.layout import Layout
from localcluster.provider import RegistryAccess
from localcluster.toolchain import ladder, objects

PROGRAMS = {"keda-operator": keda.OPERATOR, "keda-metrics-apiserver": keda.ADAPTER}
"""Its Deployments, by name, and the programs that they run."""
LEFT_OUT = {"keda-admission", "keda-admission-webhooks"}
SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
USER = 1000
SECONDS = 180.0


def start(engine: Engine, access: RegistryAccess, layout: Layout) -> None:
    """Publish its images and apply its objects; returns once its metrics API answers. Safe to repeat."""
    binaries = ladder.ensure([*PROGRAMS.values()])
    pki.ensure(layout.dir / "pki", files.identities(Settings.load(layout)))  # of a lab that is older
    made = {name: images.component(engine, program) for name, program in PROGRAMS.items()}
    images.publish(engine, made.values(), access)
    published = objects.beside(binaries[keda.OPERATOR])
    wanted = objects_for(published, {name: image.at(access.host) for name, image in made.items()})
    api = Api(layout.kubeconfig)
    polling.until(lambda: not keda.ending(api), "the namespace keda of before to be gone", seconds=SECONDS)
    definitions = admin.kinds(wanted)
    admin.take_up(api, definitions)
    admin.apply_objects(api, (obj for obj in wanted if obj not in definitions))
    login = json.loads((layout.dir / "registry-login.json").read_text())
    admin.apply_objects(api, [_login(login), *yaml.safe_load_all(keda.trigger(layout))])
    polling.until(lambda: admin.get(api, keda.EXTERNAL), "external.metrics.k8s.io to answer", seconds=SECONDS)


def stop(layout: Layout) -> None:
    """Remove it with its objects; safe to repeat. ScaledObjects must be gone before."""
    api = Api(layout.kubeconfig)
    if not api.find(f"/api/v1/namespaces/{keda.NAMESPACE}"):
        return
    binary = ladder.ensure([keda.OPERATOR])[keda.OPERATOR]
    made = objects_for(objects.beside(binary), dict.fromkeys(PROGRAMS, "none"))
    admin.take_back(api, [*reversed(list(yaml.safe_load_all(keda.trigger(layout)))), *reversed(made)])
    polling.until(
        lambda: not api.find(f"/api/v1/namespaces/{keda.NAMESPACE}"), "keda to be gone", seconds=SECONDS
    )


def objects_for(published: list[dict[str, Any]], at: dict[str, str]) -> list[dict[str, Any]]:
    """Its published objects without the webhook, with images of the lab's registry (Deployment → image)."""
    kept = [
        copy.deepcopy(obj)
        for obj in published
        if obj["kind"] != "ValidatingWebhookConfiguration" and obj["metadata"]["name"] not in LEFT_OUT
    ]
    for obj in kept:
        if obj["kind"] == "Deployment":
            obj["spec"]["template"]["metadata"]["annotations"] = SCRAPED
            _run(obj["spec"]["template"]["spec"], at[obj["metadata"]["name"]])
    return kept


def _run(pod: dict[str, Any], image: str) -> None:
    """Our image has the program and nothing else: no user, no other name for it."""
    pod["imagePullSecrets"] = [{"name": "registry-login"}]
    pod["securityContext"]["runAsUser"] = USER
    [container] = pod["containers"]
    container |= {"image": image, "command": ["/program"], "imagePullPolicy": "IfNotPresent"}
    container["env"] = [*container["env"], {"name": "GOGC", "value": "60"}]
    container["readinessProbe"] |= {"initialDelaySeconds": 1, "periodSeconds": 1}


def _login(login: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "registry-login", "namespace": keda.NAMESPACE},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": json.dumps(login)},
    }
