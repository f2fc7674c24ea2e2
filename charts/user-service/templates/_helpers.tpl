{{- define "user-service.name" -}}
{{ default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* At most 40 characters: with any suffix of this chart, a name still fits into the 63 characters of a label. */}}
{{- define "user-service.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "user-service.name" .) .Release.Name -}}
{{ .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name (include "user-service.name" .) | trunc 40 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "user-service.chart" -}}
{{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "user-service.version" -}}
{{ default .Chart.AppVersion .Values.image.tag | trunc 63 | trimAll "-_." }}
{{- end }}

{{- define "user-service.labels" -}}
helm.sh/chart: {{ include "user-service.chart" . }}
{{ include "user-service.selectorLabels" . }}
app.kubernetes.io/version: {{ include "user-service.version" . | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: user-service
{{- end }}

{{- define "user-service.selectorLabels" -}}
app.kubernetes.io/name: {{ include "user-service.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/*
The metadata of an object. Parameters: root ($), name, component (default: api), annotations, and extra: the
section of the values whose labels and annotations the object gets.
*/}}
{{- define "user-service.metadata" -}}
{{- $root := .root -}}
{{- $extra := default dict .extra -}}
{{- $component := dict "app.kubernetes.io/component" (default "api" .component) -}}
{{- $labels := include "user-service.labels" $root | fromYaml -}}
name: {{ .name }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- toYaml (merge $component $labels (default dict $extra.labels) $root.Values.commonLabels) | nindent 2 }}
{{- with merge (default dict .annotations) (default dict $extra.annotations) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "user-service.metricsService" -}}
{{ include "user-service.fullname" . }}-metrics
{{- end }}

{{- define "user-service.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ default (include "user-service.fullname" .) .Values.serviceAccount.name }}
{{- else -}}
{{ default "default" .Values.serviceAccount.name }}
{{- end -}}
{{- end }}

{{- define "user-service.migrationServiceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ include "user-service.fullname" . }}-migrate
{{- else -}}
{{ include "user-service.serviceAccountName" . }}
{{- end -}}
{{- end }}

{{/* The names of the Secrets: those of the values, or those that the chart creates. */}}
{{- define "user-service.databaseSecret" -}}
{{ default (printf "%s-database" (include "user-service.fullname" .)) .Values.database.existingSecret }}
{{- end }}
{{- define "user-service.migrationSecret" -}}
{{ default (include "user-service.databaseSecret" .) .Values.migration.existingSecret }}
{{- end }}
{{- define "user-service.rabbitmqSecret" -}}
{{ default (printf "%s-rabbitmq" (include "user-service.fullname" .)) .Values.rabbitmq.existingSecret }}
{{- end }}
{{- define "user-service.jwtSecret" -}}
{{ default (printf "%s-jwt" (include "user-service.fullname" .)) .Values.jwt.existingSecret }}
{{- end }}
{{- define "user-service.adminSecret" -}}
{{ default (printf "%s-admin" (include "user-service.fullname" .)) .Values.admin.existingSecret }}
{{- end }}

{{- define "user-service.mailerName" -}}
{{ include "user-service.fullname" . }}-mailer
{{- end }}

{{- define "user-service.mailerServiceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{ include "user-service.mailerName" . }}
{{- else -}}
{{ include "user-service.serviceAccountName" . }}
{{- end -}}
{{- end }}

{{- define "user-service.hasAdmin" -}}
{{- if or .Values.admin.email .Values.admin.existingSecret }}yes{{ end -}}
{{- end }}

{{/*
The value if it is set, otherwise the content of the Secret in the cluster, otherwise a new random text. Without a
cluster, user-service.validate has already failed. Parameters: root ($), value, secret, key.
*/}}
{{- define "user-service.secret" -}}
{{- $found := get (default dict (lookup "v1" "Secret" .root.Release.Namespace .secret).data) .key -}}
{{- if .value -}}
{{ .value }}
{{- else if $found -}}
{{ b64dec $found }}
{{- else -}}
{{ randAlphaNum 48 }}
{{- end -}}
{{- end }}

{{/*
Variables as env. Helm parses numbers as floats, which print large integers with an exponent. Parameter: the variables
by name, as in config.
*/}}
{{- define "user-service.config" -}}
{{- range $name, $value := . }}
{{- if and (kindIs "float64" $value) (eq (float64 $value) (floor $value)) }}
{{- $value = int64 $value }}
{{- end }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* Converts a duration of Go, such as 1m30s, to seconds, rounded up. */}}
{{- define "user-service.seconds" -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|h|m|s)" . -1 -}}
{{- $unit := regexFind "(ms|h|m|s)$" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get (dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0) $unit)) -}}
{{- end -}}
{{ ceil $sum | int }}
{{- end }}

{{/* Converts a quantity of memory to MiB, rounded down. */}}
{{- define "user-service.mebibytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $bytes := get $units $unit -}}
{{- divf (mulf (trimSuffix $unit $text | float64) (default 1.0 $bytes)) 1048576.0 | floor | int -}}
{{- end }}

{{/* The port in database.url, or networkPolicy.databasePort if the URL has none. */}}
{{- define "user-service.databasePort" -}}
{{- $address := regexReplaceAll "^[a-z]+://([^@/]*@)?" .Values.database.url "" -}}
{{- $port := regexFind ":[0-9]+(/|\\?|$)" $address | trimAll ":/?" -}}
{{- if .Values.quickstart.enabled -}}
5432
{{- else -}}
{{ default .Values.networkPolicy.databasePort $port }}
{{- end -}}
{{- end }}

{{/* The port in mailer.smtp.url, or the default port of its scheme, or networkPolicy.smtpPort without a URL. */}}
{{- define "user-service.smtpPort" -}}
{{- $url := .Values.mailer.smtp.url -}}
{{- $authority := regexReplaceAll "^[a-z]+://([^@/]*@)?" $url "" -}}
{{- $port := regexFind ":[0-9]+(/|\\?|$)" $authority | trimAll ":/?" -}}
{{- $default := ternary "465" .Values.networkPolicy.smtpPort (hasPrefix "smtps:" $url) -}}
{{ default $default $port }}
{{- end }}

{{- define "user-service.rabbitmqPort" -}}
{{- if .Values.quickstart.enabled -}}
5672
{{- else -}}
{{ default .Values.networkPolicy.rabbitmqPort .Values.rabbitmq.port }}
{{- end -}}
{{- end }}

{{/*
The endpoint of traces, if they leave the pod. Like OpenTelemetry, the chart prefers the variable for traces to the one
for all signals. Variables of extraEnv replace those of config. Parameters: config, extraEnv.
*/}}
{{- define "user-service.tracesEndpoint" -}}
{{- $env := dict -}}
{{- range .extraEnv }}{{ $_ := set $env .name .value }}{{ end -}}
{{- $env = merge $env .config -}}
{{- $endpoint := coalesce $env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT $env.OTEL_EXPORTER_OTLP_ENDPOINT | default "" -}}
{{- $off := or (eq (toString $env.OTEL_SDK_DISABLED | lower) "true") (eq (toString $env.OTEL_TRACES_EXPORTER) "none") -}}
{{- if not (or $off (regexMatch "^([a-z]+://)?(localhost|127\\.[0-9.]+|\\[::1\\])(:|/|$)" (lower $endpoint))) -}}
{{ $endpoint }}
{{- end -}}
{{- end }}
