# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# An upgrade whose migration fails.
scenario_failing() {
  local values=("${image[@]}" "${existing[@]}" "${unlimited[@]}" --set progressDeadlineSeconds=45) undo=--rollback-on-failure start
  case $("$helm" version --short) in v3*) undo=--atomic ;; esac
  namespace failing
  backing
  install "${values[@]}"
  start_load
  start=$SECONDS
  if "$helm" upgrade us "$chart" --namespace "$ns" --wait "$undo" --timeout 90s "${values[@]}" --set image.tag=e2e-3 >/dev/null 2>&1; then
    fail "an upgrade whose migration fails succeeds"
  fi
  stop_load "an upgrade whose migration fails, and is undone after $((SECONDS - start)) s"
  [ "$(running)" = user-service:e2e-1 ] || fail "the release is not rolled back"
  k rollout status deployment/us-user-service --timeout 1m >/dev/null || fail "the rollback does not end"
  [ "$("$helm" status us --namespace "$ns" --output json | jq -r .info.status)" = deployed ] || fail "the release is not deployed"
  say "failing: the release failed and was rolled back automatically"
}
