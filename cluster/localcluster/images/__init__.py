"""OCI images: build, push, pull, inspect; no Docker needed.

    reference     what an image is called; `failure` tells apart what can go wrong with it

On this machine:

    store         an OCI image layout: names, `blobs` by digest, `manifest` documents
    rootfs        images unpacked for pods, by `extract`, over `hostbase` where no base image can be pulled
    layers        reproducible archives; `folders` appear atomically, `sweep` frees them again
    archive       loads complete images from a file

From a Dockerfile to an image:

    dockerfile    its instructions, their `words`, and the `context` of COPY
    build         a layer for each instruction: `steps` do them on a `stage`, RUN in a `sandbox`
    builders      docker, podman and buildah do the same

Between this machine and a registry:

    registry      one connection, with `credentials`; `push`, `pull`, and `transfer` of several blobs at once
    distribution  configuration of the lab's own registry
"""
