{{/* What can't work is refused here, all of it together, each with what to do. What is wrong in itself is refused by values.schema.json. */}}
{{- define "user-service.validate" -}}
{{- $problems := "" -}}
{{- range list "cluster" "sources" "generated" "quickstart" "jwt" "config" "extraEnv" "pods" "memory" "networkPolicy" "routes" -}}
{{- $problems = print $problems (include (printf "user-service.validate.%s" .) $) -}}
{{- end -}}
{{- if $problems }}{{ fail (printf "\n\n%s" $problems) }}{{ end -}}
{{- end }}

{{- define "user-service.problem" -}}
{{ printf "- %s\n" . }}
{{- end }}

{{/* Not kubeVersion in Chart.yaml: a Helm 3 that go install has built takes exactly v1.20.0 for the version where it asks no cluster. */}}
{{- define "user-service.validate.cluster" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and (semverCompare "<1.30.0-0" $version) (ne $version "v1.20.0") }}{{ include "user-service.problem" (printf "This cluster is Kubernetes %s, whose pods can't wait before they end (preStop.sleep): upgrade it to 1.30 or later." $version) }}{{ end -}}
{{- end }}

{{- define "user-service.validate.sources" -}}
{{- $v := .Values -}}
{{- if and $v.database.url $v.database.existingSecret }}{{ include "user-service.problem" "database.url and database.existingSecret are both set: leave one of them empty." }}{{ end -}}
{{- if and $v.rabbitmq.password $v.rabbitmq.existingSecret }}{{ include "user-service.problem" "rabbitmq.password and rabbitmq.existingSecret are both set: leave one of them empty." }}{{ end -}}
{{- if and $v.admin.email $v.admin.existingSecret }}{{ include "user-service.problem" "admin.email and admin.existingSecret are both set: leave admin.email empty, and put the email into the Secret, under the key that admin.keys.email names." }}{{ end -}}
{{- if and (include "user-service.hasAdmin" .) (not $v.migration.enabled) }}{{ include "user-service.problem" "admin.email and admin.existingSecret need the migration Job, which creates the account: set migration.enabled=true, or leave them empty." }}{{ end -}}
{{- if and $v.database.url (not (regexMatch "^postgres(ql)?://" $v.database.url)) }}{{ include "user-service.problem" "database.url is not a PostgreSQL URL: write it as postgres://user:password@host:5432/database" }}{{ end -}}
{{- if not $v.quickstart.enabled -}}
{{- if not (or $v.database.url $v.database.existingSecret) }}{{ include "user-service.problem" "No database: set database.existingSecret (or database.url), or quickstart.enabled=true for a first look." }}{{ end -}}
{{- if not (or $v.rabbitmq.password $v.rabbitmq.existingSecret) }}{{ include "user-service.problem" "No broker: set rabbitmq.existingSecret (or rabbitmq.host, user and password), or quickstart.enabled=true for a first look." }}{{ end -}}
{{- if and $v.rabbitmq.password (not $v.rabbitmq.existingSecret) (not (and $v.rabbitmq.host $v.rabbitmq.user)) }}{{ include "user-service.problem" "rabbitmq.password is set: set rabbitmq.host and rabbitmq.user too." }}{{ end -}}
{{- end -}}
{{- end }}

