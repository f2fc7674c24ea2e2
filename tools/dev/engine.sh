# shellcheck shell=bash disable=SC2034 # the scripts that source this file use "engine"
# Finds the container engine: docker, or podman if docker is missing. Sets "engine" to the name of the program, and the variables that
# make kind and Tilt use podman. Tilt builds images with the API of Docker; podman lacks its BuildKit part.
engine=docker
if ! command -v docker >/dev/null || docker --version 2>/dev/null | grep -qi podman; then
  if command -v podman >/dev/null; then
    engine=podman
    export KIND_EXPERIMENTAL_PROVIDER=podman DOCKER_BUILDKIT=0
    if [ -z "${DOCKER_HOST-}" ]; then
      # On a Mac, the engine runs in a virtual machine, and its socket here has another path.
      DOCKER_HOST=$(podman machine inspect --format '{{.ConnectionInfo.PodmanSocket.Path}}' 2>/dev/null) || true
      [ -n "$DOCKER_HOST" ] || DOCKER_HOST=$(podman info --format '{{.Host.RemoteSocket.Path}}' 2>/dev/null) || true
      export DOCKER_HOST=unix://"${DOCKER_HOST#unix://}"
    fi
  fi
fi
