"""The doctor: follows the metric from the pods to the HPA, and names what is broken.

`look` talks to the cluster and returns plain records; everything else judges those records.
"""
