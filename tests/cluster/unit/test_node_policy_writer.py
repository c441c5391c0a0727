"""The writer follows a server that speaks lists and watches, and replaces the rules when they change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

from aiohttp import web

from localcluster.api.asynchronous import Api
from localcluster.api.events import Recorder
from localcluster.api.identity import Identity
from localcluster.errors import ComponentError
from localcluster.node.policy.pods import Pod
from localcluster.node.policy.state import Namespaces, Pods, Policies
from localcluster.node.policy.writer import PolicyWriter
from tests.cluster.unit.policy_world import NODE, policy

POLICIES, NAMESPACES, PODS = Policies.path, Namespaces.path, Pods.path
DENY = policy({"podSelector": {}}, name="deny")
Object = dict[str, Any]


class Server:
    """Three collections as the API server has them, and the Events that it is sent."""

    def __init__(self) -> None:
        self.events: list[Object] = []
        self.namespaces_open = asyncio.Event()
        self._now: dict[str, dict[str, Object]] = {path: {} for path in (POLICIES, NAMESPACES, PODS)}
        self._log: list[tuple[str, str, Object]] = []
        self._news = asyncio.Condition()
        self._closed = False

    async def close(self) -> None:
        async with self._news:
            self._closed = True
            self._news.notify_all()

    async def put(self, path: str, item: Object, *, kind: str = "MODIFIED") -> None:
        async with self._news:
            version = {"resourceVersion": str(len(self._log) + 1)}
            item = item | {"metadata": item["metadata"] | version}
            self._now[path].pop(item["metadata"]["uid"], None)
            if kind != "DELETED":
                self._now[path][item["metadata"]["uid"]] = item
            self._log.append((path, kind, item))
            self._news.notify_all()

    async def collection(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if "watch" in request.query:
            return await self._watch(request, path, int(request.query["resourceVersion"]))
        if path == NAMESPACES:
            await self.namespaces_open.wait()
        meta, items = {"resourceVersion": str(len(self._log))}, list(self._now[path].values())
        return web.json_response({"apiVersion": "v1", "kind": "List", "metadata": meta, "items": items})

    async def _watch(self, request: web.Request, path: str, sent: int) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self._closed:
            for of, kind, item in self._log[sent:]:
                if of == path:
                    await response.write(json.dumps({"type": kind, "object": item}).encode() + b"\n")
            sent = len(self._log)
            async with self._news:
                while len(self._log) == sent and not self._closed:
                    await self._news.wait()
        return response

    async def event(self, request: web.Request) -> web.Response:
        self.events.append(await request.json())
        return web.json_response({})


class Nft:
    """What is applied: holds the texts, or refuses them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.refuses = False
        self.free = asyncio.Event()
        self.free.set()

    async def apply(self, text: str) -> None:
        await self.free.wait()
        if self.refuses:
            raise ComponentError("nft says: no.", fix="Look at its error.")
        self.texts.append(text)


class World:
    def __init__(self, api: Api, server: Server) -> None:
        self.server, self.nft = server, Nft()
        self.recorder = Recorder(api, "node", clock=1.0, component="network-policy")
        dns = Pod("ops", {"k8s-app": "kube-dns"}, NODE, peer_only=True)
        self.writer = PolicyWriter(api, self.nft.apply, self.recorder, peers=[dns])

    async def has(self, *words: str) -> str:
        """The rules in force, once they contain these words."""
        await until(lambda: bool(self.nft.texts) and all(w in self.nft.texts[-1] for w in words), f"{words}")
        return self.nft.texts[-1]


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"waited for {what}") from None


@contextlib.asynccontextmanager
async def world(*, open_: bool = True) -> AsyncIterator[World]:
    server = Server()
    app = web.Application()
    for path in (POLICIES, NAMESPACES, PODS):
        app.router.add_get(path, server.collection)
    app.router.add_post("/api/v1/namespaces/{namespace}/events", server.event)
    app.router.add_patch("/api/v1/namespaces/{namespace}/events/{name}", server.event)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    address = runner.addresses[0]
    api = Api(Identity(f"http://127.0.0.1:{address[1]}", ssl.create_default_context()))
    made = World(api, server)
    if open_:
        server.namespaces_open.set()
    tasks = [asyncio.create_task(job) for job in (made.writer.follow(), made.recorder.run())]
    try:
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await api.close()
        await server.close()
        await runner.cleanup()


