"""Volumes that a node of a lab does not have, and variables from files of those that it has."""

from __future__ import annotations

import pytest

from localcluster.node.pod import volumes
from localcluster.node.pod.volumes import MountFailure
from localcluster.node.process import env_files

KINDS = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "csi",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
    "",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_volume_that_needs_a_disk_or_a_driver_is_refused_by_name(kind: str) -> None:
    with pytest.raises(MountFailure, match=f"does not support {kind} volumes: use emptyDir"):
        volumes._kind({"name": "v", kind: {}})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A='1'", "1"),
        ("# said\n\n  A='1' # one\nA='2'", "1"),
        ("B='x'\nA='two\nlines'\n", "two\nlines"),
        ("A=''", ""),
        ("A= 'x'", ""),
        ("B='1'", ""),
        ("", ""),
        ("A='# $B \\n'", "# $B \\n"),
        ("A='1'\nB = broken", "1"),
    ],
)
def test_a_variable_is_what_a_shell_would_make_of_the_line(text: str, found: str) -> None:
    assert env_files.value(text, "A") == found


@pytest.mark.parametrize(
    "text", ["A", "A ='1'", "='1'", "A=1", 'A="1"', "A='1", "A='1' 2", "A=", "B=1\nA='1'", "A='it'\\''s'"]
)
def test_a_line_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 1 wants"):
        env_files.value(text, "A")
