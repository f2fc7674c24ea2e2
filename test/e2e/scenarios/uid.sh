# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# A webhook chooses the user and the group of all pods, and refuses pods that choose their own, as OpenShift does.
scenario_uid() {
  local users start values=("${image[@]}" "${existing[@]}")
  namespace uid
  backing
  webhook uid
  "$helm" install us "$chart" --namespace "$ns" "${values[@]}" >/dev/null || fail "helm install"
  start=$SECONDS
  until k get events --field-selector reason=FailedCreate | grep -q 'not an allowed group'; do
    [ -z "$(api_pods)" ] || fail "a pod that chooses its user is created"
    [ $((SECONDS - start)) -lt 60 ] || fail "no pod is refused"
    sleep 0.5
  done
  upgrade "${values[@]}" --set podSecurityContext.runAsUser=null --set podSecurityContext.runAsGroup=null \
    --set podSecurityContext.fsGroup=null
  k wait --for=condition=Complete jobs --all --timeout 1m >/dev/null || fail "the Job does not complete"
  use_it
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test"
  users=$(k get pods --selector app.kubernetes.io/instance=us \
    --output jsonpath='{.items[*].spec.containers[*].securityContext.runAsUser} {.items[*].spec.securityContext.runAsUser}')
  [ "$(tr ' ' '\n' <<<"$users" | sort -u | xargs)" = 1000680000 ] || fail "the users of the pods are: $users"
  say "uid: pods with the chart's user are refused; without a user in the values, all run as the user of the namespace"
}
