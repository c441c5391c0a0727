"""Where a cluster comes from: one narrow seam (`base`), chosen by name (`catalog`).

Imports nothing here: the supervisor and the node agent start from modules below and must stay small.
"""
