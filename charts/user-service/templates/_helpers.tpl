{{- define "user-service.name" -}}
{{ default .Chart.Name .Values.nameOverride }}
{{- end }}

{{- define "user-service.fullname" -}}
{{- $name := include "user-service.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride }}
{{- else if contains $name .Release.Name -}}
{{ include "user-service.dnsLabel" .Release.Name }}
{{- else -}}
{{ include "user-service.dnsLabel" (printf "%s-%s" .Release.Name $name) }}
{{- end -}}
{{- end }}

{{/*
A name as a DNS label of at most 40 characters: with any suffix of this chart, it still fits into the 63 characters of a
label. A changed name ends in a hash of the whole name, so that two long names with the same beginning differ.
*/}}
{{- define "user-service.dnsLabel" -}}
{{- if regexMatch "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$" . -}}
{{ . }}
{{- else -}}
{{- $name := regexReplaceAll "[^a-z0-9]+" (lower .) "-" | trimAll "-" -}}
{{- $name = ternary $name (printf "r-%s" $name) (regexMatch "^[a-z]" $name) -}}
{{ $name | trunc 33 | trimSuffix "-" }}-{{ sha256sum . | trunc 6 }}
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
app.kubernetes.io/name: {{ include "user-service.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/*
The metadata of an object. Parameters: root ($), name, namespace (default: the release's), component (default: api),
annotations, and extra: the section of the values whose labels and annotations the object gets.
*/}}
{{- define "user-service.metadata" -}}
{{- $root := .root -}}
{{- $extra := default dict .extra -}}
{{- $component := dict "app.kubernetes.io/component" (default "api" .component) -}}
{{- $labels := include "user-service.labels" $root | fromYaml -}}
name: {{ .name }}
namespace: {{ default $root.Release.Namespace .namespace }}
labels:
  {{- toYaml (merge $component $labels (default dict $extra.labels) $root.Values.commonLabels) | nindent 2 }}
{{- with merge (default dict .annotations) (default dict $extra.annotations) $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The metadata of an object without a namespace. Parameters: as user-service.metadata. */}}
{{- define "user-service.clusterMetadata" -}}
{{ omit (include "user-service.metadata" . | fromYaml) "namespace" | toYaml }}
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

{{/*
The names of the Secrets: those of the values, or those that the chart creates. There is no Secret if secretFiles has its
main variable.
*/}}
{{- define "user-service.databaseSecret" -}}
{{- if not .Values.secretFiles.DATABASE_URL -}}
{{ default (printf "%s-database" (include "user-service.fullname" .)) .Values.database.existingSecret }}
{{- end -}}
{{- end }}
{{- define "user-service.migrationSecret" -}}
{{- if .Values.migration.existingSecret -}}
{{ .Values.migration.existingSecret }}
{{- else if not .Values.secretFiles.MIGRATION_DATABASE_URL -}}
{{ include "user-service.databaseSecret" . }}
{{- end -}}
{{- end }}
{{- define "user-service.rabbitmqSecret" -}}
{{- if not .Values.secretFiles.RABBITMQ_PASS -}}
{{ default (printf "%s-rabbitmq" (include "user-service.fullname" .)) .Values.rabbitmq.existingSecret }}
{{- end -}}
{{- end }}
{{- define "user-service.jwtSecret" -}}
{{- if not .Values.secretFiles.JWT_SECRET -}}
{{ default (printf "%s-jwt" (include "user-service.fullname" .)) .Values.jwt.existingSecret }}
{{- end -}}
{{- end }}
{{/* The Secret with DATA_KEY; nothing while second factors are off, or the key is in a file of the pods. */}}
{{- define "user-service.dataKeySecret" -}}
{{- if and .Values.dataKey.enabled (not .Values.secretFiles.DATA_KEY) -}}
{{ default (printf "%s-data-key" (include "user-service.fullname" .)) .Values.dataKey.existingSecret }}
{{- end -}}
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

{{/* DATA_KEY: the value, otherwise the key that the Secret has, otherwise the base64 of 32 random bytes. */}}
{{- define "user-service.dataKey" -}}
{{- $found := get (default dict (lookup "v1" "Secret" .Release.Namespace (include "user-service.dataKeySecret" .)).data) .Values.dataKey.keys.key -}}
{{- if .Values.dataKey.key -}}
{{ .Values.dataKey.key }}
{{- else if $found -}}
{{ b64dec $found }}
{{- else -}}
{{ randBytes 32 }}
{{- end -}}
{{- end }}

{{/*
Variables as env. Helm parses numbers as floats, which print large integers with an exponent. Parameter: the variables
by name, as in config.
*/}}
{{- define "user-service.config" -}}
{{- range $name, $value := . }}
{{- if kindIs "invalid" $value }}
{{- continue }}
{{- end }}
{{- if and (kindIs "float64" $value) (eq (float64 $value) (floor $value)) }}
{{- $value = int64 $value }}
{{- end }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- end }}

{{/* Converts a duration of Go, such as 1m30s, to seconds. */}}
{{- define "user-service.seconds" -}}
{{- $sum := 0.0 -}}
{{- $units := dict "ns" 1e-9 "us" 1e-6 "µs" 1e-6 "ms" 1e-3 "s" 1.0 "m" 60.0 "h" 3600.0 -}}
{{- range regexFindAll "[0-9.]+(ns|us|µs|ms|h|m|s)" . -1 -}}
{{- $unit := regexFind "[a-zµ]+$" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{ $sum }}
{{- end }}

{{/* Whether a value is a quantity of memory that the chart can convert. */}}
{{- define "user-service.isMemory" -}}
{{- if regexMatch "^[0-9]+(\\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$" (toString .) }}yes{{ end -}}
{{- end }}

{{/* Converts a quantity of memory to MiB, rounded down. */}}
{{- define "user-service.mebibytes" -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- $units := dict "" 1.0 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 -}}
{{- $bytes := get $units $unit -}}
{{- divf (mulf (trimSuffix $unit $text | float64) (default 1.0 $bytes)) 1048576.0 | floor | int -}}
{{- end }}

{{/*
The ports of the database outside of the pod, as a JSON list: those of the hosts in database.url. A host without a port,
and any host of a Secret, has networkPolicy.databasePort.
*/}}
{{- define "user-service.databasePorts" -}}
{{- $default := int .Values.networkPolicy.databasePort -}}
{{- $ports := list -}}
{{- if .Values.quickstart.enabled -}}
{{-   $ports = list 5432 -}}
{{- else if .Values.database.url -}}
{{-   range include "user-service.databaseHosts" . | fromJsonArray -}}
{{-     if not (regexMatch "^(/|localhost$|127\\.|::1$)" .host) -}}
{{-       $ports = append $ports (default $default (int .port)) -}}
{{-     end -}}
{{-   end -}}
{{- else -}}
{{-   $ports = list $default -}}
{{- end -}}
{{ toJson (uniq $ports) }}
{{- end }}

{{/*
The hosts and ports of database.url, as a JSON list of objects. A URL has a list of host:port, where an IPv6 address is in
brackets, or parameters host and port. The directory of a socket begins with a slash.
*/}}
{{- define "user-service.databaseHosts" -}}
{{- $rest := regexReplaceAll "^[a-z]+://([^@/?]*@)?" .Values.database.url "" -}}
{{- $authority := regexFind "^[^/?]*" $rest -}}
{{- $query := regexFind "\\?.*" $rest -}}
{{- $inQuery := regexFind "[?&]host=[^&]*" $query | trimAll "?&" | trimPrefix "host=" -}}
{{- $ports := regexFind "[?&]port=[^&]*" $query | trimAll "?&" | trimPrefix "port=" | splitList "," -}}
{{- $hosts := list -}}
{{- range $i, $host := splitList "," (default $authority $inQuery) -}}
{{-   $port := index $ports (min $i (sub (len $ports) 1) | int) -}}
{{-   if not $inQuery -}}
{{-     $port = regexFind ":[0-9]+$" $host | trimPrefix ":" | default $port -}}
{{-     $host = regexReplaceAll ":[0-9]*$" $host "" | trimAll "[]" -}}
{{-   end -}}
{{-   $hosts = append $hosts (dict "host" (regexReplaceAll "%2[Ff]" $host "/") "port" $port) -}}
{{- end -}}
{{ toJson $hosts }}
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
{{- $default := ternary 5671 5672 (ne (include "user-service.rabbitmqHasTLS" .) "") -}}
{{ coalesce (toString .Values.rabbitmq.port) (toString .Values.networkPolicy.rabbitmqPort) (toString $default) }}
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

{{/* The hosts of the Ingress, each with its paths, as a JSON list. */}}
{{- define "user-service.ingressHosts" -}}
{{- $ingress := .Values.ingress -}}
{{- $hosts := list -}}
{{- range $ingress.hosts -}}
{{-   $host := ternary (dict "host" .) . (kindIs "string" .) -}}
{{-   $paths := list -}}
{{-   range default (list (dict "path" $ingress.path)) $host.paths -}}
{{-     $paths = append $paths (dict "path" .path "pathType" (default $ingress.pathType .pathType)) -}}
{{-   end -}}
{{-   $hosts = append $hosts (dict "host" $host.host "paths" $paths) -}}
{{- end -}}
{{ toJson $hosts }}
{{- end }}

{{/* The families of the addresses of a Service. */}}
{{- define "user-service.ipFamilies" -}}
{{- with .Values.service.ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .Values.service.ipFamilies }}
ipFamilies: {{ toJson . }}
{{- end }}
{{- end }}
