# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Two releases in one namespace, each with its own servers, do not affect each other.
scenario_releases() {
  local release=us body kept before
  namespace releases
  install "${image[@]}" "${quick[@]}" --set networkPolicy.enabled=true --set replicaCount=1
  before=$(objects)
  release=them
  install "${image[@]}" "${quick[@]}" --set networkPolicy.enabled=true --set replicaCount=1
  release=us
  reaches api http://us-user-service-postgresql:5432 http://us-user-service-rabbitmq:5672
  refused api http://them-user-service-postgresql:5432 http://them-user-service-rabbitmq:5672
  for release in us them; do
    "$helm" test "$release" --namespace "$ns" --timeout 2m >/dev/null || fail "helm test $release"
    use_it
  done
  release=us
  body='{"email": "releases@example.com", "password": "'$(openssl rand -base64 18)'"}'
  curl --fail --silent --show-error --json "$body" "$(address)/register" >/dev/null || fail "registration fails"
  [ "$(release=them && curl --silent --json "$body" --output /dev/null --write-out '%{http_code}' "$(address)/login")" = 401 ] ||
    fail "an account of one release works at the other"
  say "releases: two releases work in one namespace, and neither reaches the servers of the other"

  "$helm" uninstall them --namespace "$ns" --wait --timeout 2m >/dev/null
  kept=secret/them-user-service-jwt
  release=them left "$(sort <<<"$before"$'\n'"$kept"$'\n'"service/e2e-node-us")"
  curl --fail --silent --show-error --json "$body" "$(address)/login" >/dev/null ||
    fail "an account is lost when the other release is uninstalled"
  say "releases: one release works after the other is uninstalled"
}
