# Carillon in a small image: docker build -t carillon . && docker run -p 8000:8000 carillon
# Configure it with a file (mount it and add --config FILE) or with CARILLON_... variables.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev make cmake pkgconf libwebsockets-dev libuv1-dev libjansson-dev libsodium-dev \
        libssl-dev libhiredis-dev nodejs npm ca-certificates
WORKDIR /src
# The demo page's SDK changes less often than the sources.
COPY web-demo/package.json web-demo/package-lock.json web-demo/
RUN cd web-demo && npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN cmake -B build -DBUILD_TESTING=OFF -DCMAKE_INSTALL_PREFIX=/usr/local && \
    cmake --build build --parallel && \
    cmake --install build --prefix /out/usr/local --strip

FROM ${BASE}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libwebsockets19t64 libwebsockets-evlib-uv libuv1t64 libjansson4 libsodium23 libssl3t64 \
        libhiredis1.1.0 ca-certificates && \
    rm -rf /var/lib/apt/lists/* && \
    useradd --system --uid 8000 --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin carillon
COPY --from=build /out /
USER carillon
ENV CARILLON_HEALTH_ENABLED=true
EXPOSE 8000
# SIGTERM drains; give it longer than shutdown.timeout (docker stop -t).
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["carillon", "health", "http://127.0.0.1:8000/health"]
ENTRYPOINT ["carillon"]
CMD ["serve"]
