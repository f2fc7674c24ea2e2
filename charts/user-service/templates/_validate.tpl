{{/* What can't work is refused here, each with what to do. What is wrong in itself is refused by values.schema.json. */}}
{{- define "user-service.validate" -}}
{{- include "user-service.validate.cluster" . -}}
{{- include "user-service.validate.sources" . -}}
{{- include "user-service.validate.config" . -}}
{{- include "user-service.validate.pods" . -}}
{{- include "user-service.validate.routes" . -}}
{{- end }}

{{- define "user-service.refuse" -}}
{{- fail (printf "\n\n%s\n" .) -}}
{{- end }}

{{/* Not kubeVersion in Chart.yaml: a Helm 3 that go install has built takes exactly v1.20.0 for the version where it asks no cluster. */}}
{{- define "user-service.validate.cluster" -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and (semverCompare "<1.30.0-0" $version) (ne $version "v1.20.0") }}{{ include "user-service.refuse" (printf "This cluster is Kubernetes %s, whose pods can't wait before they end (preStop.sleep): upgrade it to 1.30 or later." $version) }}{{ end -}}
{{- end }}

{{- define "user-service.validate.sources" -}}
{{- $v := .Values -}}
{{- if and $v.database.url $v.database.existingSecret }}{{ include "user-service.refuse" "database.url and database.existingSecret are both set: leave one of them empty." }}{{ end -}}
{{- if and $v.rabbitmq.password $v.rabbitmq.existingSecret }}{{ include "user-service.refuse" "rabbitmq.password and rabbitmq.existingSecret are both set: leave one of them empty." }}{{ end -}}
{{- if and $v.jwt.secret $v.jwt.existingSecret }}{{ include "user-service.refuse" "jwt.secret and jwt.existingSecret are both set: leave one of them empty." }}{{ end -}}
{{- if and $v.jwt.acceptedSecrets $v.jwt.existingSecret }}{{ include "user-service.refuse" "jwt.acceptedSecrets goes with jwt.secret: put the accepted secrets into jwt.existingSecret, and name their key in jwt.keys.acceptedSecrets." }}{{ end -}}
{{- if and (not $v.jwt.existingSecret) (or $v.jwt.keys.privateKey $v.jwt.keys.acceptedKeys) }}{{ include "user-service.refuse" "jwt.keys.privateKey and jwt.keys.acceptedKeys name keys of jwt.existingSecret, which is empty: set it." }}{{ end -}}
{{- if and $v.admin.existingSecret (not $v.admin.email) }}{{ include "user-service.refuse" "admin.existingSecret has the password of the first admin: set admin.email too." }}{{ end -}}
{{- if and $v.admin.email (not $v.migration.enabled) }}{{ include "user-service.refuse" "admin.email needs the migration Job, which makes the account: set migration.enabled=true, or leave admin.email empty." }}{{ end -}}
{{- if and $v.jwt.secret (lt (len $v.jwt.secret) 32) }}{{ include "user-service.refuse" (printf "jwt.secret has %d characters: use at least 32, as made by: openssl rand -base64 48" (len $v.jwt.secret)) }}{{ end -}}
{{- if $v.quickstart.enabled -}}
{{- if or $v.database.url $v.database.existingSecret $v.migration.existingSecret }}{{ include "user-service.refuse" "quickstart.enabled brings a database of its own: leave database.url, database.existingSecret and migration.existingSecret empty, or set quickstart.enabled=false." }}{{ end -}}
{{- if or $v.rabbitmq.host $v.rabbitmq.password $v.rabbitmq.existingSecret }}{{ include "user-service.refuse" "quickstart.enabled brings a broker of its own: leave rabbitmq.host, rabbitmq.password and rabbitmq.existingSecret empty, or set quickstart.enabled=false." }}{{ end -}}
{{- else -}}
{{- if not (or $v.database.url $v.database.existingSecret) }}{{ include "user-service.refuse" "No database: set database.existingSecret (or database.url), or quickstart.enabled=true for a first look." }}{{ end -}}
{{- if not (or $v.rabbitmq.password $v.rabbitmq.existingSecret) }}{{ include "user-service.refuse" "No broker: set rabbitmq.existingSecret (or rabbitmq.host, user and password), or quickstart.enabled=true for a first look." }}{{ end -}}
{{- if and (not $v.rabbitmq.existingSecret) (not (and $v.rabbitmq.host $v.rabbitmq.user)) }}{{ include "user-service.refuse" "rabbitmq.password is set: set rabbitmq.host and rabbitmq.user too." }}{{ end -}}
{{- end -}}
{{- if and $v.database.url (not (regexMatch "^postgres(ql)?://" $v.database.url)) }}{{ include "user-service.refuse" "database.url is no PostgreSQL URL: write it as postgres://user:password@host:5432/database" }}{{ end -}}
{{- end }}