{{/* A value that is not given is generated once. Without a cluster that keeps it, each render would make a new one, which ends every session. */}}
{{- define "user-service.validate.generated" -}}
{{- $v := .Values -}}
{{- $needed := list -}}
{{- if not (or $v.jwt.secret $v.jwt.existingSecret) }}{{ $needed = append $needed (list (include "user-service.jwtSecret" .) "jwt.existingSecret or jwt.secret") }}{{ end -}}
{{- if and $v.quickstart.enabled (not (or $v.quickstart.postgresql.password $v.database.existingSecret)) }}{{ $needed = append $needed (list (include "user-service.databaseSecret" .) "quickstart.postgresql.password") }}{{ end -}}
{{- if and $v.quickstart.enabled (not (or $v.quickstart.rabbitmq.password $v.rabbitmq.existingSecret)) }}{{ $needed = append $needed (list (include "user-service.rabbitmqSecret" .) "quickstart.rabbitmq.password") }}{{ end -}}
{{- if and $v.admin.email (not $v.admin.existingSecret) }}{{ $needed = append $needed (list (include "user-service.adminSecret" .) "admin.existingSecret") }}{{ end -}}
{{- range $needed -}}
{{- if not (or (lookup "v1" "Secret" $.Release.Namespace (first .)) (lookup "v1" "Secret" $.Release.Namespace "")) }}{{ include "user-service.problem" (printf "No cluster answers here (helm template, --dry-run=client, Argo CD), so the Secret %s can't be generated once and kept: set %s." (first .) (last .)) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "user-service.validate.quickstart" -}}
{{- $v := .Values -}}
{{- if $v.quickstart.enabled -}}
{{- if or $v.database.url $v.database.existingSecret $v.migration.existingSecret }}{{ include "user-service.problem" "quickstart.enabled brings a database of its own: leave database.url, database.existingSecret and migration.existingSecret empty, or set quickstart.enabled=false." }}{{ end -}}
{{- if or $v.rabbitmq.host $v.rabbitmq.password $v.rabbitmq.existingSecret }}{{ include "user-service.problem" "quickstart.enabled brings a broker of its own: leave rabbitmq.host, rabbitmq.password and rabbitmq.existingSecret empty, or set quickstart.enabled=false." }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "user-service.validate.jwt" -}}
{{- $jwt := .Values.jwt -}}
{{- if and $jwt.secret $jwt.existingSecret }}{{ include "user-service.problem" "jwt.secret and jwt.existingSecret are both set: leave one of them empty." }}{{ end -}}
{{- if and $jwt.acceptedSecrets $jwt.existingSecret }}{{ include "user-service.problem" "jwt.acceptedSecrets goes with jwt.secret: put the accepted secrets into jwt.existingSecret, and name their key in jwt.keys.acceptedSecrets." }}{{ end -}}
{{- if and (not $jwt.existingSecret) (or $jwt.keys.privateKey $jwt.keys.acceptedKeys) }}{{ include "user-service.problem" "jwt.keys.privateKey and jwt.keys.acceptedKeys name keys of jwt.existingSecret, which is empty: set it." }}{{ end -}}
{{- with $jwt.secret }}{{ include "user-service.validate.signingSecret" (dict "name" "jwt.secret" "secret" .) }}{{ end -}}
{{- range splitList "," $jwt.acceptedSecrets }}{{ with trim . }}{{ include "user-service.validate.signingSecret" (dict "name" "A secret of jwt.acceptedSecrets" "secret" .) }}{{ end }}{{ end -}}
{{- end }}

{{/* As the service checks it: length, different characters, and whether it repeats a shorter text. */}}
{{- define "user-service.validate.signingSecret" -}}
{{- $secret := .secret -}}
{{- $advice := "use a random one, as made by: openssl rand -base64 48" -}}
{{- $size := len $secret -}}
{{- $repeats := false -}}
{{- range $period := untilStep 1 (add (div $size 2) 1 | int) 1 -}}
{{- if hasPrefix (substr $period $size $secret) $secret }}{{ $repeats = true }}{{ end -}}
{{- end -}}
{{- if lt $size 32 }}{{ include "user-service.problem" (printf "%s has %d characters and needs at least 32: %s" .name $size $advice) -}}
{{- else if lt (splitList "" $secret | uniq | len) 8 }}{{ include "user-service.problem" (printf "%s has fewer than 8 different characters: %s" .name $advice) -}}
{{- else if $repeats }}{{ include "user-service.problem" (printf "%s repeats a shorter text: %s" .name $advice) }}{{ end -}}
{{- end }}

{{/* Variables that the chart sets, by the value to use in place of each. */}}
{{- define "user-service.ownVariables" -}}
{{ dict "DATABASE_URL" "database" "MIGRATION_DATABASE_URL" "migration.existingSecret" "RABBITMQ_HOST" "rabbitmq.host" "RABBITMQ_PORT" "rabbitmq.port"
  "RABBITMQ_USER" "rabbitmq.user" "RABBITMQ_PASS" "rabbitmq" "JWT_SECRET" "jwt" "JWT_ACCEPTED_SECRETS" "jwt" "JWT_PRIVATE_KEY" "jwt.keys.privateKey" "JWT_ACCEPTED_KEYS" "jwt.keys.acceptedKeys"
  "HTTP_ADDR" "service.port" "METRICS_ADDR" "service.metricsPort" "GOMEMLIMIT" "resources.limits.memory"
  "OTEL_EXPORTER_OTLP_HEADERS" "otlpHeaders.existingSecret" "OTEL_EXPORTER_OTLP_TRACES_HEADERS" "otlpHeaders.existingSecret" | toJson }}
{{- end }}

