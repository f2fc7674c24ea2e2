# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Installs with kubectl apply, without Helm.
scenario_template() {
  local before
  namespace template
  backing
  before=$(objects)
  "$helm" template us "$chart" --namespace "$ns" "${image[@]}" "${existing[@]}" --set test.enabled=false >"$scratch/objects.yaml"
  k apply -f "$scratch/objects.yaml" >/dev/null
  k rollout status deployment/us-user-service --timeout 2m >/dev/null || fail "helm template | kubectl apply"
  use_it
  k apply -f "$scratch/objects.yaml" | grep -v unchanged && fail "a second kubectl apply changes something"
  say "template: helm template | kubectl apply becomes ready, and a second apply changes nothing"
  k delete --wait -f "$scratch/objects.yaml" >/dev/null
  left "$before"
  say "template: kubectl delete leaves nothing"
}
