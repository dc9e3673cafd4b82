# The server of docs/serving.md, on the CPU:
#   docker build -t xdecoder .
#   docker run --rm -p 127.0.0.1:8000:8000 xdecoder --open-to-all
FROM python:3.12-slim AS build
WORKDIR /build
RUN python -m venv /opt/xdecoder
ENV PATH=/opt/xdecoder/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY constraints.txt .
RUN pip install torch -c constraints.txt --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install '.[serve]' -c constraints.txt

FROM python:3.12-slim
RUN useradd --create-home --uid 1000 xdecoder \
    && install -d -o xdecoder -g xdecoder /index /cache
COPY --from=build /opt/xdecoder /opt/xdecoder
ENV PATH=/opt/xdecoder/bin:$PATH XDECODER_CACHE=/cache PYTHONUNBUFFERED=1
USER 1000:1000
WORKDIR /home/xdecoder
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["xdecoder", "serve", "--host", "0.0.0.0"]
CMD ["--token-file", "/run/secrets/token"]
