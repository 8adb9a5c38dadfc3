# The service on the shipped model: small, not root, nothing written, nothing downloaded when it starts.
#
# It has no torch: the shipped model has ONNX graphs, and captioner export adds them to others.
FROM python:3.11-slim AS build
ARG PIP_INDEX_URL
WORKDIR /app
COPY requirements-serve.txt .
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir -r requirements-serve.txt
COPY captioner captioner
COPY service service
RUN python -m compileall -q captioner service

FROM python:3.11-slim
COPY --from=build /venv /venv
COPY --from=build /app/captioner /app/captioner
COPY --from=build /app/service /app/service
WORKDIR /app
USER 10001:10001
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 HOME=/tmp CAPTIONER_LOG_FORMAT=json
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=1s \
    CMD ["python", "-I", "-S", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
CMD ["python", "-m", "service", "--host", "0.0.0.0", "--port", "8000"]
