# The course in one image: for macOS and Windows through Docker, for VS Code and Codespaces, for hubs and Binder.
# docs/doors.md says how to start it, and what it gives:
#   docker build -t autoscaling-course .
FROM python:3.11-slim AS base
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends git make procps >/dev/null \
 && rm -rf /var/lib/apt/lists/*

# The control plane's programs are downloaded or built: ten minutes on two cores. Much faster with a bundle from
# another machine here (labkit toolchain bundle out/course.tar.gz).
FROM base AS build
LABEL autoscaling-course=build
ENV LABKIT_CACHE=/opt/labkit
WORKDIR /opt/course
COPY . .
RUN make setup \
 && if [ -f out/course.tar.gz ]; then .venv/bin/labkit toolchain install out/course.tar.gz; \
    else .venv/bin/labkit toolchain fetch; fi \
 && { .venv/bin/python -m compileall -q -j 0 .venv/lib cluster/localcluster labkit >/dev/null || true; } \
 && rm -rf out \
 && chmod -R a+rwX .venv "$LABKIT_CACHE"

FROM base
# An ordinary user: Binder passes its own name and number.
ARG NB_USER=learner
ARG NB_UID=1000
# Any user may keep labs here, since a container may be run as another user than it was built for.
RUN useradd --create-home --shell /bin/bash --uid "$NB_UID" "$NB_USER" && install -d -m 1777 /var/lib/labkit
COPY --from=build /opt /opt
USER $NB_UID
# Make uses this environment instead of creating its own.
ENV HOME=/home/$NB_USER \
    PATH=/opt/course/.venv/bin:$PATH \
    LABKIT_HOME=/var/lib/labkit/labs \
    LABKIT_CACHE=/var/lib/labkit/cache \
    MAKEFLAGS=VENV=/opt/course/.venv \
    JUPYTER_CONFIG_PATH=/opt/course/.devcontainer/jupyter
WORKDIR $HOME
# Pods and builds write to an overlay. The kernel can't put one on another, and a container's own disk is one.
VOLUME /var/lib/labkit
EXPOSE 8888
ENTRYPOINT ["/opt/course/.devcontainer/start"]
CMD ["labkit", "jupyter", "--no-browser", "--ip=0.0.0.0", "--port=8888"]
