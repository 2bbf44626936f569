# One image for every process; compose.yaml says which is which.
FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --require-hashes -r requirements.txt

RUN useradd --system --create-home --uid 10001 r3al && mkdir /app/var && chown r3al:r3al /app/var
COPY --chown=root:root . .
USER r3al
# Static files belong to the image; the secrets that an embedded start makes up do not.
RUN python manage.py collectstatic --noinput --verbosity 0 && rm -f var/secret-key var/salt var/master-key

EXPOSE 8000
HEALTHCHECK --start-period=20s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=3)"]
CMD ["granian", "--interface", "rsgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--no-ws", "--log-level", "warning", "r3al_project.rsgi:application"]
