# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# Services call the API with tokens of the cluster's issuer, and then with tokens of another issuer.
scenario_workload() {
  local url id admin issuer
  namespace workload
  workload_program
  issuer=$(kubectl get --raw /.well-known/openid-configuration | jq -r .issuer)
  install "${image[@]}" "${quick[@]}" --set replicaCount=1 --set admin.email=admin@example.com --set "config.WORKLOAD_ISSUER=$issuer" \
    --set "workloads[0].namespace=$ns" --set 'workloads[0].serviceAccount=orders' --set 'workloads[0].roles={reader}'
  url=$(address)
  admin_logs_in
  admin=$(jq -r .access_token "$scratch/answer")
  reader '["users:read"]'
  id=$(curl --fail --silent --show-error "$url/users?limit=1" --header "Authorization: Bearer $admin" | jq -r '.items[0].id')
  cluster_issuer
  other_issuer
}

# cluster_issuer: pods call with the tokens of their ServiceAccounts.
cluster_issuer() {
  k create serviceaccount orders >/dev/null
  k create serviceaccount billing >/dev/null
  expect 200 "$(from_pod orders user-service)" "the named ServiceAccount"
  expect 403 "$(from_pod billing user-service)" "another ServiceAccount"
  expect 401 "$(from_pod orders other)" "another audience"
  expect 401 "$(status "$(token forged -issuer "$issuer" -subject "system:serviceaccount:$ns:orders")")" "a forged issuer"
  reader '[]'
  expect 403 "$(from_pod orders user-service)" "the role without the permission"
  curl --fail --silent --show-error --request DELETE "$url/roles/reader" --header "Authorization: Bearer $admin" ||
    fail "the role is not deleted"
  expect 403 "$(from_pod orders user-service)" "the role after its deletion"
  reader '["users:read"]'
  expect 200 "$(from_pod orders user-service)" "the role after it was created again"
  say "workload: a pod reads a user with its projected token; other ServiceAccounts, audiences, issuers and removed roles are refused"
}

# other_issuer: an issuer in the namespace issues tokens with any claims. Its keys rotate, and it fails.
other_issuer() {
  local start
  issuer=https://issuer.$ns.svc:8443
  install_issuer first
  upgrade --reuse-values --set-json 'workloads=[]' --set "config.WORKLOAD_ISSUER=$issuer" \
    --set config.WORKLOAD_ROLES=spiffe://example.org/orders=reader --set config.WORKLOAD_CA_FILE=/etc/issuer/tls.crt \
    --set-json 'extraVolumes=[{"name": "issuer", "secret": {"secretName": "issuer-tls",
      "items": [{"key": "tls.crt", "path": "tls.crt"}]}}]' \
    --set-json 'extraVolumeMounts=[{"name": "issuer", "mountPath": "/etc/issuer", "readOnly": true}]'
  url=$(address)
  expect 200 "$(status "$(orders first)")" "a token of the issuer"
  expect 401 "$(status "$(orders first -expires -1s)")" "an expired token"
  expect 401 "$(status "$(orders first -audience other)")" "another audience"
  expect 401 "$(status "$(orders forged)")" "a forged token"
  expect 403 "$(status "$(token first -issuer "$issuer" -subject spiffe://example.org/other)")" "another sub"

  install_issuer second
  start=$SECONDS
  until [ "$(status "$(orders second)")" = 200 ]; do
    [ $((SECONDS - start)) -lt 30 ] || fail "the new key of the issuer is not accepted"
    sleep 1
  done
  expect 401 "$(status "$(orders first)")" "the removed key"
  say "workload: a new key is accepted after $((SECONDS - start)) s, and the removed key is refused"

  k scale deployment issuer --replicas 0 >/dev/null
  k wait --for=delete pod --selector app=issuer --timeout 1m >/dev/null || fail "the issuer does not stop"
  expect 200 "$(status "$(orders second)")" "a known key without the issuer"
  start=$SECONDS
  until [ "$(status "$(orders forged)")" = 503 ]; do # until the pause after the last fetch has passed
    [ $((SECONDS - start)) -lt 30 ] || fail "an unknown key is not answered with 503 without the issuer"
    sleep 1
  done
  expect 200 "$(status "$(orders second)")" "a known key after a failed fetch"
  say "workload: while the issuer is unavailable, known keys serve and nothing hangs"
}

