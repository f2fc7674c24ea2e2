# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Whatever is planned fails no request.
scenario_zerodowntime() {
  local values=("${image[@]}" "${existing[@]}" "${unlimited[@]}" --set podDisruptionBudget.enabled=true)
  namespace zerodowntime
  backing
  install "${values[@]}"

  start_load
  upgrade "${values[@]}" --set image.tag=e2e-2
  stop_load "upgrade to a new image and a new migration"

  start_load
  k rollout restart deployment/us-user-service >/dev/null
  k rollout status deployment/us-user-service --timeout 3m >/dev/null || fail "rollout restart"
  stop_load "rollout restart"

  start_load
  evict "$(api_pods | head -1)"
  k rollout status deployment/us-user-service --timeout 2m >/dev/null || fail "no pod in place of the evicted one"
  stop_load "eviction of a pod, as a drain does it"

  upgrade "${values[@]}" --set image.tag=e2e-2 --set replicaCount=3
  start_load
  upgrade "${values[@]}" --set image.tag=e2e-2 --set replicaCount=1
  until [ "$(api_pods | wc -l)" = 1 ]; do sleep 1; done
  stop_load "scale from 3 to 1"

  start_load
  "$helm" rollback us 1 --namespace "$ns" --wait --timeout 4m >/dev/null || fail "rollback to the image before, on a newer schema"
  stop_load "rollback to the image before, on the newer schema"
  [ "$(running)" = user-service:e2e-1 ] || fail "the release is not rolled back"
  use_it
}

running() { k get deployment us-user-service --output jsonpath='{.spec.template.spec.containers[0].image}'; }

# evict POD: what kubectl drain asks for, which a PodDisruptionBudget may refuse.
evict() {
  local pod=${1#pod/}
  printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s","namespace":"%s"}}' "$pod" "$ns" |
    kubectl create --raw "/api/v1/namespaces/$ns/pods/$pod/eviction" -f - >/dev/null || fail "the eviction is refused"
  k wait --for=delete "pod/$pod" --timeout 90s >/dev/null || fail "the evicted pod does not end"
}
