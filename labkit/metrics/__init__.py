"""PromQL, to rows and to series with numbers in them: `from labkit.metrics.client import Metrics`."""
