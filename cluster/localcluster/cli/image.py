"""localcluster image build, push, pull, ls, inspect, tag, rm, load, login, logout: images without Docker."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from localcluster.cli.console import columns, err, out, report
from localcluster.embedded.files import REGISTRY_HOST, REGISTRY_USER
from localcluster.errors import BadInput
from localcluster.images import archive, blocking, builders, sweep
from localcluster.images.build import Event, Request, Step, build
from localcluster.images.credentials import Credentials, Login, save
from localcluster.images.failure import Unauthorized
from localcluster.images.layers import size
from localcluster.images.pull import pull as pull_image
from localcluster.images.push import check_login
from localcluster.images.push import push as push_image
from localcluster.images.reference import parse
from localcluster.images.registry import Mirror
from localcluster.images.store import Image, Store
from localcluster.images.transfer import Progress
from localcluster.layout import Layout, default_name, home
from localcluster.node.config import AgentConfig
from localcluster.spawn import Proc
from localcluster.toolchain.wheels import wheels

app = typer.Typer(
    name="image",
    help=(
        "Build, push and pull container images; no Docker needed.\n\n"
        "The lab's registry is called registry.lab:5000 on every lab."
    ),
    rich_markup_mode=None,
    no_args_is_help=True,
)

Ref = Annotated[str, typer.Argument(metavar="IMAGE", help="Such as registry.lab:5000/llm-inference:v1.")]
Lab = Annotated[
    str, typer.Option("--lab", help="Lab whose registry and logins are used.", default_factory=default_name)
]
Settings = Annotated[
    list[str],
    typer.Option(
        "--build-arg",
        help="NAME=VALUE for an ARG of the Dockerfile.",
        default_factory=list,
        show_default=False,
    ),
]
BUILDERS = ("auto", "labkit", "docker", "podman", "buildah")


@app.command("build")
def build_(
    context: Annotated[Path, typer.Argument(help="Folder with the Dockerfile and the files that it copies.")],
    tag: Annotated[str, typer.Option("-t", "--tag", help="The image's name.")],
    settings: Settings,
    file: Annotated[Path | None, typer.Option("-f", "--file", help="Another Dockerfile.")] = None,
    builder: Annotated[str, typer.Option(help=f"One of {', '.join(BUILDERS)}.")] = "auto",
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Don't use cached steps.")] = False,
    cached_wheels: Annotated[
        bool, typer.Option("--wheels/--no-wheels", help="Use the cached wheels of requirements.txt.")
    ] = True,
) -> None:
    """Build an image from a Dockerfile."""
    if builder not in BUILDERS:
        raise BadInput(f"{builder!r} is not a builder.", fix=f"Use one of {', '.join(BUILDERS)}.")
    request = Request(context, parse(tag), file, _pairs(settings), use_cache=not no_cache)
    began = time.monotonic()
    if builder in {"docker", "podman", "buildah"}:
        image = builders.build_with(builder, request, Store())
    else:
        _name_others(builder)
        ready = replace(request, wheels=_wheels(context)) if cached_wheels else request
        image = build(ready, Store(), _tell_build)
    out.print(f"{image.ref}  {image.digest}  {size(image.size_bytes)}  {time.monotonic() - began:.1f} s")


@app.command()
def push(ref: Ref, lab: Lab) -> None:
    """Push an image to the registry in its name; layers that the registry has are not sent."""
    wanted = parse(ref)
    job = push_image(
        wanted, store=Store(), mirrors=_mirrors(lab), credentials=_credentials(lab), on_progress=_tell
    )
    with _login_named(wanted.host, lab):
        sent = blocking.run(job)
    out.print(f"{wanted}  {sent.digest}  {sent.layers_sent} layers sent, {size(sent.bytes_sent)}")


@app.command()
def pull(ref: Ref, lab: Lab) -> None:
    """Pull an image from its registry and unpack it."""
    store = Store()
    job = pull_image(
        ref, store=store, mirrors=_mirrors(lab), credentials=_credentials(lab), on_progress=_tell
    )
    with _login_named(parse(ref).host, lab):
        image = blocking.run(job)
    store.tag(image.ref, image.digest)
    out.print(f"{image.ref}  {image.digest}  {size(image.size_bytes)}")


@app.command()
def ls() -> None:
    """List the images on this machine that have a name."""
    store = Store()
    rows = [("IMAGE", "DIGEST", "SIZE", "BASE")]
    for name in sorted(name for name in store.names() if "@" not in name):
        image = store.find(parse(name))
        if image:
            rows.append((name, image.digest[:19], size(image.size_bytes), image.base or "complete"))
    columns(rows)


@app.command()
def inspect(
    ref: Ref, as_json: Annotated[bool, typer.Option("--json", help="All details, as JSON.")] = False
) -> None:
    """Show what an image is made of: each layer with the instruction that made it, and what it runs."""
    image = Store().get(parse(ref))
    if as_json:
        out.print_json(json.dumps(_document(image)))
        return
    _show_layers(image)
    for key, value in image.document.get("config", {}).items():
        out.print(f"{key}: {json.dumps(value)}", markup=False)


@app.command()
def tag(ref: Ref, name: Annotated[str, typer.Argument(help="The new name.")]) -> None:
    """Give an image another name. If the name exists already, it moves to this image."""
    store, wanted = Store(), parse(name)
    image = store.get(parse(ref))
    store.tag(wanted, image.digest)
    out.print(f"{wanted}  {image.digest}")


@app.command()
def rm(ref: Ref) -> None:
    """Remove a name, and delete what no other image needs."""
    store, wanted = Store(), parse(ref)
    store.get(wanted)
    store.forget(str(wanted))
    out.print(f"{wanted}: name removed")
    freed = sweep.blobs(store)
    out.print(f"{freed.count} blobs deleted, {size(freed.bytes)}")


@app.command()
def prune() -> None:
    """Delete what has no name: blobs, images of nodes, unpacked file systems. No lab may be running."""
    store = Store()
    _refuse_running_labs()
    count = sweep.nodes(store)
    freed, roots = sweep.blobs(store), sweep.roots(store)
    out.print(f"{count} images of nodes, {freed.count} blobs ({size(freed.bytes)}), {roots} roots deleted")


@app.command()
def load(
    file: Annotated[Path, typer.Argument(help="Archive written by `docker save` or `podman save`.")],
    tag: Annotated[str, typer.Option("-t", "--tag", help="Another name for the image.")] = "",
) -> None:
    """Load complete images from an archive."""
    for image in archive.load(file, Store(), ref=parse(tag) if tag else None):
        out.print(f"{image.ref}  {image.digest}  {size(image.size_bytes)}")


@app.command()
def login(
    lab: Lab,
    host: Annotated[str, typer.Argument(help="The registry.")] = "registry.lab:5000",
    username: Annotated[
        str, typer.Option("-u", "--username", help="Default: the lab's own login for the lab's registry.")
    ] = "",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Log in to a registry: check the login, then store it (mode 0600).

    For the lab's own registry, `image login` is enough: the lab knows the name and password.
    """
    own = Layout.of(lab).dir / "registry" / "password"
    is_own = host == REGISTRY_HOST
    if is_own and not username and not password_stdin and own.exists():
        one = Login(REGISTRY_USER, own.read_text())
    else:
        name = username or (REGISTRY_USER if is_own else _ask_name(host, password_stdin=password_stdin))
        typed = sys.stdin.read().strip() if password_stdin else getpass.getpass(f"Password of {name}: ")
        one = Login(name, typed)
    blocking.run(check_login(host, one, mirrors=_mirrors(lab)))
    file = _login_file(lab, host)
    save(file, host, one)
    out.print(f"Login succeeded: {one.username} at {host}, kept in {file}")


