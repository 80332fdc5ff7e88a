# One image for every role: `docker run gofleet run --role worker`.

# Any image with Python 3.13 as `python`, including venv; the default comes from Docker Hub.
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS builder
ARG UV_VERSION=0.13.9
RUN python -m venv /opt/uv && /opt/uv/bin/pip install --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"

ENV PATH=/opt/uv/bin:$PATH \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/gofleet \
    UV_LINK_MODE=copy
WORKDIR /src

# Dependencies first, because they change less often than the program; without the packages that Litestar generates
# examples with. The servers of `gofleet demo` are an extra.
COPY pyproject.toml uv.lock ./
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-project \
    --no-install-package polyfactory --no-install-package faker
# Nine tenths of uvloop's wheel are debug symbols.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/* \
    && strip --strip-debug /opt/gofleet/lib/python3.*/site-packages/uvloop/*.so

COPY README.md LICENSE ./
COPY sql ./sql
COPY config ./config
COPY proto ./proto
COPY gofleet ./gofleet
# Reinstalled, because uv would otherwise use a cached wheel while pyproject.toml is unchanged.
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --reinstall-package gofleet \
    --no-install-package polyfactory --no-install-package faker


FROM ${PYTHON_IMAGE}

RUN groupadd --gid 10001 gofleet \
    && useradd --uid 10001 --gid gofleet --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin gofleet \
    && find "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" /usr/local/bin -depth \
       \( -name ensurepip -o -name pip -o -name 'pip-*' -o -name 'pip[0-9]*' \) -exec rm -rf {} +

COPY --from=builder /opt/gofleet /opt/gofleet

# Neither slim images nor uv include bytecode, and a read-only container cannot store any: each start, and each health
# check, would compile all its imports again. So everything GoFleet imports is imported once here; bytecode of all
# packages would add 25 MB.
RUN /opt/gofleet/bin/python -c "import importlib, pkgutil, gofleet; \
[importlib.import_module(one.name) for one in pkgutil.walk_packages(gofleet.__path__, 'gofleet.') if one.name[-8:] != '__main__']; \
import httpx, opentelemetry.exporter.otlp.proto.grpc.trace_exporter"

# METRICS_PORT is set so that it never moves: the health check and Prometheus use it.
ENV PATH=/opt/gofleet/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    METRICS_PORT=2112

# Numeric, so that Kubernetes can verify that it is not root.
USER 10001:10001
EXPOSE 8000 50051 2112
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 CMD ["gofleet", "health"]
ENTRYPOINT ["gofleet"]
CMD ["--help"]

ARG PYTHON_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="GoFleet" \
      org.opencontainers.image.description="A delivery-dispatch engine: REST orders, each assigned the nearest free driver." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
