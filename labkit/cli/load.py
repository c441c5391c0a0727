"""labkit load closed, open, report, traces, figures: load tests on a model server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.text import Text

from labkit.errors import BadInput
from labkit.load import Arrivals, Closed, Load, LoadResult, Open, Workload, arrivals, start, traces
from labkit.load.figures import Figures, recorded
from localcluster.cli.console import err, out

app = typer.Typer(
    name="load",
    help=(
        "Put load on a model server and measure what its users feel.\n\n"
        "closed: N users; each waits for an answer before the next request. It slows down with the "
        "server, so it finds the throughput, but hides how bad an overload is.\n\n"
        "open: requests arrive whether or not earlier ones were answered, as from thousands of "
        "independent users. It shows overload.\n\n"
        "All times are lab seconds (real seconds times --clock)."
    ),
    no_args_is_help=True,
)

Url = Annotated[str, typer.Argument(help="The server, for example http://127.0.0.1:8000.")]
Seconds = Annotated[float, typer.Option(min=1, help="How long, in lab seconds.")]
Clock = Annotated[
    float,
    typer.Option(min=0.01, envvar="LABKIT_CLOCK", help="Lab seconds per real second: use the lab's value."),
]
Seed = Annotated[int, typer.Option(help="Same seed, same load.")]
Into = Annotated[Path, typer.Option("--out", help="Folder for the record of every request.")]
TokensIn = Annotated[int, typer.Option(min=1, help="Prompt tokens per request.")]
TokensOut = Annotated[int, typer.Option(min=1, help="Tokens to generate per request.")]
Ca = Annotated[Path | None, typer.Option(help="CA certificate of the server (PEM).")]
Keepalive = Annotated[
    bool, typer.Option("--keepalive", help="Users keep their connections, so they never reach a new pod.")
]
Remote = Annotated[
    bool, typer.Option("--allow-remote", help="Allow a server on another machine: only your own.")
]

_OUT = Path("out/load")


@app.command()
def closed(
    url: Url,
    users: Annotated[
        str, typer.Option(help="Number of users: 40, or steps TIME:USERS, such as 0:10,120:40.")
    ] = "10",
    seconds: Seconds = 300,
    think: Annotated[float, typer.Option(min=0, help="Mean pause between an answer and a request.")] = 0,
    tokens_in: TokensIn = 128,
    tokens_out: TokensOut = 200,
    clock: Clock = 1,
    seed: Seed = 0,
    ca: Ca = None,
    keepalive: Keepalive = False,
    allow_remote: Remote = False,
    into: Into = _OUT,
) -> None:
    """N users who wait for each answer: labkit load closed URL --users 40 --seconds 300."""
    count = int(users) if users.isdigit() else tuple((t, int(n)) for t, n in _pairs(users))
    _follow(
        Load(
            url=url,
            shape=Closed(users=count, seconds=seconds, think=think),
            workload=Workload(input=tokens_in, output=tokens_out),
            clock=clock,
            seed=seed,
            ca=ca,
            keepalive=keepalive,
            allow_remote=allow_remote,
        ),
        into,
    )


@app.command(name="open")
def open_(
    url: Url,
    rate: Annotated[float | None, typer.Option(help="Poisson arrivals, requests per lab second.")] = None,
    ramp: Annotated[str | None, typer.Option(help="0.2:3 climbs from 0.2 to 3 requests/s.")] = None,
    burst: Annotated[str | None, typer.Option(help="1:6:60:180 is 1/s, but 6/s from 60 to 180 s.")] = None,
    steps: Annotated[str | None, typer.Option(help="0:1,60:4 is 1/s, then 4/s from 60 s on.")] = None,
    trace: Annotated[
        str | None, typer.Option(help="conv, code, or an AzureLLMInferenceTrace_*.csv of 2023 or 2024.")
    ] = None,
    thin: Annotated[float | None, typer.Option(help="Thin a trace to this many requests/s.")] = None,
    seconds: Seconds = 300,
    tokens_in: TokensIn = 128,
    tokens_out: TokensOut = 200,
    clock: Clock = 1,
    seed: Seed = 0,
    ca: Ca = None,
    allow_remote: Remote = False,
    into: Into = _OUT,
) -> None:
    """Requests that don't wait for the server: labkit load open URL --burst 1:6:60:180.

    Give exactly one of --rate, --ramp, --burst, --steps and --trace (a trace brings its own token counts).
    """
    given = {"rate": rate, "ramp": ramp, "burst": burst, "steps": steps, "trace": trace}
    chosen = [(name, str(value)) for name, value in given.items() if value is not None]
    if len(chosen) != 1:
        raise BadInput(
            f"An open load has one shape, not {len(chosen)}.",
            fix="Give exactly one of --rate, --ramp, --burst, --steps, --trace.",
        )
    coming = _trace(chosen[0][1], seconds, thin, seed) if trace else _shape(*chosen[0], seconds, seed)
    err.print(repr(coming), style="dim", markup=False)
    _follow(
        Load(
            url=url,
            shape=Open(coming),
            workload=Workload(input=tokens_in, output=tokens_out),
            clock=clock,
            seed=seed,
            ca=ca,
            allow_remote=allow_remote,
        ),
        into,
    )


@app.command()
def report(
    record: Annotated[Path, typer.Argument(help="requests.jsonl of a run, or its folder.")],
    ttft: Annotated[float | None, typer.Option(help="Promise: time to first token, lab seconds.")] = None,
    itl: Annotated[float | None, typer.Option(help="Promise: time between tokens, lab seconds.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The summary as JSON.")] = False,
) -> None:
    """Show a recorded run again, and the share of requests that kept a promise."""
    result = LoadResult.load(record / "requests.jsonl" if record.is_dir() else record)
    out.print(result.json() if json else repr(result), markup=False)
    if ttft is not None or itl is not None:
        (err if json else out).print(repr(result.slo(ttft=ttft, itl=itl)), markup=False)


@app.command(name="traces")
def traces_() -> None:
    """List the recorded traces of which --trace can generate synthetic twins, with their statistics."""
    for name, known in recorded().items():
        middle = len(known.tokens_in) // 2
        out.print(
            f"{name}: {known.requests:,} requests in {known.seconds:g} s, {known.rate:.2f}/s, gap CV "
            f"{known.gap_cv:.1f}, {known.idle:.0%} of seconds idle; median tokens "
            f"{known.tokens_in[middle]:g} in, {known.tokens_out[middle]:g} out",
            markup=False,
        )


@app.command()
def figures(files: Annotated[list[Path], typer.Argument(help="AzureLLMInferenceTrace_*.csv")]) -> None:
    """Compute the statistics that twins are made from, as TOML."""
    for file in files:
        trace = traces.azure(file)
        out.print(Figures.of(trace.times, trace.sizes, seconds=trace.seconds).toml(trace.name), markup=False)


def _follow(load: Load, into: Path) -> None:
    running = start(load, into)
    try:
        with Live(console=err, transient=True, auto_refresh=False) as live:
            for progress in running:
                live.update(Text(str(progress)), refresh=True)
    except KeyboardInterrupt:
        err.print("stopped; this is what was measured so far", style="yellow")
    finally:
        result = running.stop()
    out.print(repr(result), markup=False)
    err.print(f"every request: {result.path}", style="dim", markup=False)


def _shape(kind: str, text: str, seconds: float, seed: int) -> Arrivals:
    if kind == "rate":
        return arrivals.poisson(rate=float(text), seconds=seconds, seed=seed)
    if kind == "steps":
        return arrivals.steps(_pairs(text), seconds=seconds, seed=seed)
    if kind == "ramp":
        low, high = _numbers(text, count=2)
        return arrivals.ramp(start=low, end=high, seconds=seconds, seed=seed)
    base, peak, begin, end = _numbers(text, count=4)
    return arrivals.burst(base=base, peak=peak, between=(begin, end), seconds=seconds, seed=seed)


def _trace(name: str, seconds: float, thin: float | None, seed: int) -> Arrivals:
    if name in recorded():
        trace = traces.synthetic(name, seconds=seconds, seed=seed)
    else:
        trace = traces.azure(Path(name), verify=False, seconds=seconds)
    return (trace.thinned(rate=thin, seed=seed) if thin else trace).arrivals()


def _pairs(text: str) -> list[tuple[float, float]]:
    pairs = [_numbers(part, count=2) for part in text.split(",")]
    return [(first, second) for first, second in pairs]


def _numbers(text: str, *, count: int) -> list[float]:
    try:
        found = [float(part) for part in text.split(":")]
    except ValueError:
        found = []
    if len(found) != count:
        raise BadInput(
            f"{text!r} is not {count} numbers separated by colons.",
            fix="--ramp 0.2:3, --burst 1:6:60:180, --steps 0:1,60:4, --users 0:10,120:40",
        )
    return found
