"""Checks of notebook 12: whom the endpoint picker chooses, where the queue stands, and what that is good for.

Pure. Broken gateways are judged in `gateway_faults`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from course.gateway import answered_by_new, free_elsewhere, mean_ttft
from labkit.checks.check import Check, Figure, Finding, first_that_holds, nothing_yet, number
from labkit.checks.tried import Case, Tried
from labkit.evidence import Timeline
from labkit.evidence.quantity import plainly
from labkit.load.results import LoadResult
from labkit.load.summary import Quantiles
from localcluster.api import JsonLike
from localcluster.api.objects import dig

PLACES, MOMENT = 2, 1.0
"""How many requests a server works on at a time here; from how many lab seconds on a request has waited."""
CLOSE = 0.05
QUEUE, CACHE = "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"
GATEWAY = "gateway queue"
BLIND = 0.6
"""Share of the requests that a server gets which the picker can't see; a quarter would be its own."""
WORSE = 1.35
"""How much longer than without a valve users may wait on average behind a good one."""
AHEAD = 0.7
COLD = 30.0
"""Lab seconds: no cold start is shorter."""


def in_vain(load: LoadResult) -> float:
    """The share of requests that waited although another server had a place free."""
    met = free_elsewhere(load, places=PLACES)
    return sum(ttft > MOMENT and free > 0 for ttft, free in met) / len(met)


def ttft_p95(load: LoadResult) -> float:
    """The 95th percentile of the time to first token."""
    return Quantiles.of(row.ttft for row in load.rows if row.ok).p95


def ttft_p50(load: LoadResult) -> float:
    """The median time to first token."""
    return Quantiles.of(row.ttft for row in load.rows if row.ok).p50


def peak_held(run: Timeline) -> float:
    """The most requests that were held at the gateway at a time."""
    return run.one(GATEWAY).peak() or 0.0


def random(answer: Any, vain: float) -> Finding:
    """The share that waited in vain, from the rows of the load."""
    said = number(answer)
    passed = said is not None and abs(said - vain) <= 0.01
    hint = first_that_holds(
        (passed, ""),
        (said is None, "Answer with one number, the share of all requests: from 0 to 1."),
        (said is not None and said > 1, "A share is a number from 0 to 1: divide by the number of requests."),
        (
            True,
            "Both must hold for a request: it waited more than 1 lab second, and elsewhere a place was free.",
        ),
    )
    return Finding(passed=passed, observed=f"you say {plainly(answer)}", hint=hint)


def epp(answer: Any, random: LoadResult, picked: LoadResult) -> Finding:
    """How many times longer the p95 was without the picker, on the same arrivals."""
    if random.what != picked.what or [row.due for row in random.rows] != [row.due for row in picked.rows]:
        return nothing_yet("the two loads are not the same", "Run both loads again, with the same shape.")
    ratio, said = ttft_p95(random) / ttft_p95(picked), number(answer)
    if mean_ttft(picked) >= mean_ttft(random):
        again = "Run both again, on a machine with nothing else to do."
        return Finding(
            passed=False, observed="the picker made it no better here", hint=again, inconclusive=True
        )
    passed = said is not None and abs(said - ratio) <= CLOSE * ratio
    hint = first_that_holds(
        (passed, ""),
        (said is None, "Answer with one number: how many times as long?"),
        (
            said is not None and abs(said * ratio - 1) <= CLOSE,
            "The other way round: without the picker by with it.",
        ),
        (True, "Divide the p95 of the time to first token at random by the picker's: summary().ttft.p95."),
    )
    return Finding(passed=passed, observed=f"you say {plainly(answer)} times", hint=hint)


def contract(queue: Any, cache: Any, blind: float) -> Finding:
    """The two figures that the picker needs of a server, and what becomes of a server that lacks them."""
    if blind < BLIND:
        again = "Label one pod, and send the load again while it has the label."
        return nothing_yet(f"no server got more than {blind:.0%} of the requests", again)
    wrong = [
        name
        for name, said, right in (("queue", queue, QUEUE), ("cache", cache, CACHE))
        if str(said).strip() != right
    ]
    hints = {
        "queue": "queue: which line says how many requests wait in the server now? Without its labels.",
        "cache": "cache: which line says which part of the KV cache is in use? Without its labels.",
    }
    observed = f"you say {queue} and {cache}; one server got {blind:.0%} of the requests"
    return Finding(passed=not wrong, observed=observed, hint=hints[wrong[0]] if wrong else "")


