"""An inference gateway, an optional part of a lab: Envoy, and the endpoint picker (EPP) that directs it.

Both as released, as two processes. The picker reads the servers' metrics in real seconds, whatever CLOCK is.
https://gateway-api-inference-extension.sigs.k8s.io
"""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

import yaml

from localcluster.api.client import Api
from localcluster.data import DATA
from localcluster.embedded import admin, optional, pki
from localcluster.embedded.component import Component, Ready
from localcluster.embedded.control_plane import FRUGAL
from localcluster.layout import Layout
from localcluster.netns import plan
from localcluster.provider import Pool
from localcluster.stored import write_atomically
from localcluster.toolchain import ladder, locate, objects

PICKER, PROXY = "epp", "envoy"
REQUESTS, READY, PICKER_PORT, METRICS = 8090, 8091, 9002, 9090
"""Ports of the lab's own network; the picker has no option for its addresses."""

KNOWS_ITS_POOL = r'controller_runtime_reconcile_total\{controller="inferencepool",result="success"\} [1-9]'
"""On the picker's page of metrics. Before, it answers 500 to each request: no pods available in datastore."""

LOOK = "50ms"
"""How often the picker reads each server's metrics: its own default, in real time.

At CLOCK=15 this is 0.75 lab seconds. What comes between two looks all goes where the last one was best. So
loads through a gateway have few and long requests, and one clock does for all notebooks.
"""


def start(layout: Layout, pool: Pool, config: str = "") -> None:
    """Run both for a pool of servers; `config` is an EndpointPickerConfig. Safe to repeat with another."""
    picker, proxy = ladder.ensure([PICKER])[PICKER], locate.envoy()
    folder = layout.dir / "gateway"
    folder.mkdir(mode=0o700, exist_ok=True)
    stop_processes(layout)
    _write(layout, folder, config)
    api = Api(layout.kubeconfig)
    admin.take_up(api, admin.kinds(objects.beside(picker)))
    made = objects_of(pool, plan.GATEWAY)
    write_atomically(folder / "objects.yaml", made)
    admin.apply(api, [made])
    optional.add(layout, [picker_part(layout, picker, folder, pool), proxy_part(proxy, folder)])


def stop(layout: Layout) -> None:
    """End both and remove their objects; safe to repeat."""
    stop_processes(layout)
    folder = layout.dir / "gateway"
    if not folder.is_dir() or not (picker := ladder.Ladder().look([PICKER]).get(PICKER)):
        return
    own = folder / "objects.yaml"
    made = list(yaml.safe_load_all(own.read_text())) if own.exists() else []
    admin.take_back(Api(layout.kubeconfig), [*reversed(made), *admin.kinds(objects.beside(picker))])
    shutil.rmtree(folder, ignore_errors=True)


def stop_processes(layout: Layout) -> None:
    """End both, and let nobody scrape them."""
    optional.remove(layout, [PICKER, PROXY])
    optional.scrape(layout, "gateway", {})


def picker_part(layout: Layout, binary: Path, folder: Path, pool: Pool) -> Component:
    """The endpoint picker: reads every server's queue, and holds requests while all are full."""
    return Component(
        name=PICKER,
        argv=(str(binary), *picker_words(pool, folder / "picker.yaml", folder)),
        needs=("kube-apiserver",),
        env={"KUBECONFIG": str(layout.kubeconfig_of(PICKER)), **FRUGAL},
        ready=Ready(url=f"http://127.0.0.1:{METRICS}/metrics", says=KNOWS_ITS_POOL),
        why="the gateway's endpoint picker: sends each request to the server where it waits least",
    )


def picker_words(pool: Pool, config: Path, certificates: Path) -> tuple[str, ...]:
    """The picker's arguments: its configuration, and the folder with its certificate."""
    return (
        f"--pool-name={pool.name}",
        f"--pool-namespace={pool.namespace}",
        f"--config-file={config}",
        f"--cert-path={certificates}",
        "--metrics-endpoint-auth=false",
        "--tracing=false",
        "--enable-pprof=false",
        "--refresh-prometheus-metrics-interval=1s",
        f"--refresh-metrics-interval={LOOK}",
    )


def proxy_part(binary: Path, folder: Path) -> Component:
    """Envoy: carries the requests."""
    return Component(
        name=PROXY,
        argv=(
            str(binary),
            *("--config-path", str(folder / "envoy.yaml")),
            *("--concurrency", "1"),
            "--disable-hot-restart",
            *("--log-level", "warning"),
        ),
        needs=(PICKER,),
        ready=Ready(url=f"http://127.0.0.1:{READY}/ready"),
        why="the gateway's proxy: holds each request until the endpoint picker has named a server",
    )


def _write(layout: Layout, folder: Path, config: str) -> None:
    pki.copy(layout.dir / "pki", PICKER, folder)
    write_atomically(folder / "picker.yaml", config or usual_config())
    text = proxy_config(authority=layout.pki("ca.crt"), log=folder / "access.log")
    write_atomically(folder / "envoy.yaml", text)
    optional.scrape(layout, "gateway", {PICKER: METRICS})


def usual_config() -> str:
    """The EndpointPickerConfig of a gateway that is given no other."""
    return (DATA / "gateway" / "picker.yaml").read_text()


def proxy_config(*, authority: Path, log: Path) -> str:
    """Envoy's configuration: who signed the picker's certificate, and where the access log goes."""
    return Template((DATA / "gateway" / "envoy.yaml").read_text()).substitute(
        PORT=REQUESTS, READY_PORT=READY, PICKER_PORT=PICKER_PORT, CA_FILE=authority, LOG=log
    )


def objects_of(pool: Pool, address: str) -> str:
    """What it needs in the namespace of the model servers; `address` is where Envoy listens."""
    return Template((DATA / "gateway" / "objects.yaml").read_text()).substitute(
        NAMESPACE=pool.namespace, APP=pool.app, SERVERS_PORT=pool.port, ADDRESS=address, PORT=REQUESTS
    )
