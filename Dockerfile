# syntax=docker/dockerfile:1
# Siger as an image.  The first stage has a compiler and builds wheels, the second installs them and nothing else.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# There is a compiler, so that the hot modules not being compiled would be a mistake: let it be an error.
RUN SIGER_COMPILE=1 pip wheel --no-cache-dir --wheel-dir /wheels ".[embedded]"

FROM python:${PYTHON}-slim-bookworm
RUN useradd --system --no-create-home --home-dir /var/lib/siger --shell /usr/sbin/nologin siger \
 && install --directory --owner=siger --group=siger /etc/siger /var/lib/siger
# The second command writes Twisted's plugin cache while that is still allowed: without it every start of an ordinary
# user reads all plugins anew, and says that it could not write the cache.
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --root-user-action=ignore --no-index --find-links=/wheels "siger[embedded]" \
 && python -c "from twisted.plugin import IPlugin, getPlugins; list(getPlugins(IPlugin))"

USER siger
WORKDIR /var/lib/siger
EXPOSE 8080
STOPSIGNAL SIGTERM
# Where the configuration moves the port, move this too: docker run --env HEALTH_URL=http://127.0.0.1:9090/livez
ENV HEALTH_URL=http://127.0.0.1:8080/livez
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['HEALTH_URL'], timeout=2)"]
ENTRYPOINT ["twistd", "-n", "--pidfile=", "siger"]
CMD ["--config", "/etc/siger/config.yaml"]
