"""The doctor: looks at the path of the metric, and at what the course needs, and names what is broken.

`look` and `survey` talk to the cluster and return plain records; all else judges those records. Imports
nothing here, since providers use the half of it that needs no Prometheus.
"""
