# One image for all processes: `docker run gopher gopherctl web`, `... worker`, `... scheduler`.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/gopher
WORKDIR /build
# The pinned dependencies first, of which each file has to have its hash: they change less often than the code, so this layer is cached.
COPY deploy/requirements.hashed.txt .
RUN /opt/gopher/bin/pip install --require-hashes --requirement requirements.hashed.txt
COPY . .
# Not editable: the final image does not contain the checkout, nor what has built it.
RUN /opt/gopher/bin/pip install --no-deps --no-build-isolation . && /opt/gopher/bin/pip uninstall --yes setuptools

FROM python:3.12-slim
# Clusters that choose a user themselves (OpenShift) give it the group 0.
RUN useradd --no-log-init --uid 10001 --no-create-home --home-dir /var/lib/gopher --shell /usr/sbin/nologin gopher \
    && install --directory --owner gopher --group root --mode 770 /var/lib/gopher /var/lib/gopher/files /run/gopher
COPY --from=build /opt/gopher /opt/gopher
ENV PATH=/opt/gopher/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOME=/var/lib/gopher \
    SERVER_HOST=0.0.0.0 \
    GOPHER_FILES=/var/lib/gopher/files \
    LOG_FORMAT=json
# Numeric, so that platforms can verify that it is not root.
USER 10001
WORKDIR /var/lib/gopher
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["gopherctl", "health"]
CMD ["gopherctl", "web"]