@app.command()
def logout(
    lab: Lab, host: Annotated[str, typer.Argument(help="The registry.")] = "registry.lab:5000"
) -> None:
    """Remove a stored login."""
    save(_login_file(lab, host), host, None)
    out.print(f"Removed the login at {host}")


def _ask_name(host: str, *, password_stdin: bool) -> str:
    if password_stdin:
        raise BadInput(f"No user name was given for {host}.", fix="Write -u NAME before --password-stdin.")
    return str(typer.prompt(f"Name at {host}"))


@contextmanager
def _login_named(host: str, lab: str) -> Iterator[None]:
    """If a login is missing, add the command that creates one to the error."""
    try:
        yield
    except Unauthorized as error:
        where = "" if host == REGISTRY_HOST else f" {host}"
        which = "" if lab == default_name() else f" --lab {lab}"
        error.fix = f"Log in, then try again: localcluster image login{where}{which}"
        raise


def _name_others(builder: str) -> None:
    others = [f"{found.name} {found.version}" for found in builders.detect() if found.version]
    if builder == "auto" and others:
        report(f"building with labkit; also available: {', '.join(others)} (--builder)")


def _wheels(context: Path) -> Path | None:
    requirements = context / "requirements.txt"
    return wheels(requirements) if requirements.is_file() else None


