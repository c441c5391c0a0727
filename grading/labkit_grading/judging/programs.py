"""What a submission's pods may run: the course's own programs, with the settings that are a student's.

How fast time passes, which GPU and model a server plays, its image and its program decide what a check
measures, so they are the course's: what its files for a notebook do not contain is not allowed there.
`sites/programs.yaml` says the same to the API server, which refuses such pods; this judges those that ran
nevertheless. Pure. Refuses nothing itself: it says what is not the course's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcluster.api.objects import dig

FREE = re.compile(
    r"--(max-num-seqs|max-num-batched-tokens|max-model-len|gpu-memory-utilization|block-size|seed|"
    r"enforce-eager|served-model-name|host|port)(=[\w./-]*)?|[0-9.]+"
)
"""Flags of vLLM that change no figure of the simulation's own, and their values as separate words."""
FREE_VARIABLES = re.compile(
    r"MAX_NUM_SEQS|MAX_NUM_BATCHED_TOKENS|MAX_MODEL_LEN|GPU_MEMORY_UTILIZATION|BLOCK_SIZE|SEED|ENFORCE_EAGER|"
    r"SERVED_MODEL_NAME|MODEL_VERSION|VLLM_\w+|HF_\w+|TZ|LANG"
)
OF_THE_POD = frozenset({"POD_NAME", "POD_NAMESPACE", "POD_UID", "NODE_NAME"})
"""Variables that the course's servers take from the downward API."""
ASLEEP = re.compile(r"(/bin/)?sleep (infinity|[0-9]+[smhd]?)|(/bin/)?(ba)?sh -c (exec )?sleep [0-9]+[smhd]?")
"""A program that measures nothing, and answers nobody."""
PLACES = re.compile(
    r"/(cache|data|dev/shm|models?|root/\.cache|tmp|var/run/secrets/kubernetes\.io/serviceaccount)(/[\w.-]+)*"
)
"""Where a volume hides nothing of an image's program; the last one is the API server's own."""
BUILT = re.compile(r"registry\.lab:5000/(me/)?llm-inference(:\w[\w.-]{0,40})?(@sha256:[0-9a-f]{64})?")
"""Images of the lab's registry. The grader builds them from the course's folders: `verbs/contexts.py`."""
IMAGE = re.compile(r"(?:registry\.lab:5000|my-registry)/(?:me/)?llm-inference(?::\w[\w.-]*)?")
BUILDS, THOUSANDS = "images.build", "nodes.kwok"
TEXTS = re.compile(r"manifests/([\w.-]+)")
SOURCES = ("base", "overlays/embedded", "overlays/existing", "overlays/kind")
PRODUCT = re.compile(r"NVIDIA-[\w.-]+")
DEFAULT_PRODUCT = "NVIDIA-L4"
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
HANDLERS = ("httpGet", "tcpSocket")
SEPARATOR = "\n---\n"
Spec = Mapping[str, Any]


@dataclass(frozen=True)
class Programs:
    """What the course's own files for one notebook run; everything else is not a student's to choose."""

    images: frozenset[str] = frozenset()
    flags: frozenset[str] = frozenset()
    """Arguments word by word: `--model=…`, `--weights-from=page_cache`."""
    commands: frozenset[str] = frozenset()
    """Programs in place of an image's own, and those of probes and hooks; words are joined by spaces."""
    names: frozenset[str] = frozenset()
    """What makes servers: `Deployment/llm-inference-service`."""
    products: frozenset[str] = frozenset({DEFAULT_PRODUCT})
    """GPUs."""
    builds: bool = False
    """Whether the notebook builds images, under names of its own."""
    thousands: bool = False
    """Whether it makes a thousand pods, on simulated nodes."""

    @classmethod
    def of(cls, released: Any, edition: Path) -> Programs:
        """Read them from a released notebook, and from the course's files in its folders."""
        text = "\n".join(cell.source for cell in released.cells if cell.cell_type == "code")
        folders = {*SOURCES, *TEXTS.findall(text)} - {"overlays"}
        files = _files([edition / "manifests" / one for one in sorted(folders)])
        found = list(_everything(files))
        return cls(
            frozenset(IMAGE.findall(text)) | {one for key, one in found if key == "image"},
            frozenset(one for _, one in found if one.startswith("--")),
            frozenset(one for key, one in found if key == "command"),
            frozenset(one for key, one in found if key == "server"),
            frozenset({DEFAULT_PRODUCT, *PRODUCT.findall(text)}),
            builds=BUILDS in text,
            thousands=THOUSANDS in text,
        )

    def data(self) -> dict[str, str]:
        """As a ConfigMap holds it, for the policy in `sites/programs.yaml`."""
        images = {*self.images, *({"built"} if self.builds else ())}
        held = {"images": images, "flags": self.flags, "commands": self.commands}
        return {name: SEPARATOR.join(sorted(one)) for name, one in held.items()}


