"""The node agent: pods of a real API server as processes on simulated GPU nodes."""