# workload_program: builds the program of the scenario, its image and the keys first, second and forged.
workload_program() {
  local dir=$scratch/workload name
  mkdir -p "$dir/image"
  CGO_ENABLED=0 go build -C "$root" -o "$dir/image/workload" ./test/e2e/workload
  cat >"$dir/image/Dockerfile" <<'EOT'
FROM gcr.io/distroless/static-debian12:nonroot
COPY workload /workload
USER 65532:65532
ENTRYPOINT ["/workload"]
EOT
  build_image "$dir/image" user-service:e2e-workload "$dir/image.tar"
  load_image "$dir/image.tar"
  for name in first second forged; do
    openssl ecparam -name prime256v1 -genkey -noout -out "$dir/$name.pem"
    mkdir -p "$dir/public-$name"
    openssl ec -in "$dir/$name.pem" -pubout -out "$dir/public-$name/$name.pem" 2>/dev/null
  done
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=issuer \
    -addext "subjectAltName=DNS:issuer.$ns.svc" \
    -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
  k create secret tls issuer-tls --cert "$dir/tls.crt" --key "$dir/tls.key" >/dev/null
}

# install_issuer KEY: starts the issuer with this key only.
install_issuer() {
  k create configmap "issuer-$1" --from-file "$scratch/workload/public-$1" >/dev/null
  k apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Service
metadata: {name: issuer}
spec: {selector: {app: issuer}, ports: [{port: 8443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: issuer}
spec:
  selector: {matchLabels: {app: issuer}}
  strategy: {type: Recreate}
  template:
    metadata: {labels: {app: issuer}}
    spec:
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: issuer
          image: user-service:e2e-workload
          args: [issuer]
          env: [{name: ISSUER, value: "$issuer"}]
          readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
          securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
          volumeMounts: [{name: keys, mountPath: /keys}, {name: tls, mountPath: /tls}]
      volumes: [{name: keys, configMap: {name: issuer-$1}}, {name: tls, secret: {secretName: issuer-tls}}]
EOT
  k rollout status deployment/issuer --timeout 1m >/dev/null || fail "the issuer is not ready"
}

# reader PERMISSIONS: creates or replaces the role reader.
reader() {
  curl --fail --silent --show-error --request PUT --json "{\"permissions\": $1}" --header "Authorization: Bearer $admin" \
    --output "$scratch/role" "$url/roles/reader" || fail "the role is not stored"
}

# token KEY FLAG...: prints a token that the key signs.
token() { "$scratch/workload/image/workload" token -key "$scratch/workload/$1.pem" "${@:2}"; }

# orders KEY FLAG...: prints a token of the workload with the role.
orders() { token "$1" -issuer "$issuer" -subject spiffe://example.org/orders "${@:2}"; }

# status TOKEN: prints the status of a request with the token. An answer takes at most 2 s; the rest is for the network.
status() {
  curl --silent --max-time 4 --output "$scratch/answer" --write-out '%{http_code}' \
    --header "Authorization: Bearer $1" "$url/users/$id" || true
}

expect() { [ "$2" = "$1" ] || fail "$3: status $2, want $1"; } # STATUS GOT WHAT

# from_pod SERVICEACCOUNT AUDIENCE: prints the status of a request that a pod sends with its projected token.
from_pod() {
  k apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Pod
metadata: {name: caller}
spec:
  serviceAccountName: $1
  restartPolicy: Never
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
    - name: caller
      image: user-service:e2e-workload
      args: [call, "http://us-user-service/users/$id"]
      securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      volumeMounts: [{name: token, mountPath: /var/run/secrets/user-service, readOnly: true}]
  volumes:
    - name: token
      projected: {sources: [{serviceAccountToken: {path: token, audience: $2, expirationSeconds: 600}}]}
EOT
  until k get pod caller --output jsonpath='{.status.phase}' | grep -qE 'Succeeded|Failed'; do sleep 0.5; done
  k logs caller
  k delete pod caller --wait --now >/dev/null
}
