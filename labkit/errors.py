"""The lab's errors, which are those of `localcluster.errors`, with commands as a learner types them."""

from localcluster.errors import (
    BadInput,
    ClusterError,
    ComponentError,
    ImageError,
    LabError,
    LoadError,
    NotOurs,
    ProviderError,
    Refused,
    ToolchainError,
    Unreachable,
    WaitTimeout,
    commands_of,
)

__all__ = [
    "BadInput",
    "ClusterError",
    "ComponentError",
    "ImageError",
    "LabError",
    "LoadError",
    "NotOurs",
    "ProviderError",
    "Refused",
    "ToolchainError",
    "Unreachable",
    "WaitTimeout",
    "typed",
]


def typed(text: str) -> str:
    """Rewrite commands in a text as a learner types them: those of localcluster are part of `labkit`."""
    return commands_of("labkit", text)
