"""An OpenAI-compatible model server whose GPU and timing are simulated, and which says so.

Everything around the GPU is real: HTTP, streaming, queueing, continuous batching, KV-cache blocks, metrics,
shutdown. It makes up its text and refuses what it can't make believable (log probabilities, tools, n > 1).
"""

__version__ = "1.0.0"
