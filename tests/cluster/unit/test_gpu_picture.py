"""The picture of a cluster's GPUs: free, held, used."""

from labkit.view.gpus import Gpu, picture
from labkit.view.picture import png

GPUS = [
    Gpu("gpu-node-1", 0, 4606, 23034, "small-1"),
    Gpu("gpu-node-1", 1, 0, 23034, "holds-and-sleeps"),
    Gpu("gpu-node-1", 2, 0, 23034),
    Gpu("gpu-node-2", 0, 9000, 23034),  # shared: nobody is named
]


def test_a_gpu_is_held_by_name_or_by_use() -> None:
    assert [gpu.held for gpu in GPUS] == [True, True, False, True]


def test_the_picture_says_in_words_what_it_shows() -> None:
    shown = picture(GPUS, title="GPUs", stamp="test")
    assert str(shown) == (
        "GPUs. gpu-node-1: 1 of 3 free, 4.5 GiB in use; gpu-node-2: 0 of 1 free, 8.8 GiB in use"
    )
    assert png(shown.figure).startswith(b"\x89PNG")


def test_no_gpus_are_no_error() -> None:
    assert str(picture([], title="GPUs", stamp="test")) == "GPUs. No GPUs"
