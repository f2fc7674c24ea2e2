# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Planned changes fail no request.
scenario_zerodowntime() {
  local pods answer values=("${image[@]}" "${existing[@]}" "${unlimited[@]}" --set podDisruptionBudget.enabled=true)
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
  mapfile -t pods < <(api_pods)
  evict "${pods[0]}" >/dev/null || fail "the eviction of a pod is refused"
  answer=$(evict "${pods[1]}" 2>&1) && fail "the PodDisruptionBudget lets a second one go at the same time"
  [[ $answer == *"disruption budget"* ]] || fail "the second eviction is refused by: $answer"
  k wait --for=delete "${pods[0]}" --timeout 90s >/dev/null || fail "the evicted pod does not end"
  k rollout status deployment/us-user-service --timeout 2m >/dev/null || fail "no pod in place of the evicted one"
  stop_load "eviction of a pod, as a drain does it"

  upgrade "${values[@]}" --set image.tag=e2e-2 --set replicaCount=3
  start_load
  upgrade "${values[@]}" --set image.tag=e2e-2 --set replicaCount=1
  stop_load "scale from 3 to 1"

  start_load
  "$helm" rollback us 1 --namespace "$ns" --wait --timeout 4m >/dev/null || fail "rollback to the image before, on a newer schema"
  stop_load "rollback to the image before, on the newer schema"
  [ "$(running)" = user-service:e2e-1 ] || fail "the release is not rolled back"
  use_it
}

running() { k get deployment us-user-service --output jsonpath='{.spec.template.spec.containers[0].image}'; }

# evict POD: sends the request of kubectl drain.
evict() {
  local pod=${1#pod/}
  printf '{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"%s","namespace":"%s"}}' "$pod" "$ns" |
    kubectl create --raw "/api/v1/namespaces/$ns/pods/$pod/eviction" -f -
}