{{- define "user-service.validate.config" -}}
{{- $own := include "user-service.ownVariables" . | fromJson -}}
{{- range $name, $value := .Values.config -}}
{{- $plain := trimSuffix "_FILE" $name -}}
{{- if hasKey $own $plain }}{{ include "user-service.problem" (printf "config.%s is set by the chart: use %s instead." $name (get $own $plain)) -}}
{{- else if or (kindIs "map" $value) (kindIs "slice" $value) (kindIs "invalid" $value) }}{{ include "user-service.problem" (printf "config.%s is not a text, number or boolean: write its value as the environment variable has it." $name) -}}
{{- else if include "user-service.isSecret" (dict "name" $name "value" $value) }}{{ include "user-service.problem" (printf "config.%s has a secret, which the description of every pod would show: take it from a Secret, by extraEnv with valueFrom.secretKeyRef." $name) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "user-service.validate.extraEnv" -}}
{{- $own := include "user-service.ownVariables" . | fromJson -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $own (trimSuffix "_FILE" .name) }}{{ include "user-service.problem" (printf "extraEnv has %s, which is set by the chart: use %s instead." .name (get $own (trimSuffix "_FILE" .name))) -}}
{{- else if hasKey $.Values.config .name }}{{ include "user-service.problem" (printf "%s is in config and in extraEnv: leave one of them." .name) -}}
{{- else if and .value (include "user-service.isSecret" (dict "name" .name "value" .value)) }}{{ include "user-service.problem" (printf "extraEnv has the secret %s as a value, which the description of every pod would show: take it from a Secret, by valueFrom.secretKeyRef." .name) }}{{ end -}}
{{- end -}}
{{- end }}

{{/* By the name, or by a URL with a user. OTEL_EXPORTER_OTLP_CLIENT_KEY and the like are paths. */}}
{{- define "user-service.isSecret" -}}
{{- $named := regexMatch "(PASSWORD|PASSPHRASE|SECRETS?|CREDENTIALS?|HEADERS|(^|_)(PASS|PASSWD|KEYS?|TOKENS?))$" .name -}}
{{- $path := regexMatch "^OTEL_EXPORTER_OTLP_([A-Z]+_)?CLIENT_KEY$" .name -}}
{{- if or (and $named (not $path)) (regexMatch "://[^/?#@, ]*@" (toString .value)) }}yes{{ end -}}
{{- end }}