def _tell_build(event: Event) -> None:
    if not isinstance(event, Step):
        report(f"      {event}")
        return
    facts = [event.status] if event.status else []
    if event.layer:
        facts += [size(event.layer.descriptor.size), event.layer.descriptor.digest[:19]]
    if event.status == "built":
        facts.append(f"{event.seconds:.1f} s")
    err.print(f"[{event.number}/{event.total}] {event.instruction}", markup=False)
    if facts:
        err.print(
            f"      {'  '.join(facts)}", style="green" if event.status == "CACHED" else "", markup=False
        )


def _tell(progress: Progress) -> None:
    """One line for each blob that is done."""
    if progress.done == progress.total and not progress.status.endswith("ing"):
        report(f"{progress.digest[7:19]}: {progress.status}  {size(progress.total)}")


def _show_layers(image: Image) -> None:
    layers = iter(image.manifest.layers)
    rows = [("LAYER", "SIZE", "INSTRUCTION")]
    for line in image.document.get("history", ()):
        layer = None if line.get("empty_layer") else next(layers, None)
        digest, bytes_ = (layer.digest[:19], size(layer.size)) if layer else ("-", "-")
        rows.append((digest, bytes_, str(line.get("created_by", ""))[:80]))
    rows += [(layer.digest[:19], size(layer.size), "") for layer in layers]  # one without a history
    out.print(f"{image.ref}\n{image.digest}\nFROM {image.base or 'nothing: a complete image'}", markup=False)
    columns(rows)


def _refuse_running_labs() -> None:
    for record in home().glob("*/run/node-agent.json"):
        agent = Proc.load(record)
        if agent and agent.alive():
            name = record.parent.parent.name
            raise BadInput(
                f"The lab `{name}` runs from these images.",
                fix=f"Run localcluster down --name {name}, then prune.",
            )


def _document(image: Image) -> dict[str, Any]:
    layers = [layer.json() for layer in image.manifest.layers]
    told = {"ref": str(image.ref), "digest": image.digest, "size": image.size_bytes, "base": image.base}
    return {**told, "layers": layers, "config": image.document}


def _mirrors(lab: str) -> Sequence[Mirror]:
    file = Layout.of(lab).dir / "node.json"
    if not file.exists():
        return ()
    return [Mirror(one.host, one.url, one.ca) for one in AgentConfig.load(file).registries]


def _login_file(lab: str, host: str) -> Path:
    """A lab's own registry has its own password; all other logins are the user's."""
    if any(mirror.host == host for mirror in _mirrors(lab)):
        return Layout.of(lab).dir / "docker" / "config.json"
    return home() / ".docker" / "config.json"


def _credentials(lab: str) -> Credentials:
    own = Credentials.load(Layout.of(lab).dir / "docker" / "config.json")
    return own.plus(Credentials.load(home() / ".docker" / "config.json"))


def _pairs(settings: Sequence[str]) -> dict[str, str]:
    for setting in settings:
        if "=" not in setting:
            raise BadInput(f"`{setting}` is not NAME=VALUE.", fix=f"Write --build-arg {setting}=…")
    return {key: value for key, _, value in (setting.partition("=") for setting in settings)}