{{- define "user-service.validate.config" -}}
{{- $own := dict "DATABASE_URL" "database" "MIGRATION_DATABASE_URL" "migration.existingSecret" "RABBITMQ_HOST" "rabbitmq.host" "RABBITMQ_PORT" "rabbitmq.port"
  "RABBITMQ_USER" "rabbitmq.user" "RABBITMQ_PASS" "rabbitmq" "JWT_SECRET" "jwt" "JWT_ACCEPTED_SECRETS" "jwt" "JWT_PRIVATE_KEY" "jwt.keys.privateKey" "JWT_ACCEPTED_KEYS" "jwt.keys.acceptedKeys"
  "HTTP_ADDR" "service.port" "METRICS_ADDR" "service.metricsPort" "GOMEMLIMIT" "resources.limits.memory" -}}
{{- range $name, $value := .Values.config -}}
{{- $plain := trimSuffix "_FILE" $name -}}
{{- if hasKey $own $plain }}{{ include "user-service.refuse" (printf "config.%s is set by the chart: use %s instead." $name (get $own $plain)) }}{{ end -}}
{{- if or (kindIs "map" $value) (kindIs "slice" $value) (kindIs "invalid" $value) }}{{ include "user-service.refuse" (printf "config.%s is no text, number or boolean: write its value as the environment variable has it." $name) }}{{ end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if hasKey $own (trimSuffix "_FILE" .name) }}{{ include "user-service.refuse" (printf "extraEnv has %s, which is set by the chart: use %s instead." .name (get $own (trimSuffix "_FILE" .name))) }}{{ end -}}
{{- if hasKey $.Values.config .name }}{{ include "user-service.refuse" (printf "%s is in config and in extraEnv: leave one of them." .name) }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "user-service.validate.pods" -}}
{{- $v := .Values -}}
{{- $timeout := default "25s" $v.config.SHUTDOWN_TIMEOUT | toString -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" $timeout) }}{{ include "user-service.refuse" (printf "config.SHUTDOWN_TIMEOUT is %s, which is no duration: write it with its unit, as 25s." $timeout) }}{{ end -}}
{{- $drain := add $v.preStopSeconds (include "user-service.seconds" $timeout | int) -}}
{{- if lt (int $v.terminationGracePeriodSeconds) (int $drain) }}{{ include "user-service.refuse" (printf "terminationGracePeriodSeconds is %d, shorter than the shutdown of %d (preStopSeconds and config.SHUTDOWN_TIMEOUT): set it to at least %d." (int $v.terminationGracePeriodSeconds) (int $drain) (int $drain)) }}{{ end -}}
{{- if not $v.config.PASSWORD_HASH_CONCURRENCY }}{{ include "user-service.refuse" "config.PASSWORD_HASH_CONCURRENCY is empty, and would be as many as the node has CPUs: set it to how many hashes the memory limit holds." }}{{ end -}}
{{- with ($v.resources.limits).memory -}}
{{- $hash := divf (float64 (default 19456 $v.config.ARGON2_MEMORY_KIB)) 1024.0 -}}
{{- $need := addf 64.0 (mulf $hash (addf 1.0 (float64 $v.config.PASSWORD_HASH_CONCURRENCY))) | ceil | int -}}
{{- if lt (include "user-service.mebibytes" . | int) $need }}{{ include "user-service.refuse" (printf "resources.limits.memory is %s, and the hashes need %dMi (64Mi, and ARGON2_MEMORY_KIB for each of PASSWORD_HASH_CONCURRENCY and one more): raise it, or lower config.PASSWORD_HASH_CONCURRENCY." (toString .) $need) }}{{ end -}}
{{- end -}}
{{- if and $v.autoscaling.enabled (gt (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}{{ include "user-service.refuse" (printf "autoscaling.minReplicas is %d, more than maxReplicas, %d: change one of them." (int $v.autoscaling.minReplicas) (int $v.autoscaling.maxReplicas)) }}{{ end -}}
{{- if and $v.autoscaling.enabled (not (($v.resources.requests).cpu)) }}{{ include "user-service.refuse" "autoscaling looks at the CPU in percent of the request: set resources.requests.cpu." }}{{ end -}}
{{- end }}

{{- define "user-service.validate.routes" -}}
{{- $v := .Values -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}{{ include "user-service.refuse" "ingress.enabled needs ingress.hosts: set at least one host name." }}{{ end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}{{ include "user-service.refuse" "httpRoute.enabled needs httpRoute.parentRefs: set the Gateway, as [{name: …}]." }}{{ end -}}
{{- if and $v.ingress.enabled (hasPrefix "/metrics" $v.ingress.path) }}{{ include "user-service.refuse" "ingress.path is that of the metrics, which are not served to the outside: use another." }}{{ end -}}
{{- if eq (int $v.service.port) (int $v.service.metricsPort) }}{{ include "user-service.refuse" "service.port and service.metricsPort are the same: change one of them." }}{{ end -}}
{{- end }}
