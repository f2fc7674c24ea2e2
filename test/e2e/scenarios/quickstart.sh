# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# One command on an empty cluster, in a namespace that enforces Pod Security restricted.
scenario_quickstart() {
  local start=$SECONDS kept before
  namespace quickstart
  install "${image[@]}" "${quick[@]}" --set admin.email=admin@example.com
  say "quickstart: installed in $((SECONDS - start)) s"
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test"
  use_it
  admin_logs_in
  say "quickstart: helm test passes; register and login work, of the first admin too"

  before=$(generated)
  for _ in 1 2; do upgrade --reuse-values; done
  [ "$(generated)" = "$before" ] || fail "an upgrade changed a generated secret"
  say "quickstart: two upgrades left the generated secrets alone"

  kept=secret/us-user-service-admin$'\n'secret/us-user-service-jwt
  before=$(generated -admin -jwt)
  "$helm" uninstall us --namespace "$ns" --wait --timeout 2m >/dev/null
  left "$kept"
  say "quickstart: uninstall leaves the kept Secrets and nothing else"
  install "${image[@]}" "${quick[@]}" --set admin.email=admin@example.com
  [ "$(generated -admin -jwt)" = "$before" ] || fail "a new installation does not take up the kept Secrets"
  use_it
  say "quickstart: a new installation takes up the kept Secrets"
}

# admin_logs_in: with the email and the password of the Secret.
admin_logs_in() {
  k get secret us-user-service-admin --output json | jq '.data | map_values(@base64d) | {email, password}' |
    curl --fail --silent --show-error --json @- --output "$scratch/answer" "$(address)/login" || fail "the first admin can't log in"
}

# generated [SUFFIX...]: prints the content of these Secrets; by default, of all that the chart generates.
generated() {
  local suffix
  [ $# -gt 0 ] || set -- -admin -jwt -database -rabbitmq
  for suffix; do k get secret "us-user-service$suffix" --output jsonpath='{.data}' || fail "the Secret us-user-service$suffix is gone"; done
}
