"""An inference gateway in a pod of a kind lab: Envoy and the endpoint picker, as on the embedded one."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

import yaml

from localcluster import polling
from localcluster.api.client import Api
from localcluster.api.objects import KubeObject
from localcluster.data import DATA
from localcluster.embedded import admin, gateway, pki
from localcluster.kind import files, images
from localcluster.kind.engine import Engine
from localcluster.kind.settings import Settings
from localcluster.layout import Layout
from localcluster.provider import Pool, RegistryAccess
from localcluster.stored import write_atomically
from localcluster.toolchain import ladder, locate, objects

NAME, MONITORING = "llm-gateway", "monitoring"
DEPLOYMENT = f"/apis/apps/v1/namespaces/{MONITORING}/deployments/{NAME}"
HERE, TLS = Path("/gateway"), Path("/tls")
"""Where its pod finds its settings, and its certificate."""
SECONDS = 120.0


def start(engine: Engine, access: RegistryAccess, layout: Layout, pool: Pool, config: str = "") -> None:
    """Publish its images and run it for a pool of servers; returns once it runs. Safe to repeat."""
    picker, proxy = ladder.ensure([gateway.PICKER])[gateway.PICKER], locate.envoy()
    pki.ensure(layout.dir / "pki", files.identities(Settings.load(layout)))  # of a lab that is older
    made = images.component(engine, gateway.PICKER), images.dynamic(engine, gateway.PROXY, proxy)
    images.publish(engine, made, access)
    stop(layout)
    api = Api(layout.kubeconfig)
    wanted = [
        *yaml.safe_load_all(gateway.objects_of(pool, _address(api))),
        *_settings(layout, config or gateway.usual_config()),
        *_deployment(pool, *(image.at(access.host) for image in made)),
    ]
    write_atomically(_record(layout), yaml.safe_dump_all(wanted))
    admin.take_up(api, admin.kinds(objects.beside(picker)))
    admin.apply_objects(api, wanted)
    polling.until(lambda: _available(api), "the gateway to run", seconds=SECONDS)


def stop(layout: Layout) -> None:
    """Remove it with its objects; safe to repeat."""
    record = _record(layout)
    if not record.exists():
        return
    picker = ladder.ensure([gateway.PICKER])[gateway.PICKER]
    made, api = list(yaml.safe_load_all(record.read_text())), Api(layout.kubeconfig)
    admin.take_back(api, [*reversed(made), *admin.kinds(objects.beside(picker))])
    path, label = f"/api/v1/namespaces/{MONITORING}/pods", f"app={NAME}"
    polling.until(
        lambda: not api.get(path, labelSelector=label)["items"], "the gateway to end", seconds=SECONDS
    )
    record.unlink()


def _record(layout: Layout) -> Path:
    return layout.dir / "gateway.yaml"


def _available(api: Api) -> bool:
    return KubeObject(api.get(DEPLOYMENT)).is_true("Available")


def _address(api: Api) -> str:
    """Of the control plane's node, whose network its pod shares."""
    role = "node-role.kubernetes.io/control-plane"
    [node] = api.get("/api/v1/nodes", labelSelector=role)["items"]
    return str(next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"))


def _settings(layout: Layout, config: str) -> list[dict[str, Any]]:
    envoy = gateway.proxy_config(authority=TLS / "ca.crt", log=Path("/dev/stdout"))
    names = {"ca.crt": "ca.crt", "tls.crt": "epp.crt", "tls.key": "epp.key"}
    meta = {"namespace": MONITORING}
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, **meta},
            "data": {"envoy.yaml": envoy, "picker.yaml": config},
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{NAME}-tls", **meta},
            "stringData": {name: layout.pki(own).read_text() for name, own in names.items()},
        },
    ]


def _deployment(pool: Pool, picker: str, proxy: str) -> list[dict[str, Any]]:
    words = gateway.picker_words(pool, HERE / "picker.yaml", TLS)
    text = Template((DATA / "gateway" / "deployment.yaml").read_text()).substitute(
        NAMESPACE=pool.namespace,
        PICKER=picker,
        PROXY=proxy,
        ARGUMENTS=f"\n{' ' * 12}".join(f"- {word}" for word in words),
        METRICS=gateway.METRICS,
        REQUESTS=gateway.REQUESTS,
    )
    return list(yaml.safe_load_all(text))
