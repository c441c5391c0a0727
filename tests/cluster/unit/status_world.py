"""Random states of a pod's containers, with every kind of state that the agent knows."""

from __future__ import annotations

from hypothesis import strategies as st

from localcluster.api import Json
from localcluster.node.pod.status import ContainerState, PodView, Running, Terminated, Waiting

TIMES = st.floats(min_value=1.7e9, max_value=1.9e9)
WORDS = st.text(max_size=20)
CODES = st.sampled_from([0, 1, 42, 128, 137, 255])
REASONS = ["ContainerCreating", "PodInitializing", "CrashLoopBackOff", "ErrImagePull", "CreateContainerError"]
ENDED = st.builds(
    Terminated, CODES, st.sampled_from(["Completed", "Error", "OOMKilled"]), TIMES, TIMES, message=WORDS
)
STATES = st.one_of(st.builds(Waiting, st.sampled_from(REASONS), WORDS), st.builds(Running, TIMES), ENDED)
CONDITIONS = st.lists(
    st.builds(
        lambda kind, value: {"type": kind, "status": value},
        st.sampled_from(["Ready", "PodScheduled", "example.com/gate", "DisruptionTarget"]),
        st.sampled_from(["True", "False", "Unknown"]),
    ),
    unique_by=lambda c: str(c["type"]),
)


def states(names: list[str]) -> st.SearchStrategy[tuple[ContainerState, ...]]:
    """A state for each container of these names."""
    return st.tuples(
        *(
            st.builds(
                ContainerState,
                st.just(name),
                st.just("image"),
                STATES,
                last=st.none() | ENDED,
                image_id=WORDS,
                container_id=st.sampled_from(["", "labkit://0123"]),
                restart_count=st.integers(0, 2**31 - 1),
                started=st.booleans(),
                ready=st.booleans(),
            )
            for name in names
        )
    )


def views(spec: Json) -> st.SearchStrategy[PodView]:
    """What a node may know of a pod with this spec."""
    names = {kind: [c["name"] for c in spec.get(kind, ())] for kind in ("initContainers", "containers")}
    return st.builds(
        PodView,
        spec=st.just(spec),
        generation=st.integers(1, 5),
        old_conditions=CONDITIONS,
        init=states(names["initContainers"]),
        main=states(names["containers"]),
        sandbox=st.booleans(),
        host_ip=st.just("172.18.0.2"),
        pod_ip=st.sampled_from(["", "10.244.1.2"]),
        started_at=TIMES,
        now=TIMES,
        failed=st.sampled_from([(), ("Evicted", "too much")]),
        told_phase=st.sampled_from(["", "Pending", "Running"]),
        terminating=st.booleans(),
        alive=st.booleans(),
    )