def foreign(spec: Spec, programs: Programs) -> tuple[str, ...]:
    """What in a pod's spec is not the course's, one sentence each; empty if everything is."""
    found = [f"it has {name}" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if spec.get("shareProcessNamespace"):
        found.append("its containers share their processes")
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for one in spec.get(kind) or ():
            found += [f"container {one.get('name')} {what}" for what in _of_container(one, programs)]
    return tuple(found)


def _of_container(one: Spec, programs: Programs) -> Iterator[str]:
    image = str(one.get("image"))
    if image not in programs.images and not (programs.builds and BUILT.fullmatch(image)):
        yield f"has the image {image:.100}"
    if command := one.get("command"):
        whole = " ".join([*command, *(one.get("args") or ())])
        if whole not in programs.commands and not ASLEEP.fullmatch(whole):
            yield f"has a program of its own: {whole:.100}"
    else:
        for word in one.get("args") or ():
            if word not in programs.flags and not FREE.fullmatch(word):
                yield f"has the argument {word:.100}"
    yield from _of_variables(one, programs)
    yield from _of_surroundings(one)
    for program in _hooks(one):
        if program not in programs.commands and not ASLEEP.fullmatch(program):
            yield f"has a probe or hook with a program of its own: {program:.100}"


def _of_variables(one: Spec, programs: Programs) -> Iterator[str]:
    for variable in one.get("env") or ():
        name, value = str(variable.get("name")), variable.get("value", "")
        if name in OF_THE_POD:
            own = dig(variable, "valueFrom.fieldRef") is None
        elif name == "MODEL":
            own = f"--model={value}" not in programs.flags
        else:
            own = not FREE_VARIABLES.fullmatch(name)
        if own:
            yield f"has the variable {name:.100}"
    if one.get("envFrom"):
        yield "has variables from elsewhere (envFrom)"


def _of_surroundings(one: Spec) -> Iterator[str]:
    if one.get("workingDir"):
        yield f"has the working directory {one['workingDir']!s:.100}"
    for mount in one.get("volumeMounts") or ():
        path = str(mount.get("mountPath"))
        if not PLACES.fullmatch(path) or ".." in path:
            yield f"has a volume at {path:.100}"
    for place in (*PROBES, "lifecycle.postStart", "lifecycle.preStop"):
        for kind in HANDLERS:
            if host := dig(one, f"{place}.{kind}.host"):
                yield f"has a probe or hook that asks another host, {host!s:.100}"


def _hooks(one: Spec) -> Iterator[str]:
    for place in (*PROBES, "lifecycle.postStart", "lifecycle.preStop"):
        if command := dig(one, f"{place}.exec.command"):
            yield " ".join(map(str, command))


def _files(folders: Sequence[Path]) -> list[Path]:
    """All manifests in folders, and in those that their kustomizations build on."""
    seen: dict[Path, list[Path]] = {}
    left = [folder.resolve() for folder in folders]
    while left:
        folder = left.pop()
        if folder in seen or not folder.is_dir():
            continue
        seen[folder] = sorted(folder.rglob("*.yaml"))
        for path in (one for one in seen[folder] if one.name == "kustomization.yaml"):
            built_on = (yaml.safe_load(path.read_text()) or {}).get("resources") or ()
            left += [(path.parent / one).resolve() for one in built_on]
    return list(dict.fromkeys(path for files in seen.values() for path in files))


def _everything(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Every text in manifests with its key; a command as one text, what makes servers as `server`."""
    for path in files:
        for document in yaml.safe_load_all(path.read_text()):
            yield from _texts("", document)


def spec_of(one: Mapping[str, Any]) -> Spec:
    """The spec of the pods that an object makes, or is; empty for one that makes none."""
    found = dig(one, "spec.template.spec") or (dig(one, "spec") if one.get("kind") == "Pod" else None)
    return found if isinstance(found, Mapping) else {}


def _serves(one: Mapping[str, Any]) -> bool:
    """Whether its pods run their image's own program: a model server."""
    return any(not container.get("command") for container in spec_of(one).get("containers") or ())


def _texts(key: str, node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        if (command := node.get("command")) and isinstance(command, list):
            yield "command", " ".join(map(str, [*command, *(node.get("args") or ())]))
        if node.get("kind") and _serves(node):
            yield "server", f"{node['kind']}/{dig(node, 'metadata.name')}"
        if node.get("newName"):  # an image, in a kustomization
            yield "image", f"{node['newName']}:{node.get('newTag', 'latest')}"
        for inner, value in node.items():
            yield from _texts(str(inner) if inner not in {"name", "command"} else "", value)
    elif isinstance(node, list):
        for value in node:
            yield from _texts("", value)
    elif isinstance(node, str):
        yield key, node
        if key == "patch" and "\n" in node:  # a patch that stands in a kustomization
            yield from _texts("", yaml.safe_load(node))