def api_pod(n: int, *, ip: str | None = "", **status: Any) -> Object:
    meta = {"namespace": "shop", "name": f"p{n}", "uid": f"uid-{n}", "labels": {"app": "db"}}
    address = {} if ip is None else {"podIP": ip or f"10.244.1.{n}"}
    return {"metadata": meta, "spec": {"containers": []}, "status": {**address, **status}}


def namespace(name: str, **labels: str) -> Object:
    return {"metadata": {"name": name, "uid": name, "labels": labels}}


def test_nothing_is_applied_before_all_three_are_listed() -> None:
    async def scenario() -> None:
        async with world(open_=False) as w:
            await w.server.put(POLICIES, DENY)
            await w.server.put(PODS, api_pod(2))
            state = w.writer._state
            await until(lambda: bool(state.policies.seen and state.pods.seen), "two of three lists")
            w.server.namespaces_open.set()
            await w.has("chain forward")
            assert "10.244.1.2 : jump ingress-shop-1" in w.nft.texts[0]

    asyncio.run(scenario())


def test_each_change_that_matters_is_applied_and_no_other() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.has("chain forward")
            await w.server.put(PODS, api_pod(2))
            await w.server.put(POLICIES, DENY)
            await w.has("10.244.1.2 : jump ingress-shop-1")
            count = len(w.nft.texts)
            await w.server.put(PODS, api_pod(2, conditions=[{"type": "Ready"}]))
            await w.server.put(NAMESPACES, namespace("new"))
            await w.server.put(PODS, api_pod(3))
            await w.has("10.244.1.3 : jump ingress-shop-1")
            assert len(w.nft.texts) == count + 1
            await w.server.put(PODS, api_pod(2, phase="Succeeded"))
            await w.server.put(POLICIES, DENY, kind="DELETED")
            await until(lambda: "jump" not in w.nft.texts[-1], "no rules")

    asyncio.run(scenario())


def test_labels_of_a_namespace_and_programs_of_the_lab() -> None:
    async def scenario() -> None:
        async with world() as w:
            peers = [{"namespaceSelector": {"matchLabels": {"a": "b"}}}]
            spec = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": peers}]}
            await w.server.put(POLICIES, policy(spec))
            await w.server.put(PODS, api_pod(2))
            await w.server.put(NAMESPACES, namespace("ops"))
            assert "return" not in await w.has("egress-shop-1")
            await w.server.put(NAMESPACES, namespace("ops", a="b"))
            await w.has(f"ip daddr {{ {NODE} }} return")

    asyncio.run(scenario())


def test_changes_during_a_transaction_are_applied_together() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.server.put(POLICIES, DENY)
            await w.has("chain forward")
            w.nft.free.clear()
            for n in range(2, 40):
                await w.server.put(PODS, api_pod(n))
            await until(lambda: len(w.writer._state.pods.seen) == 38, "all pods seen")
            count = len(w.nft.texts)
            w.nft.free.set()
            await w.has("10.244.1.39 : jump")
            assert len(w.nft.texts) <= count + 2

    asyncio.run(scenario())


def test_rules_that_can_not_be_applied_are_reported_and_tried_again() -> None:
    async def scenario() -> None:
        async with world() as w:
            before = await w.has("chain forward")
            w.nft.refuses = True
            await w.server.put(PODS, api_pod(2))
            await w.server.put(POLICIES, DENY)
            await until(lambda: bool(w.server.events), "an Event")
            event = w.server.events[0]
            assert (event["type"], event["reason"]) == ("Warning", "PolicyNotApplied")
            assert event["involvedObject"]["name"] == "deny"
            assert event["involvedObject"]["kind"] == "NetworkPolicy"
            assert "nft says: no. Fix: Look at its error." in event["message"]
            assert w.nft.texts[-1] == before
            w.nft.refuses = False
            await w.has("10.244.1.2 : jump")

    asyncio.run(scenario())


