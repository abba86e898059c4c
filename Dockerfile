# The server alone, as a user without rights.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY benches benches
COPY tests tests
# Compressed, the lines that a backtrace names take a third of the room.
RUN cargo build --release --locked --bin tributary \
    && objcopy --compress-debug-sections=zlib target/release/tributary

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /data --create-home tributary
COPY --from=build /src/target/release/tributary /usr/local/bin/tributary
USER tributary
ENV TRIBUTARY_DATA=/data TRIBUTARY_LISTEN=0.0.0.0:5433
VOLUME /data
EXPOSE 5433
ENTRYPOINT ["tributary"]
CMD ["serve"]
