# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Pods try to connect, to check that the NetworkPolicies allow only the required connections.
scenario_networkpolicy() {
  local api=https://kubernetes.default.svc http=http://us-user-service metrics=http://us-user-service-metrics:9090/metrics
  local database=http://us-user-service-postgresql:5432 broker=http://us-user-service-rabbitmq:5672
  # Port 53 of other pods would let data leave the cluster. The DNS pods have other ports too.
  local port53 dns_ip dns_metrics
  namespace networkpolicy
  k apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Pod
metadata: {name: port53, labels: {app: port53}}
spec:
  automountServiceAccountToken: false
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    seccompProfile: {type: RuntimeDefault}
    sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]
  containers:
    - name: port53
      image: user-service:e2e-1
      args: [serve]
      env:
        - {name: HTTP_ADDR, value: ":53"}
        - {name: DATABASE_URL, value: postgres://nobody@nowhere.invalid/nothing}
        - {name: RABBITMQ_HOST, value: nowhere.invalid}
        - {name: RABBITMQ_PORT, value: "5672"}
        - {name: RABBITMQ_USER, value: nobody}
        - {name: RABBITMQ_PASS, value: nobody}
        - {name: JWT_SECRET, value: "$(openssl rand -base64 48)"}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
EOT
  k wait --for=condition=Ready pod/port53 --timeout 1m >/dev/null || fail "nothing listens on port 53"
  port53=http://$(k get pod port53 --output jsonpath='{.status.podIP}'):53/healthz
  dns_ip=$(kubectl --namespace kube-system get pods --selector k8s-app=kube-dns --output jsonpath='{.items[0].status.podIP}')
  dns_metrics=http://$dns_ip:9153/metrics
  install "${image[@]}" "${quick[@]}" --set networkPolicy.enabled=true
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test"
  use_it

  reaches stranger "$http/readyz" "$api" "$port53" "$dns_metrics"
  refused stranger "$metrics" "$database" "$broker"
  say "networkpolicy: any pod reaches the API, but not metrics, database or broker"
  reaches api "$database" "$broker"
  refused api "$api" "$metrics" "$port53" "$dns_metrics"
  reaches migration "$database"
  refused migration "$broker" "$http/readyz" "$api" "$port53" "$dns_metrics"
  reaches test "$http/readyz" "$metrics" "$database" "$broker" # the last two for user-service doctor
  refused test "$api" "$port53"
  refused postgresql "$http/readyz" "$broker" "$api"
  say "networkpolicy: the service reaches database and broker, the migration the database, helm test all three"
  say "networkpolicy: in addition, they reach only DNS"

  upgrade --reuse-values --set 'networkPolicy.from[0].podSelector.matchLabels.app\.kubernetes\.io/component=gateway' \
    --set 'networkPolicy.metricsFrom[0].podSelector.matchLabels.app\.kubernetes\.io/component=prometheus'
  reaches gateway "$http/readyz"
  refused gateway "$metrics"
  reaches prometheus "$metrics"
  refused prometheus "$http/readyz"
  refused stranger "$http/readyz" "$metrics"
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test, with networkPolicy.from"
  say "networkpolicy: from and metricsFrom allow the named peers, and helm test"
}

# reaches COMPONENT URL...
reaches() {
  local found
  try "$@"
  # Each of these patterns shows an answer. The database and the broker do not speak HTTP, and the pod does not trust the API
  # server's certificate.
  while read -r found; do
    grep -qE 'answers|EOF|malformed|reset by peer|x509|: [1-5][0-9]{2} ' <<<"$found" || fail "$1 does not reach one: $found"
  done <"$scratch/found"
}

# refused COMPONENT URL...
refused() {
  local found
  try "$@"
  while read -r found; do
    grep -qE 'deadline exceeded|timeout|refused' <<<"$found" || fail "$1 reaches one: $found"
  done <"$scratch/found"
}

# try COMPONENT URL...: starts a pod that requests the URLs, and prints one line for each. The pod has the labels of the component,
# but is never ready, so the Service sends no requests to it. Its first container waits until the policies apply to the pod.
try() {
  local n=0 url common='image: user-service:e2e-1, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}'
  {
    cat <<EOT
apiVersion: v1
kind: Pod
metadata:
  name: try
  labels: {app.kubernetes.io/name: user-service, app.kubernetes.io/instance: us, app.kubernetes.io/component: $1}
spec:
  restartPolicy: Never
  readinessGates: [{conditionType: example.com/never}]
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  initContainers:
    - {name: wait, args: [version], $common}
  containers:
EOT
    for url in "${@:2}"; do
      echo "    - {name: url-$((++n)), args: [probe, --timeout=6s, \"$url\"], $common}"
    done
  } >"$scratch/pod.yaml"
  k apply -f "$scratch/pod.yaml" >/dev/null
  until k get pod try --output jsonpath='{.status.phase}' | grep -qE 'Succeeded|Failed'; do sleep 0.5; done
  for ((; n > 0; n--)); do k logs try --container "url-$n"; done >"$scratch/found"
  [ "$(wc -l <"$scratch/found")" = $(($# - 1)) ] || fail "the pod printed: $(cat "$scratch/found")"
  k delete pod try --wait --now >/dev/null
}
