# Knurl in a container: one static program, a user without rights, nothing else. docs/guide/containers.md
#
#   docker build -t knurl .                                from these sources, in a Rust image
#   docker build -t knurl --build-arg SOURCE=prebuilt .    from dist/, which scripts/image.sh fills with a binary it has built here
#
# Needs BuildKit (it builds the stages that are asked for, and no others). A digest belongs behind each tag where a registry can be asked:
# `docker buildx imagetools inspect rust:1.95-bookworm` tells it.
ARG SOURCE=build

# -- From the sources. glibc, linked in: a target with musl would need a std of its own, and its allocator is not ours anyway. Names are
# resolved by the two ways that are built in (files, DNS); others (LDAP, mDNS) would want libraries that are not there.
FROM rust:1.95-bookworm AS build
WORKDIR /src
# What the binary is made of is written into it (section .dep-v0), where scanners look: `syft`, `trivy` and `grype` read it from the image.
RUN cargo install --locked cargo-auditable@0.7.7
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
COPY crates crates
COPY config config
COPY deploy deploy
RUN RUSTFLAGS="-C target-feature=+crt-static" \
    cargo auditable build --release --locked --bin knurl --package knurl --target "$(rustc --print host-tuple)"
RUN mkdir -p /out/root/etc/ssl/certs /out/data && \
    strip --strip-debug -o /out/root/knurl target/*/release/knurl && \
    cp /etc/ssl/certs/ca-certificates.crt /out/root/etc/ssl/certs/ && \
    echo 'knurl:x:65532:65532:Knurl:/data:/sbin/nologin' >/out/root/etc/passwd && \
    echo 'knurl:x:65532:' >/out/root/etc/group

# -- From what was built before.
FROM scratch AS prebuilt
COPY dist/ /out/

FROM ${SOURCE} AS source

# -- What is shipped: /knurl, the authorities that TLS to a database may ask for, an empty directory for data.
FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Knurl" \
      org.opencontainers.image.description="A URL shortener that does not slip" \
      org.opencontainers.image.url="https://github.com/knurl/knurl" \
      org.opencontainers.image.source="https://github.com/knurl/knurl" \
      org.opencontainers.image.documentation="https://github.com/knurl/knurl/blob/main/docs/guide/containers.md" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=source /out/root/ /
COPY --from=source --chown=65532:65532 /out/data/ /data/
USER 65532:65532
ENV KNURL_DATA_DIR=/data \
    KNURL_LISTEN=0.0.0.0:8080 \
    KNURL_METRICS_LISTEN=0.0.0.0:9091 \
    KNURL_LOG_FORMAT=json
VOLUME ["/data"]
EXPOSE 8080 9091
# SIGTERM, twice the time that a stop may take by default: `docker stop` itself waits for 10 s only, the compose files say more.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=4s --start-period=60s --retries=3 CMD ["/knurl", "health"]
ENTRYPOINT ["/knurl"]
CMD ["serve"]
