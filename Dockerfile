# One image for every process of the service; docker-compose.yml says which one a container runs.

# By digest, so that what was tested is what is built; the digest is that of the index of all platforms. A newer one:
# docker buildx imagetools inspect python:3.12-slim. From elsewhere: docker compose build --build-arg PYTHON_IMAGE=…
ARG PYTHON_IMAGE=python:3.12-slim@sha256:78387bc3881b8273120a12ebe6c1ab22b018ccc2c9adf565ae1ac9b536e184ea

FROM ${PYTHON_IMAGE} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements.txt .
# Wheels only: a package without one would need a compiler, and run its own code while it builds.
RUN /opt/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements.txt

FROM ${PYTHON_IMAGE} AS service
# Fixed numbers, so that a volume's owner stays the same over rebuilds.
RUN groupadd --gid 10001 smsapp && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin smsapp
COPY --from=packages /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOG_FORMAT=json
WORKDIR /app
COPY wsgi.py celeryconfig.py ./
COPY deploy/gunicorn.py deploy/
COPY migrations migrations
COPY worker worker
COPY smsapp smsapp
# By number: Kubernetes can tell only of a number that it is not root (runAsNonRoot).
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "gunicorn", "-c", "deploy/gunicorn.py", "wsgi:app"]

# Adds the local Twilio, for trying the service out. Not part of what runs in production.
FROM service AS simulator
COPY simulator simulator
EXPOSE 8900
CMD ["python", "-m", "simulator"]

# The last stage is what `docker build .` makes.
FROM service
