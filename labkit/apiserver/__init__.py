"""The API server as the lab's own agents talk to it: asynchronous, raw paths, raw JSON.

For people there is `labkit.kube`.
"""
