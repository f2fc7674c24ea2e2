# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Functions for all scenarios. A scenario uses the namespace $ns and the release $release.

release=us

say() { printf '%4d s  %s\n' $((SECONDS - began)) "$*"; }

fail() {
  say "FAILED: $*"
  if [ -n "${ns-}" ]; then
    k get pods,jobs --output wide || true
    k get events --field-selector type=Warning | tail -10 || true
    k logs --selector app.kubernetes.io/component=api --prefix --tail 200 | grep -E '"level":"(WARN|ERROR)"' | tail -10 || true
  fi >&2
  exit 1
}

k() { kubectl --namespace "$ns" "$@"; }

# namespace NAME: creates a namespace that enforces Pod Security restricted.
namespace() {
  ns=e2e-$1-$$
  kubectl create namespace "$ns" >/dev/null
  made+=("$ns")
  kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted >/dev/null
}

# shellcheck disable=SC2034 # the scenarios use them
{
  image=(--set image.repository=user-service --set image.tag=e2e-1)
  quick=(--set quickstart.enabled=true --set "quickstart.postgresql.image=$postgres" --set "quickstart.rabbitmq.image=$rabbitmq")
  existing=(--set database.existingSecret=db-app --set rabbitmq.existingSecret=mq-default-user
    --set jwt.existingSecret=keys --set jwt.keys.acceptedSecrets=accepted)
  unlimited=(--set config.RATE_LIMIT_PER_MINUTE=0 --set config.ACCOUNT_RATE_LIMIT_PER_MINUTE=0) # because the load comes from one address
}

install() { # FLAG...
  "$helm" install "$release" "$chart" --namespace "$ns" --wait --timeout 2m "$@" >/dev/null || fail "helm install"
}

upgrade() { # FLAG...
  "$helm" upgrade "$release" "$chart" --namespace "$ns" --wait --timeout 4m "$@" >/dev/null || fail "helm upgrade $*"
}

# objects: prints the names of all objects in the namespace.
objects() {
  k get "$(kubectl api-resources --namespaced --verbs list,delete --output name |
    grep -vE '^(events|endpoints$|endpointslices)' | paste -sd,)" --output name |
    grep -vE '^(serviceaccount/default|configmap/kube-root-ca.crt)$' | sort
}

# left EXPECTED: checks that only these objects remain after an uninstall, when all pods have ended.
left() {
  local start=$SECONDS
  k delete service "e2e-node-$release" --ignore-not-found >/dev/null
  until [ "$(objects)" = "$1" ]; do
    [ $((SECONDS - start)) -lt 90 ] || fail "left after uninstall: $(diff <(echo "$1") <(objects) | tr '\n' ' ')"
    sleep 2
  done
}

# backing [durable]: installs a database and a broker without the chart, with Secrets as the operators write them. A durable
# database keeps its data when its pod ends.
backing() {
  "$helm" template backing "$chart" --namespace "$ns" "${quick[@]}" "${image[@]}" \
    --set quickstart.postgresql.password=pw --set quickstart.rabbitmq.password=pw \
    --set jwt.existingSecret=keys --set fullnameOverride=backing --set migration.enabled=false \
    --show-only templates/quickstart.yaml --show-only templates/secrets.yaml | k apply -f - >/dev/null
  if [ "${1-}" = durable ]; then
    k apply -f - >/dev/null <<'EOT'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: database}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
EOT
    k patch statefulset backing-postgresql --type json >/dev/null --patch '[{"op": "replace", "path": "/spec/template/spec/volumes/0",
      "value": {"name": "data", "persistentVolumeClaim": {"claimName": "database"}}}]'
  fi
  k create secret generic db-app >/dev/null \
    --from-literal=uri='postgres://user_service:pw@backing-postgresql:5432/user_service?sslmode=disable'
  k create secret generic mq-default-user --from-literal=host=backing-rabbitmq --from-literal=port=5672 \
    --from-literal=username=user_service --from-literal=password=pw >/dev/null
  k create secret generic keys --from-literal=jwt-secret="$(openssl rand -base64 48)" --from-literal=accepted= >/dev/null
  k rollout status statefulset/backing-postgresql statefulset/backing-rabbitmq --timeout 2m >/dev/null ||
    fail "the database or the broker is not ready"
  without_fsync
}

# sql QUERY: prints the result of a query on the database of backing.
sql() {
  k exec backing-postgresql-0 -- env PGPASSWORD=pw psql --host 127.0.0.1 --username user_service --no-align --tuples-only --command "$1"
}

# without_fsync: keeps a slow disk from delaying commits, which would fail requests of the load. Without fsync, the database loses data
# only if the node crashes.
without_fsync() {
  sql 'ALTER SYSTEM SET fsync = off' >/dev/null
  sql 'SELECT pg_reload_conf()' >/dev/null
}

# node: prints the address of a node.
node() { echo "${E2E_NODE-$(kubectl get nodes --output jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')}"; }

# address: prints the URL of the release's Service at a port of a node, once the node has configured it.
address() {
  local host port name=e2e-node-$release
  k get service "$name" >/dev/null 2>&1 ||
    k expose service "$release-user-service" --name "$name" --type NodePort --port 80 --target-port http >/dev/null
  host=$(node) port=$(k get service "$name" --output jsonpath='{.spec.ports[0].nodePort}')
  curl --silent --retry 30 --retry-delay 1 --retry-all-errors --output "$scratch/answer" "http://$host:$port/readyz" ||
    fail "no answer from http://$host:$port"
  echo "http://$host:$port"
}

use_it() {
  local url email body token
  url=$(address) email=ada-$RANDOM@example.com
  body='{"email": "'$email'", "password": "'$(openssl rand -base64 18)'"}'
  curl --fail --silent --show-error --json "$body" "$url/register" >/dev/null || fail "registration fails"
  token=$(curl --fail --silent --show-error --json "$body" "$url/login" | jq -r .access_token)
  curl --fail --silent --show-error --header "Authorization: Bearer $token" "$url/users/me" |
    jq -e '.email == "'"$email"'"' >/dev/null || fail "the token does not work"
}

start_load() { # FLAG...
  [ -x "$scratch/load" ] || go build -C "$root" -o "$scratch/load" ./test/e2e/load
  "$scratch/load" -url "$(address)" -rate 50 -prefix "load-$RANDOM" "$@" >"$scratch/load.json" &
  load_pid=$!
  sleep 2
  kill -0 "$load_pid" || fail "the load does not run"
}

# stop_load WHAT: stops the load when the last terminating pod has ended, and prints the result.
stop_load() {
  local pid=$load_pid terminating='{.items[?(@.metadata.deletionTimestamp)].metadata.name}'
  until [ -z "$(k get pods --selector app.kubernetes.io/component=api --output jsonpath="$terminating")" ]; do sleep 1; done
  sleep 1
  load_pid=
  kill "$pid"
  wait "$pid" || { cat "$scratch/load.json" && fail "requests failed during: $1"; }
  say "$1: $(cat "$scratch/load.json")"
}

api_pods() { k get pods --selector app.kubernetes.io/component=api --output name "$@"; }