def moved(held: Any, shorter: Any, peak: float, plain: float, valve: float) -> Finding:
    """How many were held at most, and whether anyone waited less for it."""
    if peak < 1:
        return nothing_yet("nobody was held at the gateway", "Run again from the cell that starts the valve.")
    if valve < 0.9 * plain:
        again = "Run both loads again, on a machine with nothing else to do."
        observed = f"the mean wait was {valve:.0f} s behind the valve and {plain:.0f} s without"
        return Finding(passed=False, observed=observed, hint=again, inconclusive=True)
    said = number(held)
    hint = first_that_holds(
        (said is None, 'held is one number: the peak of the series "gateway queue" of the recording.'),
        (
            said is not None and abs(said - peak) > 0.5,
            'held: run.one("gateway queue").peak() is the most at a time.',
        ),
        (not isinstance(shorter, bool), "shorter is True or False."),
        (shorter is not False, "Compare the mean times to first token of the two loads once more."),
    )
    return Finding(passed=not hint, observed=f"you say {plainly(held)} held, shorter: {shorter}", hint=hint)


SATURATION: Sequence[Case] = (
    (([15, 0, 0, 0], 1), 3.75),
    (([15, 0, 0, 0], 5), 0.75),
    (([1, 1, 1, 0], 1), 0.75),
    (([5, 5, 5, 5], 5), 1.0),
    (([0, 0], 5), 0.0),
    (([7], 2), 3.5),
)


def valve(saturation: Any) -> Finding:
    """The mean of queue / threshold over the servers, without a cap for each."""
    if not isinstance(saturation, Tried):
        hint = "Pass the function itself, without parentheses: saturation=saturation."
        return Finding(passed=False, observed=f"{saturation!r} is not a function", hint=hint)
    for call in saturation.calls:
        said = number(call.got)
        if said is None or abs(said - call.wanted) > 0.001:
            queues, threshold = call.given
            got = "nothing yet: it still contains `...`" if call.got is ... else call.got
            observed = f"saturation({queues}, {threshold}) gave {got}, the picker computes {call.wanted:g}"
            return Finding(passed=False, observed=observed, hint=_mistake(saturation))
    return Finding(passed=True, observed=saturation.cases)


def _mistake(saturation: Tried) -> str:
    """The usual mistake behind such a function; empty if it isn't a known one."""
    answers = [number(call.got) for call in saturation.calls]
    given = [call.given for call in saturation.calls]
    if answers == [sum(min(1.0, q / t) for q in queues) / len(queues) for queues, t in given]:
        return "A server that is ten times full counts ten times: the picker has no cap."
    if answers == [max(queues) / t for queues, t in given]:
        return "It is not the fullest server that decides: what is their mean?"
    return "What is queue / threshold for each server? Then their mean: the sum, divided by their number."


