# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# The HorizontalPodAutoscaler scales by the values of metrics-server.
scenario_autoscaling() {
  local start ready
  namespace autoscaling
  backing
  install "${image[@]}" "${existing[@]}" "${unlimited[@]}" \
    --set autoscaling.enabled=true --set autoscaling.minReplicas=1 --set autoscaling.maxReplicas=3 --set resources.requests.cpu=20m
  [ "$(ready_pods)" = 1 ] || fail "there are $(ready_pods) pods at the start"
  start=$SECONDS
  start_load
  until [ "$(ready_pods)" -gt 1 ]; do
    [ $((SECONDS - start)) -lt 240 ] || fail "the deployment does not scale out: $(k get hpa)"
    sleep 2
  done
  stop_load "scaled out after $((SECONDS - start)) s under load, by $(
    k get hpa us-user-service --output jsonpath='{.status.currentMetrics[0].resource.current.averageUtilization}'
  ) % of the request"
  ready=$(k get deployment us-user-service --output jsonpath='{.spec.replicas}')
  upgrade --reuse-values --set image.tag=e2e-2
  [ "$(k get deployment us-user-service --output jsonpath='{.spec.replicas}')" -ge "$ready" ] || fail "an upgrade resets the number of pods"
  say "autoscaling: an upgrade keeps the number of pods"
}

ready_pods() { k get deployment us-user-service --output jsonpath='{.status.readyReplicas}'; }
