# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Installs with existing Secrets in the form of CloudNativePG and the RabbitMQ operator.
scenario_existing() {
  local before
  namespace existing
  backing
  before=$(objects)
  install "${image[@]}" "${existing[@]}"
  use_it
  say "existing: works with Secrets as CloudNativePG and the RabbitMQ operator write them"
  "$helm" uninstall us --namespace "$ns" --wait --timeout 2m >/dev/null
  left "$before"
  say "existing: uninstall leaves nothing"
}