def test_what_held_before_a_refusal_is_applied_anew() -> None:
    async def scenario() -> None:
        async with world() as w:
            before = await w.has("chain forward")
            await w.server.put(PODS, api_pod(2))
            w.nft.refuses = True
            await w.server.put(POLICIES, DENY)
            await until(lambda: bool(w.server.events), "an Event")
            count = len(w.nft.texts)
            await w.server.put(POLICIES, DENY, kind="DELETED")
            await until(lambda: not w.writer._state.policies.seen, "the policy to go")
            w.nft.refuses = False
            await until(lambda: w.nft.texts[count:] == [before], "the rules from before, again")

    asyncio.run(scenario())


def test_a_policy_that_can_not_be_read_denies_and_is_reported_once() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.server.put(PODS, api_pod(2))
            bad = policy({"podSelector": {}, "ingress": [{"ports": [{"protocol": "QUIC"}]}]}, name="bad")
            await w.server.put(POLICIES, bad)
            text = await w.has("10.244.1.2 : jump ingress-shop-1")
            assert "return" not in text
            await until(lambda: bool(w.server.events), "an Event")
            await w.server.put(POLICIES, bad | {"status": {}})
            await w.server.put(POLICIES, policy({**bad["spec"], "podSelector": {"matchLabels": {"a": "b"}}}))
            await until(lambda: len(w.server.events) == 2, "the other policy's Event")
            assert [e["involvedObject"]["name"] for e in w.server.events] == ["bad", "p"]
            assert {e["reason"] for e in w.server.events} == {"PolicyNotRead"}
            assert "QUIC" in w.server.events[0]["message"]

    asyncio.run(scenario())


def test_a_pod_is_isolated_before_the_api_server_has_its_address() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.server.put(POLICIES, DENY)
            await w.server.put(PODS, api_pod(2, ip=None))
            await w.writer.isolate(api_pod(2, ip=None), "10.244.1.2")
            assert "10.244.1.2 : jump ingress-shop-1" in w.nft.texts[-1]
            count = len(w.nft.texts)
            await w.server.put(PODS, api_pod(2, ip=None, phase="Pending"))
            await w.server.put(PODS, api_pod(2))
            await w.server.put(PODS, api_pod(3))
            await w.has("10.244.1.3 : jump")
            assert len(w.nft.texts) == count + 1
            await w.server.put(PODS, api_pod(2), kind="DELETED")
            await until(lambda: "10.244.1.2 " not in w.nft.texts[-1], "the pod to go")

    asyncio.run(scenario())


def test_pods_that_no_policy_selects_do_not_wait_for_nft() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.has("chain forward")
            w.nft.refuses = True
            elsewhere = policy({"podSelector": {}}, name="deny", namespace="bench")
            await w.server.put(
                PODS, {**api_pod(4), "metadata": api_pod(4)["metadata"] | {"namespace": "bench"}}
            )
            await w.server.put(POLICIES, elsewhere)
            await until(lambda: bool(w.server.events), "an Event")
            await w.server.put(PODS, api_pod(2, ip=None))
            await w.writer.isolate(api_pod(2, ip=None), "10.244.1.2")
            on_host = api_pod(3, ip=None)
            on_host["spec"]["hostNetwork"] = True
            await w.writer.isolate(on_host, NODE)

    asyncio.run(scenario())


def test_a_pod_that_waits_can_be_given_up() -> None:
    async def scenario() -> None:
        async with world() as w:
            await w.has("chain forward")
            waiting = asyncio.create_task(w.writer.isolate(api_pod(2, ip=None), "10.244.1.2"))
            await until(lambda: bool(w.writer._state.pods._announced), "the wait")
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert waiting.cancelled()
            assert not w.writer._state.pods._announced

    asyncio.run(scenario())
