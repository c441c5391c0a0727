"""`localcluster up --provider kind --dry-run`: the start-up as a person would type it. Starts nothing."""

from __future__ import annotations

import os

from localcluster.kind import files
from localcluster.kind.nvidia import Plan, by_node
from localcluster.kind.settings import NODE_PORTS, Settings
from localcluster.layout import Layout
from localcluster.provider import Spec

SIMULATED = ("nothing", "the GPUs, and the time that a GPU takes")

TRANSCRIPT = """\
# localcluster up --provider kind --name {settings.spec.name}: what it does, step by step.
# Real: kubelets, containerd, kube-proxy and the whole control plane, in containers of {engine}.
# Simulated: {simulated}. CLOCK={clock:g}.

LAB={lab}

# 1. Certificates of registry, Prometheus and adapter in $LAB/pki; a login for the registry.
# 2. The nodes boot, while 3 and 4 go on.
kind create cluster --name {settings.cluster} --config $LAB/cluster.yaml --kubeconfig $LAB/kubeconfig
# 3. Images: of the toolchain's registry, Prometheus and adapter; of the GPU plugin by its Dockerfile.
# 4. The registry, which the nodes know as registry.lab:5000; the images are pushed to it.
{engine} run --detach --name {settings.registry} --publish 127.0.0.1:PORT:5000 ...
{engine} network connect kind {settings.registry}
# 5. Namespaces, permissions, Prometheus, adapter, metrics APIs, GPU plugin, the policy for laptops.
kubectl apply --server-side -k $LAB
# 6. Wait until all nodes announce their GPUs and both metrics APIs answer.

# $LAB/cluster.yaml (host ports are chosen at the start):
{config}"""


GPU_STEP = """
# In {node}, for its real GPUs: {step.name} ({step.why})
{engine} exec {node} bash -euc '
{step.script}'
"""


def transcript(layout: Layout, spec: Spec, engine: str, *, real: Plan | None = None) -> str:
    """The start-up of `spec` as text; host ports, which are chosen at the start, are numbered from 0."""
    settings = Settings(spec, 0, tuple(range(NODE_PORTS)), complete=False)
    config = files.cluster_config(layout, settings, cpus=os.cpu_count() or 0, real=real).replace(
        str(layout.dir), "$LAB"
    )
    text = TRANSCRIPT.format(
        settings=settings,
        engine=engine,
        lab=layout.dir,
        clock=spec.clock,
        config=config,
        simulated=SIMULATED[not real],
    )
    pairs = by_node(settings.cluster, real, before=spec.cpu_nodes) if real else []
    steps = [(node, step) for node, worker in pairs for step in worker.steps]
    return text + "".join(GPU_STEP.format(engine=engine, node=node, step=step) for node, step in steps)
