# shellcheck shell=bash disable=SC2154 # run and common.sh set what is used here
# A webhook adds a container that never ends to each pod, as a service mesh does. The Job must complete nevertheless.
scenario_sidecar() {
  local kind job names values=("${image[@]}" "${existing[@]}")
  namespace sidecar
  backing
  webhook sidecar
  install "${values[@]}"
  [[ $(api_pods --output jsonpath='{.items[*].spec.containers[*].name}') == *sidecar* ]] || fail "the pods have no sidecar"
  k wait --for=jsonpath='{.status.containerStatuses[?(@.name=="migrate")].state.terminated.reason}'=Completed pod \
    --selector app.kubernetes.io/component=migration --timeout 30s >/dev/null || fail "the migration does not end"
  [ "$(k get jobs --output jsonpath='{.items[*].status.active}')" = 1 ] || fail "the Job ends although its sidecar runs"
  use_it
  say "sidecar: the service works, but a sidecar keeps the Job's pod alive without an annotation"

  for kind in none native; do
    upgrade "${values[@]}" --set "migration.podAnnotations.e2e/sidecar=$kind"
    job=$(k get jobs --output name)
    k wait --for=condition=Complete "$job" --timeout 1m >/dev/null || fail "$kind: the Job does not complete"
    [ "$(wc -w <<<"$job")" = 1 ] || fail "$kind: the Job of the version before remains: $job"
  done
  say "sidecar: with an annotation of its own, the Job completes: without a sidecar, and with a native sidecar"
  names=$(k get pods --selector app.kubernetes.io/component=migration --output jsonpath='{.items[*].spec.initContainers[*].name}')
  [ "$names" = sidecar ] || fail "the Job's pod has no native sidecar"
}

# webhook PATH: starts the admission webhook in a namespace of its own. It applies to the pods of the release in this namespace.
webhook() {
  local dir=$scratch/admission host=admission.$ns-webhook.svc
  program admission
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=admission -addext "subjectAltName=DNS:$host" \
    -keyout "$dir/tls.key" -out "$dir/tls.crt" 2>/dev/null
  kubectl create namespace "$ns-webhook" >/dev/null
  made+=("$ns-webhook")
  kubectl --namespace "$ns-webhook" create secret tls tls --cert "$dir/tls.crt" --key "$dir/tls.key" >/dev/null
  kubectl --namespace "$ns-webhook" apply -f - >/dev/null <<EOT
apiVersion: v1
kind: Service
metadata: {name: admission}
spec: {selector: {app: admission}, ports: [{port: 443, targetPort: 8443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: admission}
spec:
  selector: {matchLabels: {app: admission}}
  template:
    metadata: {labels: {app: admission}}
    spec:
      automountServiceAccountToken: false
      securityContext: {fsGroup: 65532}
      containers:
        - name: admission
          image: user-service:e2e-admission
          args: [serve]
          env: [{name: SIDECAR_IMAGE, value: user-service:e2e-admission}]
          readinessProbe: {tcpSocket: {port: 8443}, periodSeconds: 1}
          volumeMounts: [{name: tls, mountPath: /tls}]
      volumes: [{name: tls, secret: {secretName: tls}}]
EOT
  kubectl --namespace "$ns-webhook" rollout status deployment/admission --timeout 1m >/dev/null || fail "the webhook is not ready"
  # Its owner is the namespace, so both are deleted together.
  kubectl apply -f - >/dev/null <<EOT
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: $ns
  ownerReferences:
    - {apiVersion: v1, kind: Namespace, name: $ns-webhook, uid: $(kubectl get namespace "$ns-webhook" --output jsonpath='{.metadata.uid}')}
webhooks:
  - name: admission.e2e.example.com
    clientConfig: {service: {name: admission, namespace: $ns-webhook, path: /$1}, caBundle: $(base64 -w 0 "$dir/tls.crt")}
    namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: $ns}}
    objectSelector: {matchLabels: {app.kubernetes.io/instance: us}}
    rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
    admissionReviewVersions: [v1]
    sideEffects: None
EOT
}
