"""Simulated GPUs for a real kubelet: device plugin (v1beta1), metrics and node labels in one process.

`python -m localcluster.gpus.plugin` runs in a DaemonSet (data/kind/gpu-plugin.yaml). The kubelet decides
which container gets which device and remembers it; the plugin keeps nothing, so it can be killed at any time.
"""
