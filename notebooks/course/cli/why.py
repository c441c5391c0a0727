"""labkit why: why an HPA or a ScaledObject of any cluster did, or did not, scale."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labkit.errors import BadInput, ClusterError, Unreachable
from localcluster import polling
from localcluster.cli.console import err, out

if TYPE_CHECKING:
    from course.why.explain import Explanation
    from course.why.session import Session

app = typer.Typer()

HOME = Path("~/.kube/config")


@app.command()
def why(
    target: Annotated[
        str,
        typer.Argument(metavar="[hpa/NAME|scaledobject/NAME]", help="What to explain; NAME alone is an HPA."),
    ] = "",
    namespace: Annotated[
        str, typer.Option("--namespace", "-n", help="Its namespace; else the context's.")
    ] = "",
    context: Annotated[
        str | None, typer.Option(help="The kubeconfig's context; else the current one.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(envvar="KUBECONFIG", help="The kubeconfig; else ~/.kube/config.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on, and explain each new decision.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks of --watch.")] = 2.0,
    controller_flags: Annotated[
        str,
        typer.Option(help="The flags of kube-controller-manager, as on its command line, if you know them."),
    ] = "",
) -> None:
    """Explain why an HPA, or a ScaledObject of KEDA, did or did not scale: on any cluster, by reading only.

    It asks what the HPA's controller asks (the target's scale, its pods, the metrics APIs), recomputes the
    documented algorithm with the answers, and compares the result with the HPA's status and events. Each
    decision is one sentence. Below it stands what could not be known from outside: what the controller
    remembers from before, and its start-up flags, unless they can be read or are given.

    labkit why hpa/web -n shop              now, and what events still tell

    labkit why hpa/web -n shop --watch      each decision from now on, until Ctrl-C

    labkit why scaledobject/web --json | jq .why

    It takes read access to the HPA, its target's scale, pods, events and metrics. What is refused is named,
    and the rest is still explained. Nothing is changed, and no lab is needed. docs/why.md has an example.
    """
    # The Kubernetes client takes 0.4 s to import; the other commands must not pay for it.
    from course.why import access  # noqa: PLC0415
    from course.why.flags import parse  # noqa: PLC0415
    from course.why.reader import Reader  # noqa: PLC0415
    from course.why.session import Session  # noqa: PLC0415
    from labkit.kube.client import Kube  # noqa: PLC0415

    kube = Kube(_kubeconfig(kubeconfig), context=context)
    kube.namespace = namespace or kube.api.namespace
    given = parse(shlex.split(controller_flags), source="--controller-flags") if controller_flags else None
    try:
        session = Session.of(Reader(kube), target, given)
        if not as_json:
            _head(session)
        for explanation in _all(session, watch, every, past=not as_json):
            _tell(explanation, as_json=as_json, namespace=kube.namespace)
    except Unreachable as error:
        raise access.unreachable(error, kube.api.host) from error


def _kubeconfig(given: Path | None) -> Path:
    """As kubectl: the option, KUBECONFIG, or the file in the home."""
    found = given or HOME.expanduser()
    if not any(Path(each).is_file() for each in str(found).split(os.pathsep)):
        raise BadInput(
            f"There is no kubeconfig at {found}.",
            cause="The path is wrong, or no cluster was set up for this user.",
            fix="Name one with --kubeconfig or KUBECONFIG. For a lab of labkit's: "
            "labkit status says where its kubeconfig is.",
        )
    return found


def _all(session: Session, watch: bool, every: float, *, past: bool) -> Iterator[Explanation]:
    """The past and the present; with `watch`, what follows."""
    if past:
        yield from session.past()
    yield from session.look(every=not past)
    while watch:
        polling.pause(every)
        try:
            yield from session.look(every=not past)
        except ClusterError as error:  # a restart of the API server does not end a watch of hours
            err.print(f"{error.what} Looking again.", style="dim", markup=False)


def _head(session: Session) -> None:
    err.print(session.title, style="bold", markup=False)
    for note in session.notes():
        err.print(f"  {note}", style="dim", markup=False)


def _tell(found: Explanation, *, as_json: bool, namespace: str) -> None:
    from course.why.show import to_json  # noqa: PLC0415 - with the algorithm, which is slow to import

    if as_json:
        out.print(json.dumps(to_json(found, namespace=namespace)), markup=False, highlight=False)
        return
    at = datetime.fromtimestamp(found.at).astimezone()
    style = "bold" if found.scales else ""
    out.print(f"{at:%H:%M:%S}  {found.why}", style=style, markup=False)
    said = [("by", found.source), *(("unknown", each) for each in found.unknown), ("fix", found.fix)]
    for word, text in said:
        if text and not (word == "by" and text == "recomputed"):
            out.print(f"          {word + ':':<9}{text}", style="dim", markup=False)
