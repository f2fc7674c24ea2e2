# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# The chart's values turn on TLS to both servers. Under load, the certificate authority is replaced, and then the servers' certificates.
scenario_tls() {
  local before name values=("${image[@]}" "${existing[@]}" "${unlimited[@]}" --set networkPolicy.enabled=true
    --set database.tls.mode=verify-full --set database.tls.caSecret=authority
    --set rabbitmq.tls.mode=verify-full --set rabbitmq.tls.caSecret=authority
    --set 'networkPolicy.databaseTo[0].podSelector.matchLabels.app\.kubernetes\.io/component=postgresql'
    --set 'networkPolicy.rabbitmqTo[0].podSelector.matchLabels.app\.kubernetes\.io/component=rabbitmq')
  namespace tls
  for name in old new; do authority "$name"; done
  secret_of_servers old create
  k create secret generic authority --from-file=ca.crt="$scratch/old.crt" >/dev/null
  backing
  turn_on_tls
  install "${values[@]}"
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test, with TLS"
  encrypted
  use_it

  before=$(restarts)
  start_load
  trust old new
  secret_of_servers new replace
  serve_new_certificates
  k exec backing-rabbitmq-0 -- rabbitmqctl --quiet close_all_connections rotation >/dev/null
  trust new
  stop_load "replacement of the certificate authority of both servers"
  [ "$(restarts)" = "$before" ] || fail "the pods were restarted: $(restarts)"
  sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE $of_service" >/dev/null
  sleep 2 # the time that the service may take
  use_it
  encrypted
  start_load
  k rollout restart deployment/us-user-service >/dev/null
  k rollout status deployment/us-user-service --timeout 3m >/dev/null || fail "new pods are not ready with the new authority"
  stop_load "rollout restart with the new authority alone"
}

# authority NAME: creates a certificate authority, and a certificate of it for both servers.
authority() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=$1 authority" \
    -addext keyUsage=critical,keyCertSign -keyout "$scratch/$1.key" -out "$scratch/$1.crt" 2>/dev/null
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj "/CN=servers" \
    -CA "$scratch/$1.crt" -CAkey "$scratch/$1.key" -addext basicConstraints=critical,CA:FALSE \
    -addext subjectAltName=DNS:backing-postgresql,DNS:backing-rabbitmq \
    -keyout "$scratch/servers-$1.key" -out "$scratch/servers-$1.crt" 2>/dev/null
}

# secret_of_servers AUTHORITY create|replace: writes the certificate of the servers.
secret_of_servers() {
  k create secret generic servers --dry-run=client --output yaml --from-file=ca.crt="$scratch/$1.crt" \
    --from-file=tls.crt="$scratch/servers-$1.crt" --from-file=tls.key="$scratch/servers-$1.key" | k "$2" -f - >/dev/null
}

# trust AUTHORITY...: writes the authorities that the service trusts, and waits until the pods use them.
trust() {
  local name
  for name; do cat "$scratch/$name.crt"; done >"$scratch/ca.crt"
  k create secret generic authority --from-file=ca.crt="$scratch/ca.crt" --dry-run=client --output yaml | k replace -f - >/dev/null
  sleep "${E2E_SECRET_SECONDS-150}"
}

# turn_on_tls: gives both servers the certificate. The database refuses connections of the network without TLS.
turn_on_tls() {
  k create configmap broker --from-literal=tls.conf='listeners.ssl.default = 5671
ssl_options.cacertfile = /tls/ca.crt
ssl_options.certfile = /tls/tls.crt
ssl_options.keyfile = /tls/tls.key' >/dev/null
  k patch statefulset backing-postgresql --patch '{"spec": {"template": {"spec": {
    "containers": [{"name": "postgresql", "volumeMounts": [{"name": "tls", "mountPath": "/tls"}],
      "args": ["postgres", "-c", "ssl=on", "-c", "ssl_cert_file=/tls/tls.crt", "-c", "ssl_key_file=/tls/tls.key"]}],
    "volumes": [{"name": "tls", "secret": {"secretName": "servers", "defaultMode": 288}}]}}}}' >/dev/null # 288 is 0440
  k patch statefulset backing-rabbitmq --patch '{"spec": {"template": {"spec": {
    "containers": [{"name": "rabbitmq", "ports": [{"name": "amqps", "containerPort": 5671}],
      "readinessProbe": {"tcpSocket": {"port": "amqps"}}, "volumeMounts": [{"name": "tls", "mountPath": "/tls"},
        {"name": "broker", "mountPath": "/etc/rabbitmq/conf.d/90-tls.conf", "subPath": "tls.conf"}]}],
    "volumes": [{"name": "tls", "secret": {"secretName": "servers"}}, {"name": "broker", "configMap": {"name": "broker"}}]}}}}' >/dev/null
  k patch service backing-rabbitmq --patch '{"spec": {"ports": [{"name": "amqps", "port": 5671, "targetPort": "amqps"}]}}' >/dev/null
  k create secret generic mq-default-user --dry-run=client --output yaml --from-literal=host=backing-rabbitmq --from-literal=port=5671 \
    --from-literal=username=user_service --from-literal=password=pw | k replace -f - >/dev/null
  k create secret generic db-app --dry-run=client --output yaml \
    --from-literal=uri='postgres://user_service:pw@backing-postgresql:5432/user_service' | k replace -f - >/dev/null
  k rollout status statefulset/backing-postgresql --timeout 2m >/dev/null || fail "the database is not ready with TLS"
  without_fsync
  k rollout status statefulset/backing-rabbitmq --timeout 2m >/dev/null || fail "the broker is not ready with TLS"
}

# serve_new_certificates: waits until the servers have the new files, and makes both read them. Open connections remain.
serve_new_certificates() {
  local server start=$SECONDS
  for server in postgresql rabbitmq; do
    until k exec "backing-$server-0" -- cat /tls/tls.crt | cmp --silent - "$scratch/servers-new.crt"; do
      [ $((SECONDS - start)) -lt 180 ] || fail "the files of $server are not replaced"
      sleep 2
    done
  done
  sql 'SELECT pg_reload_conf()' >/dev/null
  k exec backing-rabbitmq-0 -- rabbitmqctl --quiet eval 'ssl:clear_pem_cache().' >/dev/null
}

of_service="usename = 'user_service' AND client_addr IS NOT NULL AND client_addr <> '127.0.0.1'"

# encrypted: checks that all connections of the service to both servers use TLS.
encrypted() {
  local plain
  plain=$(sql "SELECT count(*) FILTER (WHERE NOT ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE $of_service")
  [[ $plain == 0\|[1-9]* ]] || fail "connections to the database without TLS, and all: $plain"
  k exec backing-rabbitmq-0 -- rabbitmqctl --quiet list_connections ssl >"$scratch/connections"
  [ "$(sort -u "$scratch/connections" | grep -E '^(true|false)$')" = true ] ||
    fail "connections to the broker, and whether they use TLS: $(tr '\n' ' ' <"$scratch/connections")"
  say "tls: all connections use TLS: $(cut -d'|' -f2 <<<"$plain") to the database, $(grep -c true "$scratch/connections") to the broker"
}
