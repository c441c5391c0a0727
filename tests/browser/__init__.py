"""The course in a real browser: JupyterLab as `make jupyter` starts it, used as a learner uses it."""
