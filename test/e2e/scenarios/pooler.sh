# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Requests use PgBouncer, and the migration uses the port of the database itself. The NetworkPolicies allow only that.
scenario_pooler() {
  local direct=http://backing-postgresql:5432 pooler=http://pooler:6432 values=("${image[@]}" "${existing[@]}" "${unlimited[@]}"
    --set networkPolicy.enabled=true --set database.existingSecret=pooled --set migration.existingSecret=db-app
    --set networkPolicy.databasePort=6432 --set 'networkPolicy.databaseTo[0].podSelector.matchLabels.app=pooler'
    --set networkPolicy.migrationPort=5432
    --set 'networkPolicy.migrationTo[0].podSelector.matchLabels.app\.kubernetes\.io/component=postgresql'
    --set 'networkPolicy.rabbitmqTo[0].podSelector.matchLabels.app\.kubernetes\.io/component=rabbitmq')
  namespace pooler
  backing
  install_pooler
  install "${values[@]}"
  "$helm" test us --namespace "$ns" --timeout 2m >/dev/null || fail "helm test, with a pooler"
  use_it
  reaches api "$pooler"
  refused api "$direct"
  reaches migration "$direct"
  refused migration "$pooler"
  start_load
  upgrade "${values[@]}" --set image.tag=e2e-2
  stop_load "upgrade to a new migration, behind PgBouncer"
  say "pooler: requests use PgBouncer, and the migration uses the database; the NetworkPolicies refuse the opposite"
}

# install_pooler: starts PgBouncer with the settings of docs/operations.md.
install_pooler() {
  k create secret generic pooled >/dev/null \
    --from-literal=uri='postgres://user_service:pw@pooler:6432/user_service?sslmode=disable&default_query_exec_mode=exec'
  k create secret generic pooler --from-literal=users.txt='"user_service" "pw"' --from-literal=pgbouncer.ini='[databases]
user_service = host=backing-postgresql port=5432
[pgbouncer]
listen_addr = *
listen_port = 6432
unix_socket_dir =
auth_type = scram-sha-256
auth_file = /etc/pooler/users.txt
pool_mode = transaction
server_connect_timeout = 1
server_login_retry = 1
query_wait_timeout = 1' >/dev/null
  k apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Service
metadata: {name: pooler}
spec: {selector: {app: pooler}, ports: [{port: 6432}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pooler}
spec:
  selector: {matchLabels: {app: pooler}}
  template:
    metadata: {labels: {app: pooler}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: pgbouncer
          image: $pgbouncer
          command: [pgbouncer, /etc/pooler/pgbouncer.ini]
          readinessProbe: {tcpSocket: {port: 6432}, periodSeconds: 1}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: pooler, mountPath: /etc/pooler}]
      volumes: [{name: pooler, secret: {secretName: pooler}}]
EOT
  k rollout status deployment/pooler --timeout 1m >/dev/null || fail "PgBouncer is not ready"
}