def mended(mine: float, plain: float, peak: float) -> Finding:
    """The valve holds the excess, and keeps no server idle."""
    observed = (
        f"mean time to first token {mine:.0f} s, without a valve {plain:.0f} s; at most {peak:.0f} held"
    )
    hint = first_that_holds(
        (
            mine > WORSE * plain,
            "Servers still stood idle while requests were held. What shuts the valve for all four?",
        ),
        (
            peak < 1,
            "Nobody was held: is flow control still on, and is the threshold below the queues that came?",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def priority(objectives: Sequence[JsonLike] | None, chat: float, batch: float) -> Finding:
    """The objective chat goes first, and its users' first token comes earlier."""
    named = {dig(one, "metadata.name"): dig(one, "spec.priority") or 0 for one in objectives or ()}
    missing = [name for name in ("chat", "batch") if name not in named]
    told = ", ".join(f"{name} {value}" for name, value in sorted(named.items())) or "no InferenceObjective"
    observed = f"{told}; median time to first token: chat {chat:.0f} s, batch {batch:.0f} s"
    hint = first_that_holds(
        (bool(missing), f"There is no InferenceObjective {', '.join(missing)}: was your file applied?"),
        (
            not missing and named["chat"] <= named["batch"],
            "The larger spec.priority goes first: whose is larger?",
        ),
        (
            chat > AHEAD * batch,
            "Chats waited as long as the others: send the loads again, after applying your file.",
        ),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def held(load: LoadResult, run: Timeline) -> Finding:
    """The very request that came while there was no server is answered, after the cold start."""
    desired = run.one("desired")
    first = min(load.rows, key=lambda row: row.due, default=None)
    if first is None or desired.at(first.due) != 0:
        again = (
            "Run again from the cell that starts four servers: the first request comes while there are none."
        )
        return nothing_yet("no request came while there were no pods", again)
    woke = desired.first(lambda count: count > 0, after=first.due)
    observed = f"the first request ended as {first.outcome} after {first.e2e:.0f} s; "
    observed += (
        "nothing woke up" if woke is None else f"replicas rose from 0 {woke - first.due:.0f} s after it came"
    )
    hint = first_that_holds(
        (
            woke is None,
            "Nothing woke the pods. What counts a request while there is no server, and who asks for it?",
        ),
        (
            any(not row.ok for row in load.rows),
            "A request failed: how (load.failures())? How long may one be held?",
        ),
        (first.e2e < COLD, "It was answered at once, by a server that was there. Wait for zero pods first."),
    )
    return Finding(passed=not hint, observed=observed, hint=hint)


def late(answer: Any, kept: int, moved: int) -> Finding:
    """Requests that had come before the new servers were answered by them: with the gateway only."""
    if kept or not moved:
        again = "Run both loads again, on a machine with nothing else to do."
        return nothing_yet(f"{kept} moved without a gateway, {moved} with one", again)
    said = number(answer)
    hint = first_that_holds(
        (said == moved, ""),
        (said is None, "Answer with one number of requests."),
        (said == kept, "That is the other load, without a gateway."),
        (True, "Requests that came before the first new server was ready, and that a new one answered."),
    )
    return Finding(passed=said == moved, observed=f"you say {plainly(answer)}", hint=hint)


def busiest(load: LoadResult) -> float:
    """The share of the requests that one server got, the one with the most."""
    pods = Counter(row.pod for row in load.rows if row.ok)
    return max(pods.values()) / pods.total()


CHECKS: Sequence[Check] = (
    Check(
        "12.random",
        "the share of requests that waited more than 1 lab second while another server had a place free",
        "Each request has a pair in met. In which is the first number above 1, and the second above 0?",
        random,
        answers=("answer",),
        copying=False,
        figures={"vain": Figure(of=("load",), by=in_vain)},
        rows=(5,),
    ),
    Check(
        "12.epp",
        "how many times as long the p95 time to first token is at random, on the same requests",
        "Each load has a summary(): its ttft has p50 and p95.",
        epp,
        answers=("answer",),
        copying=False,
        rows=(5,),
    ),
    Check(
        "12.contract",
        "the metrics by which a picker knows a server's queue and KV cache; a server without gets the most",
        "Both are on the server's page: lab.curl(lab.url('pod/NAME') + '/metrics', grep='vllm:').",
        contract,
        answers=("queue", "cache"),
        copying=True,
        figures={"blind": Figure(of=("load",), by=busiest)},
        rows=(5,),
    ),
    Check(
        "12.moved",
        "how many requests were held at most, and whether users waited less for it on average",
        "The recording knows the first, the two loads know the second.",
        moved,
        answers=("held", "shorter"),
        copying=True,
        figures={
            "peak": Figure(of=("run",), by=peak_held),
            "plain": Figure(of=("without",), by=mean_ttft),
            "valve": Figure(of=("behind",), by=mean_ttft),
        },
        rows=(5,),
    ),
    Check(
        "12.valve",
        "the mean of queue / threshold over all servers",
        "Work out [15, 0, 0, 0] with threshold 1 on paper: what is each server's part, and their mean?",
        valve,
        answers=("saturation",),
        copying=False,
        cases={"saturation": SATURATION},
        rows=(5,),
    ),
    Check(
        "12.mended",
        "requests are held, and users wait at most a third longer than without a valve",
        "Which parameter of utilization-detector decides how long the queues may be before the valve shuts?",
        mended,
        figures={
            "mine": Figure(of=("load",), by=mean_ttft),
            "plain": Figure(of=("without",), by=mean_ttft),
            "peak": Figure(of=("run",), by=peak_held),
        },
        rows=(5,),
    ),
    Check(
        "12.priority",
        "the InferenceObjective chat has the higher priority, and chats get their first token earlier",
        "lab.kubectl('get inferenceobjectives') shows what the picker knows.",
        priority,
        {"objectives": "inferenceobjectives"},
        figures={"chat": Figure(of=("chats",), by=ttft_p50), "batch": Figure(of=("others",), by=ttft_p50)},
        rows=(5,),
    ),
    Check(
        "12.held",
        "a request that comes while there are no pods wakes one, and is itself answered",
        "lab.kubectl('get scaledobject'), then lab.doctor(): who counts requests while there is no server?",
        held,
        may_be_empty=("load",),  # nobody was answered: that is what it is about
        rows=(6, 11),
    ),
    Check(
        "12.late",
        "how many requests that came before the new servers were answered by them: none without the gateway",
        "answered_by_new(load) counts them, for each of the two loads.",
        late,
        answers=("answer",),
        copying=True,
        figures={
            "kept": Figure(of=("bound",), by=answered_by_new),
            "moved": Figure(of=("free",), by=answered_by_new),
        },
        rows=(5, 10),
    ),
)
