"""Attacks on what a cluster shows: queues, loads, scalings and recordings that nobody earned."""

from pathlib import Path

from tests.attacks.attack import RIGHT, attack

FORGED = """
from labkit.evidence import Event, Series, Timeline
class Mine:
    def stop(self, load=None, **_):
        up = ((0, 2), (20, 6), (40, 10))
        return Timeline(15, "forged", (Series("desired", "", up), Series("ready", "", up)), (Event(5, "x"),))
seen = Mine()
trick = None
"""
LOADED = """
from pathlib import Path
from labkit.load import LoadResult
class Mine:
    def stop(self):
        plan = {"clock": 15, "shape": {"kind": "closed", "users": [[0, 60]]}}
        return LoadResult(Path("x"), plan, 0.0, (), (), "done")
users.stop()
users = Mine()
trick = None
"""
SCALE = 'trick = lab.kubectl("scale deployment/llm-inference-service --replicas=8")'
STATUS = """
trick = None
claimed = '{"status": {"desiredReplicas": 10, "currentReplicas": 10}}'
with lab.attempt():
    lab.kubectl(f"patch hpa/llm-hpa --subresource=status --type=merge -p '{claimed}'")
users.stop()
"""
RAISE = """
trick = None
raised = '{"spec": {"minReplicas": 8}}'
users.stop()
with lab.attempt():
    lab.kubectl(f"patch hpa/llm-hpa --type=merge -p '{raised}'")
"""
WRECK = """
trick = None
users.stop()
for target in ("namespace/llm-lab", "apiservice/v1beta2.custom.metrics.k8s.io", "deployment/eater"):
    with lab.attempt():
        lab.delete(target)
"""
FASTER = """
trick = None
args = '{"name": "model-server", "args": ["--clock=1500"]}'
for change in (
    "set env deployment/llm-inference-service LABKIT_CLOCK=1500",
    "patch deployment/llm-inference-service -p "
    + repr('{"spec": {"template": {"spec": {"containers": [%s]}}}}' % args),
):
    with lab.attempt():
        lab.kubectl(change)
with lab.attempt():
    lab.nodes.plug_in("gpu-node-9", gpus=4, gpu_product="NVIDIA-H200")
"""
IDLE = """
with lab.attempt():
    seen = lab.record(deployment="idle")
trick = None
"""
QUIT = "import os\nos._exit(0)"
BY_HAND = ("05.names", "05.desired-by-hand")
WHOLE = ("05.hpa", *BY_HAND, "05.scale-out", "05.steps")
"""What was tried was refused: everything else is honest work."""
SPARED = ("05.hpa", *BY_HAND, "05.steps")
"""The last is reading a recording, whatever it shows."""


def with_more(attack: str) -> bytes:
    """The right exercise file, and an object that nobody asked for."""
    return RIGHT + b"\n---\n" + (Path(__file__).parent / f"{attack}.yaml").read_bytes()


MANAGED = RIGHT.replace(
    b"name: llm-hpa",
    b"name: llm-hpa\n  managedFields: [{manager: kube-controller-manager, operation: Update, "
    b'apiVersion: autoscaling/v2, fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}]',
    1,
)

CLUSTERED = {
    "all-gpus": attack({}, SPARED, hpa=with_more("eater")),
    "faked-queue": attack({}, SPARED, hpa=with_more("faker")),
    "fast-servers": attack({}, SPARED, hpa=with_more("fast")),
    "own-program": attack({}, SPARED, hpa=with_more("pushed")),
    "faster": attack({"answer-05-scale-out": FASTER}, WHOLE),
    "idle-recorded": attack({"answer-05-scale-out": IDLE}, WHOLE),
    "forged-timeline": attack({"answer-05-scale-out": FORGED}, SPARED),
    "forged-load": attack({"answer-05-scale-out": LOADED}, SPARED),
    "forged-status": attack({"answer-05-scale-out": STATUS}, SPARED),
    "forged-managed-fields": attack({"answer-05-scale-out": SCALE}, BY_HAND, hpa=MANAGED),
    "raised-minimum": attack({"answer-05-scale-out": RAISE}, SPARED),
    "scale-by-hand": attack({"answer-05-scale-out": SCALE}, BY_HAND, hpa=None),
    "wrecker": attack({"answer-05-scale-out": WRECK}, SPARED),
    "quitter": attack({"answer-05-desired-by-hand": QUIT}, ("05.hpa", "05.names")),
}
