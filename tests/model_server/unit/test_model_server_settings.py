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


def test_it_listens_on_every_address_and_on_the_port_that_the_flag_or_else_the_node_says() -> None:
    node = {"PORT": "8000", "LABKIT_POD_UID": "u"}
    assert [(s.host, s.port) for s in (parse([], {}), parse([], node), parse(["--port", "9000"], node))] == [
        ("0.0.0.0", 8000),  # noqa: S104
        ("0.0.0.0", 8000),  # noqa: S104
        ("0.0.0.0", 9000),  # noqa: S104
    ]
    assert parse([], node | {"PORT": "9000"}).port == 9000
    assert parse(["--host", "::1"], {"HOST": "127.0.0.1"}).host == "::1"


def test_the_node_decides_the_port_where_all_pods_share_those_of_the_machine() -> None:
    node = {"PORT": "24123", "HOST": "127.0.0.1", "LABKIT_POD_UID": "u"}
    without = parse(["--port", "8000"], node)
    assert (without.host, without.port) == ("127.0.0.1", 24123)
    del node["LABKIT_POD_UID"]  # somebody else's variables
    assert parse(["--port", "8000"], node).port == 8000
    assert parse(["--port", "8000"], {"HOST": "127.0.0.1", "LABKIT_POD_UID": "u"}).port == 8000


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
