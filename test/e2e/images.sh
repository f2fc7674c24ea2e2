# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# The images of the scenarios: this version, and two later versions.

build_image() { # DIRECTORY TAG ARCHIVE
  if [ -n "${E2E_BUILD_IMAGE-}" ]; then
    "$E2E_BUILD_IMAGE" "$@" >"$scratch/build.log" 2>&1
  else
    { docker build --tag "$2" "$1" && docker save --output "$3" "$2"; } >"$scratch/build.log" 2>&1
  fi || { tail -20 "$scratch/build.log" >&2 && fail "the image $2 is not built"; }
}

load_image() { # ARCHIVE
  if [ -n "${E2E_LOAD_IMAGE-}" ]; then
    "$E2E_LOAD_IMAGE" "$1" >"$scratch/build.log" 2>&1
  else
    kind load image-archive --name user-service-e2e "$1" >"$scratch/build.log" 2>&1
  fi || { tail -20 "$scratch/build.log" >&2 && fail "the image $1 cannot be loaded into the nodes"; }
}

# images: builds this version, a version with one more migration, and a version with a failing migration.
images() {
  say "building the image"
  build_image "$root" user-service:e2e-1 "$scratch/1.tar"
  load_image "$scratch/1.tar"
  say "the image has $(($(stat -c %s "$scratch/1.tar") >> 20)) MiB"
  later 2 'CREATE TABLE e2e_later (id bigint PRIMARY KEY);'
  later 3 'SELECT 1 / 0;'
}

# later N SQL: builds the image user-service:e2e-N, with one more migration than this version.
later() {
  local dir=$scratch/later-$1
  mkdir -p "$dir"
  cp -r "$root"/{go.mod,go.sum,api,cmd,migrations,pkg} "$dir"
  printf -- '-- +goose Up\n%s\n\n-- +goose Down\nSELECT 1;\n' "$2" >"$dir/migrations/000$((90 + $1))_e2e.sql"
  (cd "$dir" && CGO_ENABLED=0 go build -tags grpcnotrace -trimpath -buildvcs=false \
    -ldflags "-s -w -X main.version=e2e-$1" -o "$dir/image/user-service" ./cmd/user-service)
  cat >"$dir/image/Dockerfile" <<'EOT'
FROM gcr.io/distroless/static-debian13:nonroot
COPY user-service /user-service
USER 65532:65532
ENTRYPOINT ["/user-service"]
CMD ["serve"]
EOT
  build_image "$dir/image" "user-service:e2e-$1" "$scratch/$1.tar"
  load_image "$scratch/$1.tar"
  say "image e2e-$1 is loaded"
}

# program NAME: builds the program test/e2e/NAME, and its image user-service:e2e-NAME.
program() {
  local dir=$scratch/$1
  mkdir -p "$dir"
  CGO_ENABLED=0 go build -C "$root" -o "$dir/program" "./test/e2e/$1"
  cat >"$dir/Dockerfile" <<'EOT'
FROM gcr.io/distroless/static-debian13:nonroot
COPY program /program
USER 65532:65532
ENTRYPOINT ["/program"]
EOT
  build_image "$dir" "user-service:e2e-$1" "$scratch/$1.tar"
  load_image "$scratch/$1.tar"
}
