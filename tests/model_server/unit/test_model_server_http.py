"""The real server process over HTTP on loopback, on simulated devices in a temporary folder."""

import json
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen  # noqa: TID251 (the type of what spawn.popen returns)
from typing import Any

import httpx
import pytest

from localcluster import polling, spawn

IMAGE = Path(__file__).parents[3] / "cluster" / "images" / "model-server"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
FAST = {"LABKIT_CLOCK": "100", "ENFORCE_EAGER": "1", "WEIGHTS_FROM": "page_cache"}
"""A cold start of 27 lab seconds takes 0.27 real ones; 1,000 tokens of one sequence take 0.64."""


@dataclass
class Server:
    """A running process, and how to talk to it."""

    process: Popen[bytes]
    log: Path
    http: httpx.Client

    def metric(self, name: str, **labels: str) -> float:
        """One sample of /metrics; labels may be left out."""
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        for line in self.http.get("/metrics").text.splitlines():
            if line.split("{")[0].split(" ")[0] == name and all(w in line for w in wanted):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"no {name} {labels}")

    def ready(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def listening(self) -> bool:
        try:
            return self.http.get("/health").status_code in {200, 503}
        except httpx.TransportError:
            return False

    def until(self, name: str, value: float, **labels: str) -> None:
        polling.until(
            lambda: self.metric(name, **labels) == value,
            f"{name} to become {value}",
            seconds=10,
            last_seen=lambda: str(self.metric(name, **labels)),
        )


@contextmanager
def started(folder: Path, env: Mapping[str, str], *args: str) -> Iterator[Server]:
    """Start the server as its image does; end it at the end of the block."""
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = folder / "log"
    full = {"PORT": str(port), "HOST": "127.0.0.1", "MAX_MODEL_LEN": "8192", **env}
    process = spawn.popen(
        [sys.executable, "-m", "model_server", *args],
        log=log,
        cwd=IMAGE,
        env={"PYTHONPATH": str(IMAGE), **full},
    )
    http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)
    try:
        yield Server(process, log, http)
    finally:
        http.close()
        if process.poll() is None:
            process.kill()
            process.wait(10)


