"""The node agent: pods of a real API server as processes on simulated GPU nodes.

One process for all nodes of a lab. A pod's way through it:

    config     from the provider: which cluster, nodes and registries
    agent      all nodes in one event loop; `leftovers` of an agent that died are adopted or removed first
    nodeloop   the pods of one node, in step with the API server
    admission  what a pod gets before it starts: an address, ports, GPUs
    worker     one pod until its object is gone, step by step
    life       each container of it: image, start, probes, hooks, back-off, end
    pod        what they share: the pod, its volumes and records, its status
    process    a container as processes under bubblewrap, with its bounds
    network    pod IPs and ports; `balancer` is the lab's kube-proxy, a process of its own
    kubelet    what the cluster sees: Node object, Lease, logs, exec, metrics

A container outlives the agent: kill -9 of it ends no pod, and the next agent finds all of them again. Refuses
to know what a model server is: GPUs are devices by name (`localcluster.gpus`), images come from
`localcluster.images`.
"""
