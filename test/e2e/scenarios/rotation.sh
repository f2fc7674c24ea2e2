# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Accepts the new secret, signs with it, and removes the old secret, while tokens of both are in use.
scenario_rotation() {
  local old new before
  namespace rotation
  backing
  install "${image[@]}" "${existing[@]}" "${unlimited[@]}"
  before=$(restarts)
  old=$(k get secret keys --output jsonpath='{.data.jwt-secret}' | base64 -d) new=$(openssl rand -base64 48)
  start_load
  keys "$old" "$new"
  keys "$new" "$old"
  stop_load "rotation of the JWT Secret"
  start_load # with tokens signed by the new secret
  keys "$new" ""
  stop_load "retirement of the old JWT Secret"
  [ "$(restarts)" = "$before" ] || fail "the pods were restarted: $(restarts)"
  say "rotation: without a restart"
}

# keys SECRET ACCEPTED: writes the Secret and waits until the pods use it.
keys() {
  k create secret generic keys --from-literal=jwt-secret="$1" --from-literal=accepted="$2" --dry-run=client --output yaml |
    k replace -f - >/dev/null
  sleep "${E2E_SECRET_SECONDS-150}"
}

restarts() {
  k get pods --selector app.kubernetes.io/component=api \
    --output jsonpath='{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{"\n"}{end}'
}
