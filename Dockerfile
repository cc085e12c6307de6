# Packages are built in one stage and copied into the next, which has no compiler and no package cache.
FROM python:3.13-slim AS packages
WORKDIR /srv/gateway
COPY requirements.txt ./
RUN python3 -m venv .venv && .venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /srv/gateway gateway && install -d -m 0700 -o gateway /data
WORKDIR /srv/gateway
COPY --from=packages /srv/gateway/.venv ./.venv
COPY manage.py ./
COPY gateway_project ./gateway_project
COPY providers ./providers
COPY tenants ./tenants
COPY routing ./routing
RUN .venv/bin/python -m compileall -q gateway_project providers tenants routing
ENV PATH=/srv/gateway/.venv/bin:$PATH PYTHONUNBUFFERED=1 GATEWAY_DATA_DIR=/data SERVER_HOST=0.0.0.0 SERVER_PORT=8080
USER gateway
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SERVER_PORT'] + '/health', timeout=2)"]
STOPSIGNAL SIGTERM
# The second replaces the shell, so that signals reach it.
CMD ["sh", "-c", "python manage.py bootstrap --migrate && exec python manage.py serve"]
