# One image for all processes: `docker run gopher gopherctl web`, `... worker`, `... scheduler`.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/gopher
WORKDIR /build
# The pinned dependencies first: they change less often than the code, so this layer is cached.
COPY requirements.txt .
RUN sed '/^--editable/d' requirements.txt > pins.txt && /opt/gopher/bin/pip install -r pins.txt
COPY . .
# Not editable: the final image does not contain the checkout.
RUN sed -i 's/^#: //' pins.txt && PIP_BUILD_CONSTRAINT=pins.txt PIP_CONSTRAINT=pins.txt /opt/gopher/bin/pip install --no-deps .

FROM python:3.12-slim
RUN useradd --system --create-home --home-dir /var/lib/gopher --uid 10001 gopher \
    && install --directory --owner gopher --group gopher /var/lib/gopher/files
COPY --from=build /opt/gopher /opt/gopher
ENV PATH=/opt/gopher/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    SERVER_HOST=0.0.0.0 \
    GOPHER_FILES=/var/lib/gopher/files \
    LOG_FORMAT=json
# Numeric, so that platforms can verify that it is not root.
USER 10001
WORKDIR /var/lib/gopher
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s CMD ["gopherctl", "health"]
CMD ["gopherctl", "web"]
