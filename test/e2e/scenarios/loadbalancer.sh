# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# A Service of the type LoadBalancer does not show the metrics, and keeps the addresses of clients. The scenario does the work of the cloud:
# it gives the Service an address, which is that of the node.
scenario_loadbalancer() {
  local node ports ip body token
  node=$(node)
  namespace loadbalancer
  backing
  install "${image[@]}" "${existing[@]}" --set service.type=LoadBalancer &
  until k get service us-user-service >/dev/null 2>&1; do sleep 0.5; done
  k patch service us-user-service --subresource status --type merge \
    --patch '{"status": {"loadBalancer": {"ingress": [{"ip": "'"$node"'", "ipMode": "VIP"}]}}}' >/dev/null
  wait $! || fail "helm install"

  ports=$(k get services --selector app.kubernetes.io/instance=us \
    --output jsonpath='{range .items[*]}{.metadata.name} {.spec.type} {.spec.ports[*].port} {.spec.ports[*].nodePort}{"\n"}{end}')
  grep -qE '^us-user-service LoadBalancer 80 [0-9]+$' <<<"$ports" || fail "the Services are: $ports"
  grep -qE '^us-user-service-metrics ClusterIP 9090 *$' <<<"$ports" || fail "the Services are: $ports"
  curl --fail --silent --retry 30 --retry-delay 1 --retry-all-errors --output /dev/null "http://$node/readyz" ||
    fail "the load balancer does not answer at http://$node"
  if curl --silent --max-time 3 --output "$scratch/metrics" "http://$node:9090/metrics"; then fail "the load balancer shows the metrics"; fi
  k get --raw "/api/v1/namespaces/$ns/services/us-user-service-metrics:9090/proxy/metrics" | grep -q '^go_goroutines' ||
    fail "the Service of the metrics does not serve them"
  say "loadbalancer: port 80 answers at the load balancer's address, and 9090 does not"

  body='{"email": "loadbalancer@example.com", "password": "'$(openssl rand -base64 18)'"}'
  curl --fail --silent --show-error --json "$body" "http://$node/register" >/dev/null || fail "registration fails"
  token=$(curl --fail --silent --show-error --json "$body" "http://$node/login" | jq -r .access_token)
  ip=$(curl --fail --silent --show-error "http://$node/users/me/sessions" --header "Authorization: Bearer $token" | jq -r '.items[0].ip')
  case $ip in '' | "$node") fail "the service does not get the client's address: $ip" ;; esac
  say "loadbalancer: the service gets the client's address $ip"
}
