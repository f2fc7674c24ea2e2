# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Upgrades the previous release to this version, and rolls it back.
scenario_upgrade() {
  local values=("${existing[@]}" "${unlimited[@]}") from body token
  from=$(predecessor)
  namespace upgrade
  backing durable
  install_predecessor "$from" "${values[@]}"
  body='{"email": "upgrade@example.com", "password": "'$(openssl rand -base64 18)'"}'
  curl --fail --silent --show-error --json "$body" "$(address)/register" >/dev/null || fail "registration fails at $from"
  token=$(curl --fail --silent --show-error --json "$body" "$(address)/login" | jq -r .access_token)

  start_load
  upgrade "${image[@]}" "${values[@]}"
  stop_load "upgrade from $from"
  [ "$(running)" = user-service:e2e-1 ] || fail "the release is not upgraded"
  still_there "$token" "$body"

  start_load
  "$helm" rollback us 1 --namespace "$ns" --wait --timeout 4m >/dev/null || fail "the rollback to $from fails"
  stop_load "rollback to $from"
  still_there "$token" "$body"
}

# predecessor: prints the last release before this commit. Before the first release, it prints the commit before this one.
predecessor() {
  if [ -n "${E2E_FROM-}" ]; then
    echo "$E2E_FROM"
  else
    git -C "$root" describe --tags --abbrev=0 --match 'v[0-9]*.[0-9]*.[0-9]*' HEAD^ 2>/dev/null || git -C "$root" rev-parse --short HEAD^
  fi
}

# install_predecessor RELEASE|COMMIT FLAG…: installs a release from its registry, or a commit from the history.
install_predecessor() {
  local from=$1 old
  shift
  if [[ $from == v*.*.* ]]; then
    old=("${E2E_CHARTS-oci://ghcr.io/user-service/charts}/user-service" --version "${from#v}")
  else
    mkdir -p "$scratch/old"
    git -C "$root" archive "$from" | tar -x -C "$scratch/old"
    build_image "$scratch/old" user-service:e2e-0 "$scratch/0.tar"
    load_image "$scratch/0.tar"
    old=("$scratch/old/charts/user-service" --set image.repository=user-service --set image.tag=e2e-0)
  fi
  "$helm" install us "${old[@]}" --namespace "$ns" --wait --timeout 4m "$@" >/dev/null || fail "the installation of $from fails"
  say "upgrade: $from is installed"
}

# still_there TOKEN BODY: checks that a token and an account of the previous version still work.
still_there() {
  curl --fail --silent --show-error --header "Authorization: Bearer $1" "$(address)/users/me" >/dev/null ||
    fail "a token of the previous version is rejected"
  curl --fail --silent --show-error --json "$2" "$(address)/login" >/dev/null || fail "an account of the previous version cannot log in"
}
