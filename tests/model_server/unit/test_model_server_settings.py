"""Flags and environment of the model server."""

import pytest
from model_server.profile import StartError
from model_server.settings import parse


def test_each_flag_is_also_a_variable_and_the_flag_wins() -> None:
    env = {
        "MAX_NUM_SEQS": "8",
        "GPU_MEMORY_UTILIZATION": "0.8",
        "LABKIT_CLOCK": "15",
        "ENFORCE_EAGER": "true",
    }
    settings = parse(["--max-num-seqs", "4"], env)
    assert settings.max_num_seqs == 4
    assert settings.gpu_memory_utilization == 0.8
    assert settings.clock == 15
    assert settings.enforce_eager
    assert settings.served_model_name == settings.model


def test_the_node_decides_the_port_and_an_embedded_pod_stays_on_the_loopback() -> None:
    node = parse(["--port", "8000"], {"PORT": "41234", "LABKIT_POD_UID": "u"})
    assert (node.host, node.port) == ("127.0.0.1", 41234)
    elsewhere = parse(["--port", "9000"], {})
    assert (elsewhere.host, elsewhere.port) == ("0.0.0.0", 9000)  # noqa: S104
    assert parse(["--host", "::1"], {"HOST": "127.0.0.1"}).host == "::1"


def test_the_model_can_stand_first_as_in_vllm_serve() -> None:
    settings = parse(["Qwen/Qwen2.5-7B-Instruct", "--served-model-name", "chat"], {})
    assert (settings.model, settings.served_model_name) == ("Qwen/Qwen2.5-7B-Instruct", "chat")


@pytest.mark.parametrize(
    "argv",
    [
        ["--gpu-memory-utilization", "1.5"],
        ["--max-num-seqs", "0"],
        ["--max-num-batched-tokens", "4", "--max-num-seqs", "8"],
        ["--clock", "0"],
    ],
)
def test_values_that_vllm_refuses_are_refused(argv: list[str]) -> None:
    with pytest.raises(StartError):
        parse(argv, {})


@pytest.mark.parametrize(("argv", "env"), [(["--max-seqs", "4"], {}), ([], {"MAX_NUM_SEQS": "eight"})])
def test_an_unknown_flag_or_a_word_for_a_number_ends_it(argv: list[str], env: dict[str, str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse(argv, env)
    assert end.value.code == 2
