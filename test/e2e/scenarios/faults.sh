# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Kills a pod of the service, then deletes the database's pod, under load. Each accepted registration must be published.
scenario_faults() {
  local pod state='{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].ready}'
  namespace faults
  backing durable
  install "${image[@]}" "${existing[@]}" "${unlimited[@]}"
  tail_events
  pod=$(api_pods | head -1)
  start_load -tolerant -accepted "$scratch/accepted"
  sleep 5
  kill9 "$pod"
  until [ "$(k get "$pod" --output jsonpath="$state")" = "1 true" ]; do sleep 1; done
  stop_load "a pod under kill -9"
  settled

  start_load -tolerant -accepted "$scratch/accepted"
  sleep 5
  k delete --force --grace-period=0 pod/backing-postgresql-0 >/dev/null 2>&1
  k rollout status statefulset/backing-postgresql --timeout 2m >/dev/null || fail "the database does not come back"
  k rollout status deployment/us-user-service --timeout 2m >/dev/null || fail "the service does not recover"
  sleep 10
  stop_load "the database's pod deleted"
  settled
  use_it
}

# settled: checks that all accepted registrations are published within ten seconds.
settled() {
  sleep 10
  k logs pod/tail | grep -o '"email":"[^"]*"' | cut -d'"' -f4 | sort -u >"$scratch/announced"
  sort -u "$scratch/accepted" | comm -23 - "$scratch/announced" >"$scratch/lost"
  [ ! -s "$scratch/lost" ] || fail "accepted and never published: $(tr '\n' ' ' <"$scratch/lost")"
  say "faults: all $(wc -l <"$scratch/accepted") accepted registrations are published"
}

# tail_events: starts a pod that prints every event.
tail_events() {
  k apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Pod
metadata: {name: tail}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: tail
      image: user-service:e2e-1
      args: [events, tail]
      env:
        - {name: RABBITMQ_HOST, value: backing-rabbitmq}
        - {name: RABBITMQ_PORT, value: "5672"}
        - {name: RABBITMQ_USER, value: user_service}
        - {name: RABBITMQ_PASS, value: pw}
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
EOT
  k wait --for=condition=Ready pod/tail --timeout 1m >/dev/null || fail "nothing listens to the events"
  until k logs pod/tail | grep -q waiting; do sleep 0.5; done
}

# kill9 POD: sends SIGKILL to the processes of a pod. The second process may already end with the first one. A container's first process
# gets SIGKILL only from outside the container. So a pod in a privileged namespace, which sees all processes of the node, sends the signals.
kill9() {
  local id node
  id=$(k get "$1" --output jsonpath='{.status.containerStatuses[0].containerID}') node=$(k get "$1" --output jsonpath='{.spec.nodeName}')
  kubectl create namespace "$ns-node" >/dev/null
  made+=("$ns-node")
  kubectl --namespace "$ns-node" apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Pod
metadata: {name: kill}
spec:
  nodeName: $node
  hostPID: true
  restartPolicy: Never
  containers:
    - name: kill
      image: $postgres
      command:
        - bash
        - -c
        - 'pids=\$(grep -l "${id##*/}" /proc/[0-9]*/cgroup | cut -d/ -f3) && [ -n "\$pids" ] && { kill -9 \$pids || true; }'
      securityContext: {runAsUser: 0}
EOT
  kubectl --namespace "$ns-node" wait --for=jsonpath='{.status.phase}'=Succeeded pod/kill --timeout 1m >/dev/null ||
    fail "nothing is killed: $(kubectl --namespace "$ns-node" logs kill)"
}