{{- define "user-service.validate.pods" -}}
{{- $v := .Values -}}
{{- $timeout := default "25s" $v.config.SHUTDOWN_TIMEOUT | toString -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" $timeout) }}{{ include "user-service.problem" (printf "config.SHUTDOWN_TIMEOUT is %s, which is not a duration: write it with its unit, as 25s." $timeout) -}}
{{- else -}}
{{- $drain := add $v.preStopSeconds (include "user-service.seconds" $timeout | int) -}}
{{- if lt (int $v.terminationGracePeriodSeconds) (int $drain) }}{{ include "user-service.problem" (printf "terminationGracePeriodSeconds is %d, shorter than the shutdown of %d (preStopSeconds and config.SHUTDOWN_TIMEOUT): set it to at least %d." (int $v.terminationGracePeriodSeconds) (int $drain) (int $drain)) }}{{ end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}{{ include "user-service.problem" (printf "autoscaling.minReplicas is %d, more than maxReplicas, %d: change one of them." (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}{{ end -}}
{{- if and $v.autoscaling.enabled (not (($v.resources.requests).cpu)) }}{{ include "user-service.problem" "autoscaling looks at the CPU in percent of the request: set resources.requests.cpu." }}{{ end -}}
{{- end }}

{{/* A pod needs 64 MiB, and the larger of its hashes at once and of 100 MiB: the bodies of requests on their way, and one imported hash. The Job hashes one password. */}}
{{- define "user-service.validate.memory" -}}
{{- $v := .Values -}}
{{- $hash := divf (float64 (default 19456 $v.config.ARGON2_MEMORY_KIB)) 1024.0 -}}
{{- $concurrency := $v.config.PASSWORD_HASH_CONCURRENCY -}}
{{- if not $concurrency }}{{ include "user-service.problem" "config.PASSWORD_HASH_CONCURRENCY is empty, and would be as many as the node has CPUs: set it to how many hashes the memory limit holds." }}{{ end -}}
{{- with (($v.resources).limits).memory -}}
{{- $need := addf 64.0 (maxf 100.0 (mulf $hash (float64 (default 0 $concurrency)))) | ceil | int -}}
{{- if and $concurrency (lt (include "user-service.mebibytes" . | int) $need) }}{{ include "user-service.problem" (printf "resources.limits.memory is %s, and a pod needs %dMi (64Mi, and the larger of 100Mi and of ARGON2_MEMORY_KIB for each of PASSWORD_HASH_CONCURRENCY): raise it, or lower config.PASSWORD_HASH_CONCURRENCY." (toString .) $need) }}{{ end -}}
{{- end -}}
{{- with (($v.migration.resources).limits).memory -}}
{{- $need := addf 64.0 $hash | ceil | int -}}
{{- if and (include "user-service.hasAdmin" $) (lt (include "user-service.mebibytes" . | int) $need) }}{{ include "user-service.problem" (printf "migration.resources.limits.memory is %s, and the Job needs %dMi (64Mi, and ARGON2_MEMORY_KIB for the first admin's password): raise it." (toString .) $need) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "user-service.validate.networkPolicy" -}}
{{- $v := .Values -}}
{{- $np := $v.networkPolicy -}}
{{- $any := "(any address: [{ipBlock: {cidr: 0.0.0.0/0}}])" -}}
{{- if $np.enabled -}}
{{- if not (or $np.databaseTo $v.quickstart.enabled) }}{{ include "user-service.problem" (printf "networkPolicy.enabled needs networkPolicy.databaseTo: set where the database is, as a NetworkPolicy's to, such as [{podSelector: {matchLabels: {cnpg.io/cluster: accounts}}}] %s." $any) }}{{ end -}}
{{- if not (or $np.rabbitmqTo $v.quickstart.enabled) }}{{ include "user-service.problem" (printf "networkPolicy.enabled needs networkPolicy.rabbitmqTo: set where the broker is, as a NetworkPolicy's to, such as [{podSelector: {matchLabels: {app.kubernetes.io/name: events}}}] %s." $any) }}{{ end -}}
{{- if not $np.dnsTo }}{{ include "user-service.problem" "networkPolicy.dnsTo is empty, which would be any address: set where the cluster's DNS is, or leave it as it is in values.yaml." }}{{ end -}}
{{- if and (or $v.serviceMonitor.enabled $v.prometheusRule.enabled) (not $np.metricsFrom) }}{{ include "user-service.problem" "networkPolicy.metricsFrom is empty, so Prometheus could not read what serviceMonitor.enabled and prometheusRule.enabled ask for: set where it runs, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]." }}{{ end -}}
{{- if and (include "user-service.tracesEndpoint" .) (not $np.otlpTo) }}{{ include "user-service.problem" (printf "networkPolicy.enabled and an OTLP endpoint need networkPolicy.otlpTo: set where traces are sent, as a NetworkPolicy's to, such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}] %s." $any) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "user-service.validate.routes" -}}
{{- $v := .Values -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}{{ include "user-service.problem" "ingress.enabled needs ingress.hosts: set at least one host name." }}{{ end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}{{ include "user-service.problem" "httpRoute.enabled needs httpRoute.parentRefs: set the Gateway, as [{name: …}]." }}{{ end -}}
{{- if and $v.ingress.enabled (hasPrefix "/metrics" $v.ingress.path) }}{{ include "user-service.problem" "ingress.path is that of the metrics, which are not served to the outside: use another." }}{{ end -}}
{{- if eq (int $v.service.port) (int $v.service.metricsPort) }}{{ include "user-service.problem" "service.port and service.metricsPort are the same: change one of them." }}{{ end -}}
{{- end }}
