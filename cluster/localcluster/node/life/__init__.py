"""The life of one container of a pod: image, start, probes, hooks, commands inside, back-off, end."""