@pytest.fixture
def device(tmp_path: Path) -> dict[str, str]:
    """One L4 as the node hands it to a container."""
    folder = tmp_path / "gpus" / "GPU-1"
    folder.mkdir(parents=True)
    about = {"uuid": "GPU-1", "product": "NVIDIA-L4", "memory_mib": 23034, "index": 0, "node": "gpu-node-1"}
    (folder / "device.json").write_text(json.dumps(about))
    return {
        "NVIDIA_VISIBLE_DEVICES": "GPU-1",
        "LABKIT_GPU_DIR": str(tmp_path / "gpus"),
        "LABKIT_POD_UID": "pod-1",
        **FAST,
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for the tests that leave it as they found it."""
    env = {**FAST, "MAX_NUM_SEQS": "2", "MODEL_VERSION": "v7", "POD_NAME": "pod-a"}
    with started(tmp_path_factory.mktemp("server"), env, "--simulated-gpu", "NVIDIA-L4") as running:
        polling.until(running.ready, "the server to be ready", seconds=20, last_seen=running.log.read_text)
        yield running


def body(**more: Any) -> dict[str, Any]:
    return {"model": MODEL, "prompt": "once upon a time", "max_tokens": 50, "ignore_eos": True, **more}


def events(response: httpx.Response) -> list[str]:
    return [line.removeprefix("data: ") for line in response.iter_lines() if line]


def test_a_stream_ends_with_done_and_says_the_same_as_a_whole_answer(server: Server) -> None:
    whole = server.http.post("/v1/completions", json=body()).json()
    options = {"include_usage": True, "continuous_usage_stats": True}
    with server.http.stream(
        "POST", "/v1/completions", json=body(stream=True, stream_options=options)
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        *chunks, done = events(response)
    assert done == "[DONE]"
    parsed = [json.loads(chunk) for chunk in chunks]
    assert "".join(c["choices"][0]["text"] for c in parsed[:-1]) == whole["choices"][0]["text"]
    assert parsed[-2]["choices"][0]["finish_reason"] == "length"
    assert parsed[-2]["usage"]["completion_tokens"] == 50
    assert parsed[-1] == {**parsed[-1], "choices": [], "usage": whole["usage"]}
    assert whole["usage"] == {"prompt_tokens": 5, "completion_tokens": 50, "total_tokens": 55}


def test_a_chat_names_the_role_first_and_stops_by_itself(server: Server) -> None:
    messages = [{"role": "user", "content": "hello"}]
    with server.http.stream(
        "POST", "/v1/chat/completions", json={"messages": messages, "stream": True}
    ) as response:
        *chunks, done = events(response)
    assert done == "[DONE]"
    parsed = [json.loads(chunk)["choices"][0] for chunk in chunks]
    assert parsed[0]["delta"]["role"] == "assistant"
    assert parsed[-1]["finish_reason"] == "stop"
    answer = server.http.post("/v1/chat/completions", json={"messages": messages}).json()
    assert answer["choices"][0]["message"]["content"] == "".join(c["delta"]["content"] for c in parsed)


def test_a_prompt_of_token_ids_has_exactly_that_size(server: Server) -> None:
    answer = server.http.post("/v1/completions", json=body(prompt=[7] * 321, max_tokens=1)).json()
    assert answer["usage"]["prompt_tokens"] == 321


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"model": "gpt-9"}, 404, "does not exist"),
        ({"prompt": [1] * 8192}, 400, "maximum context length"),
        ({"max_tokens": 8192}, 400, "maximum context length"),
        ({"max_tokens": "many"}, 400, "max_tokens"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"prompt": ["a", "b"]}, 400, "one prompt a request"),
        ({"prompt": ""}, 400, "not empty"),
        ({"n": 2}, 400, "`n`"),
        ({"logprobs": 5}, 400, "not simulated"),
    ],
)
def test_what_cannot_be_served_is_refused_in_openais_shape(
    server: Server, change: dict[str, Any], status: int, says: str
) -> None:
    response = server.http.post("/v1/completions", json=body(**change))
    assert response.status_code == status
    error = response.json()["error"]
    assert says in error["message"]
    assert error["code"] == status


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(server: Server, content: bytes) -> None:
    response = server.http.post("/v1/completions", content=content)
    assert response.status_code == 400
    assert "JSON" in response.json()["error"]["message"]


def test_it_says_which_version_serves_and_what_is_simulated(server: Server) -> None:
    models = server.http.get("/v1/models")
    assert models.json()["data"][0] == {**models.json()["data"][0], "id": MODEL, "version": "v7"}
    assert models.headers["x-model-version"] == "v7"
    assert models.headers["x-served-by"] == "pod-a"
    about = server.http.get("/version").json()
    assert about["simulated"] == "gpu, timing, text"
    assert about["profile_source"] == "roofline"
    assert "SIMULATED" in server.log.read_text()
    assert server.metric("labkit_simulated_startup_seconds", phase="import") == 20


def test_metrics_have_vllms_names_and_add_up(server: Server) -> None:
    names = (
        "vllm:generation_tokens_total",
        "vllm:prompt_tokens_total",
        "vllm:e2e_request_latency_seconds_count",
    )
    before = [server.metric(name) for name in names]
    steps = server.metric("vllm:inter_token_latency_seconds_count")
    server.http.post("/v1/completions", json=body(prompt=[1] * 100, max_tokens=30))
    assert [server.metric(name) for name in names] == [before[0] + 30, before[1] + 100, before[2] + 1]
    assert server.metric("vllm:inter_token_latency_seconds_count") == steps + 29
    assert server.metric("vllm:request_success_total", finished_reason="length", engine="0") >= 1
    for name in ("time_to_first_token", "request_queue_time", "inter_token_latency"):
        assert server.metric(f"vllm:{name}_seconds_bucket", le="+Inf", model_name=MODEL) >= 1
    assert server.metric("vllm:kv_cache_usage_perc") == 0
    assert server.metric("vllm:num_preemptions_total") == 0


def test_who_sent_requests_is_counted_by_address(server: Server) -> None:
    server.http.post("/v1/completions", json=body(max_tokens=1))
    before = server.metric("labkit_simulated_requests_total", client="127.0.0.1")
    server.http.post("/v1/completions", json=body(max_tokens=1))
    server.http.get("/v1/models")
    assert server.metric("labkit_simulated_requests_total", client="127.0.0.1") == before + 1


def test_the_queue_is_visible_and_a_client_that_leaves_frees_its_slot(server: Server) -> None:
    aborted = server.metric("vllm:request_success_total", finished_reason="abort")
    with ExitStack() as clients:
        for _ in range(3):
            request = body(prompt=[1] * 10, max_tokens=8000, stream=True)
            clients.enter_context(server.http.stream("POST", "/v1/completions", json=request))
        server.until("vllm:num_requests_running", 2)
        server.until("vllm:num_requests_waiting", 1)
        assert server.metric("vllm:kv_cache_usage_perc") > 0
    server.until("vllm:num_requests_running", 0)
    server.until("vllm:num_requests_waiting", 0)
    assert server.metric("vllm:kv_cache_usage_perc") == 0
    assert server.metric("vllm:request_success_total", finished_reason="abort") == aborted + 3


def test_while_loading_it_listens_but_is_not_healthy_and_can_be_ended(
    tmp_path: Path, device: dict[str, str]
) -> None:
    with started(tmp_path / "s", {**device, "LABKIT_CLOCK": "1"}) as loading:
        polling.until(loading.listening, "the server to listen", seconds=10, last_seen=loading.log.read_text)
        assert loading.http.get("/health").status_code == 503
        refused = loading.http.post("/v1/completions", json=body())
        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "ServiceUnavailableError"
        assert loading.http.get("/metrics").status_code == 503, "a loading vLLM has no metrics either"
        loading.process.send_signal(signal.SIGTERM)
        assert loading.process.wait(10) == 0


def test_sigterm_drains_running_streams_and_takes_no_new_connection(
    tmp_path: Path, device: dict[str, str]
) -> None:
    with started(tmp_path / "s", device) as serving:
        polling.until(serving.ready, "ready", seconds=20, last_seen=serving.log.read_text)
        request = body(prompt=[1] * 10, max_tokens=2500, stream=True)
        with serving.http.stream("POST", "/v1/completions", json=request) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("data: ")
            serving.process.send_signal(signal.SIGTERM)
            polling.until(lambda: "Shutting down" in serving.log.read_text(), "the drain", seconds=10)
            with pytest.raises(httpx.ConnectError):
                httpx.get(serving.http.base_url.join("/health"), trust_env=False)
            assert serving.process.poll() is None
            rest = [line for line in lines if line]
        assert rest[-1] == "data: [DONE]"
        assert json.loads(rest[-2].removeprefix("data: "))["choices"][0]["finish_reason"] == "length"
        assert serving.process.wait(10) == 0


def test_it_reports_its_gpu_and_gives_it_back(tmp_path: Path, device: dict[str, str]) -> None:
    usage = tmp_path / "gpus" / "GPU-1" / "usage" / "pod-1.json"
    with started(tmp_path / "s", device, "--port", "1") as serving:
        polling.until(serving.ready, "ready", seconds=20, last_seen=serving.log.read_text)
        polling.until(lambda: json.loads(usage.read_text())["power_watts"], "a report", seconds=10)
        report = json.loads(usage.read_text())
        assert report["pod_uid"] == "pod-1"
        assert report["memory_used_mib"] == int(23034 * 0.9)
        assert report["gpu_utilization"] == 0
        assert report["host_cpu_seconds_total"] > 0
        serving.http.post("/v1/completions", json=body(max_tokens=500))
        polling.until(lambda: json.loads(usage.read_text())["sm_seconds_total"] > 0.2, "GPU time", seconds=10)
        with started(tmp_path / "t", {**device, "LABKIT_POD_UID": "pod-2"}) as second:
            assert second.process.wait(20) == 1
            assert "less than desired GPU memory utilization" in second.log.read_text()
        serving.process.send_signal(signal.SIGTERM)
        assert serving.process.wait(10) == 0
    assert not usage.exists()


@pytest.mark.parametrize(
    ("change", "args", "says"),
    [
        ({"NVIDIA_VISIBLE_DEVICES": "void"}, (), "No CUDA GPUs are available"),
        ({"NVIDIA_VISIBLE_DEVICES": "GPU-9"}, (), "no simulated device"),
        ({"MAX_MODEL_LEN": "131072"}, (), "KV cache is needed"),
        ({}, ("--gpu-memory-utilization", "0.5"), "KV cache is needed"),
        ({"MODEL": "acme/huge-70b"}, (), "no timing profile"),
    ],
)
def test_it_fails_at_the_start_as_vllm_would(
    tmp_path: Path, device: dict[str, str], change: dict[str, str], args: tuple[str, ...], says: str
) -> None:
    with started(tmp_path / "s", {**device, **change}, *args) as failing:
        assert failing.process.wait(20) == 1
        assert says in failing.log.read_text()
        assert "Fix:" in failing.log.read_text() or "The image holds" in failing.log.read_text()


def test_a_device_that_others_fill_runs_out_of_memory_until_they_are_dead(
    tmp_path: Path, device: dict[str, str]
) -> None:
    usage = tmp_path / "gpus" / "GPU-1" / "usage"
    half = ("--gpu-memory-utilization", "0.5")
    with started(tmp_path / "first", {**device, "LABKIT_POD_UID": "pod-2"}) as first:
        polling.until(first.ready, "ready", seconds=20, last_seen=first.log.read_text)
        # As if it held a little less, so that a second one gets past vLLM's first look at the free memory.
        report = json.loads((usage / "pod-2.json").read_text())
        first.process.send_signal(signal.SIGSTOP)
        (usage / "pod-2.json").write_text(json.dumps({**report, "memory_used_mib": 11_000}))
        with started(tmp_path / "second", device, *half) as failing:
            assert failing.process.wait(20) == 1
            assert "CUDA out of memory" in failing.log.read_text()
        first.process.kill()
        first.process.wait(10)
    assert (usage / "pod-2.json").exists(), "killed, it could not tidy up"
    with started(tmp_path / "third", device) as third:
        polling.until(third.ready, "ready", seconds=20, last_seen=third.log.read_text)


def test_a_gpu_that_fails_takes_the_server_with_it(device: dict[str, str], tmp_path: Path) -> None:
    slow = {**device, "LABKIT_CLOCK": "20"}  # 8,000 tokens take 25 real seconds
    with started(tmp_path, slow) as server:
        polling.until(server.ready, "the server to be ready", seconds=20, last_seen=server.log.read_text)
        with server.http.stream("POST", "/v1/completions", json=body(max_tokens=8000, stream=True)) as answer:
            lines = answer.iter_lines()
            next(lines)
            (tmp_path / "gpus" / "GPU-1" / "unhealthy").write_text("Xid 79: GPU has fallen off the bus")
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
                list(lines)
        assert server.process.wait(10) == 1
        assert "CUDA error" in server.log.read_text()
    assert list((tmp_path / "gpus" / "GPU-1" / "usage").glob("*.json")) == []


def test_no_server_starts_on_a_failed_gpu(device: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "gpus" / "GPU-1" / "unhealthy").write_text("Xid 79: GPU has fallen off the bus")
    with started(tmp_path, device) as server:
        assert server.process.wait(20) == 1
        said = server.log.read_text()
    assert "No CUDA GPUs are available" in said
    assert "GPU-1 is unhealthy: Xid 79: GPU has fallen off the bus" in said
