{{/* The directory of the Secrets. They are files, because the service reads a file again after a rotation. */}}
{{- define "user-service.secretsPath" -}}/etc/user-service/secrets{{- end }}

{{/*
The path of a secret. Parameters: root ($), variable, file (its name in the directory of the Secrets), files (secretFiles of
the pods; default: the service's).
*/}}
{{- define "user-service.secretPath" -}}
{{- $own := printf "%s/%s" (include "user-service.secretsPath" .root) .file -}}
{{ get (default .root.Values.secretFiles .files) .variable | default $own }}
{{- end }}

{{/* Host, port and user of the broker. The pods read an empty one from a file. */}}
{{- define "user-service.rabbitmqValues" -}}
{{- $host := .Values.rabbitmq.host | trimPrefix "[" | trimSuffix "]" -}}
{{- $port := toString .Values.rabbitmq.port -}}
{{- $user := .Values.rabbitmq.user -}}
{{- if .Values.quickstart.enabled -}}
{{-   $host = printf "%s-rabbitmq" (include "user-service.fullname" .) -}}
{{-   $port = include "user-service.rabbitmqPort" . -}}
{{-   $user = "user_service" -}}
{{- else if not (or .Values.rabbitmq.existingSecret .Values.secretFiles.RABBITMQ_PORT) -}}
{{-   $port = include "user-service.rabbitmqPort" . -}}
{{- end -}}
host: {{ $host | quote }}
port: {{ $port | quote }}
user: {{ $user | quote }}
{{- end }}

{{- define "user-service.env" -}}
{{- $rabbitmq := include "user-service.rabbitmqValues" . | fromYaml }}
{{- include "user-service.serversEnv" (dict "root" $ "rabbitmq" $rabbitmq "files" .Values.secretFiles) }}
{{- range $variable, $key := include "user-service.jwtKeys" . | fromYaml }}
{{- $file := $variable | lower | replace "_" "-" }}
- name: {{ $variable }}_FILE
  value: {{ include "user-service.secretPath" (dict "root" $ "variable" $variable "file" $file) }}
{{- end }}
{{- range $variable, $key := include "user-service.dataKeys" . | fromYaml }}
{{- $file := $variable | lower | replace "_" "-" }}
- name: {{ $variable }}_FILE
  value: {{ include "user-service.secretPath" (dict "root" $ "variable" $variable "file" $file) }}
{{- end }}
{{- include "user-service.databaseTLSEnv" (dict "root" $ "certSecret" .Values.database.tls.certSecret) }}
{{- include "user-service.rabbitmqTLSEnv" . }}
{{- end }}

{{/* Database and broker. Parameters: root ($), rabbitmq (host, port and user; empty ones are files), files (secretFiles). */}}
{{- define "user-service.serversEnv" -}}
{{- $paths := dict "root" .root "files" .files -}}
- name: DATABASE_URL_FILE
  value: {{ include "user-service.secretPath" (merge (dict "variable" "DATABASE_URL" "file" "database-url") $paths) }}
- name: RABBITMQ_PASS_FILE
  value: {{ include "user-service.secretPath" (merge (dict "variable" "RABBITMQ_PASS" "file" "rabbitmq-password") $paths) }}
{{- range $name := list "host" "port" "user" }}
{{- $variable := printf "RABBITMQ_%s" (upper $name) }}
{{- with index $.rabbitmq $name }}
- name: {{ $variable }}
  value: {{ . | quote }}
{{- else }}
- name: {{ $variable }}_FILE
  value: {{ include "user-service.secretPath" (merge (dict "variable" $variable "file" (printf "rabbitmq-%s" $name)) $paths) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The keys of the secrets of tokens by variable, without variables that are not set. The chart's own Secret always has the
accepted secrets, so that a rotation needs no new pods. The key of a variable in secretFiles is unused.
*/}}
{{- define "user-service.jwtKeys" -}}
{{- $jwt := .Values.jwt -}}
{{- $accepted := ternary $jwt.keys.acceptedSecrets "accepted-secrets" (ne $jwt.existingSecret "") -}}
{{- $keys := dict "JWT_SECRET" $jwt.keys.secret -}}
{{- if include "user-service.jwtSecret" . -}}
{{-   $keys = merge $keys (dict "JWT_ACCEPTED_SECRETS" $accepted "JWT_PRIVATE_KEY" $jwt.keys.privateKey
        "JWT_ACCEPTED_KEYS" $jwt.keys.acceptedKeys) -}}
{{- end -}}
{{- range $variable, $path := .Values.secretFiles -}}
{{-   if hasPrefix "JWT_" $variable -}}
{{-     $_ := set $keys $variable "in a file" -}}
{{-   end -}}
{{- end -}}
{{- range $variable, $key := $keys -}}
{{-   if $key }}
{{ $variable }}: {{ $key }}
{{-   end -}}
{{- end -}}
{{- end }}

{{/*
The keys of DATA_KEY and DATA_ACCEPTED_KEYS by variable, without variables that are not set. The chart's own Secret always
has the accepted keys, so that a rotation needs no new pods. The key of a variable in secretFiles is unused.
*/}}
{{- define "user-service.dataKeys" -}}
{{- $data := .Values.dataKey -}}
{{- $keys := dict -}}
{{- if include "user-service.dataKeySecret" . -}}
{{-   $accepted := ternary $data.keys.acceptedKeys "accepted-keys" (ne $data.existingSecret "") -}}
{{-   $keys = dict "DATA_KEY" $data.keys.key "DATA_ACCEPTED_KEYS" $accepted -}}
{{- end -}}
{{- range $variable, $path := .Values.secretFiles -}}
{{-   if hasPrefix "DATA_" $variable -}}
{{-     $_ := set $keys $variable "in a file" -}}
{{-   end -}}
{{- end -}}
{{- range $variable, $key := $keys -}}
{{-   if $key }}
{{ $variable }}: {{ $key }}
{{-   end -}}
{{- end -}}
{{- end }}

{{/* The driver of PostgreSQL reads these variables. Parameters in the URL take precedence. Parameters: root ($), certSecret. */}}
{{- define "user-service.databaseTLSEnv" -}}
{{- $tls := .root.Values.database.tls -}}
{{- with default (ternary "verify-full" "" (ne $tls.caSecret "")) $tls.mode }}
- name: PGSSLMODE
  value: {{ . }}
{{- end }}
{{- if $tls.caSecret }}
- name: PGSSLROOTCERT
  value: {{ include "user-service.secretsPath" .root }}/database-ca.crt
{{- end }}
{{- if .certSecret }}
- name: PGSSLCERT
  value: {{ include "user-service.secretsPath" .root }}/database-tls.crt
- name: PGSSLKEY
  value: {{ include "user-service.secretsPath" .root }}/database-tls.key
{{- end }}
{{- end }}

{{- define "user-service.rabbitmqTLSEnv" -}}
{{- $tls := .Values.rabbitmq.tls -}}
{{- if include "user-service.rabbitmqHasTLS" . }}
- name: RABBITMQ_TLS
  value: "true"
{{- if $tls.caSecret }}
- name: RABBITMQ_CA_FILE
  value: {{ include "user-service.secretsPath" . }}/rabbitmq-ca.crt
{{- end }}
{{- if $tls.certSecret }}
- name: RABBITMQ_CERT_FILE
  value: {{ include "user-service.secretsPath" . }}/rabbitmq-tls.crt
- name: RABBITMQ_KEY_FILE
  value: {{ include "user-service.secretsPath" . }}/rabbitmq-tls.key
{{- end }}
{{- end }}
{{- end }}

{{- define "user-service.rabbitmqHasTLS" -}}
{{- with .Values.rabbitmq.tls -}}
{{- if or (eq .mode "verify-full") (and (eq .mode "") (or .caSecret .certSecret)) }}yes{{ end -}}
{{- end -}}
{{- end }}

{{/* OpenTelemetry can't read the headers from a file. */}}
{{- define "user-service.otlpHeadersEnv" -}}
{{- with .Values.otlpHeaders.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.Values.otlpHeaders.keys.headers }}}
{{- end }}
{{- end }}

{{/* The volume with the secrets of the service, and nothing if files of secretFiles replace all of them. */}}
{{- define "user-service.secretsVolume" -}}
{{- include "user-service.projectedVolume" (include "user-service.secretSources" . | fromYamlArray) }}
{{- end }}

{{/* The volume with files of Secrets. Parameter: its sources. */}}
{{- define "user-service.projectedVolume" -}}
{{- with . }}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- toYaml . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "user-service.secretSources" -}}
{{- $v := .Values -}}
{{- with include "user-service.databaseSecret" . }}
- secret:
    name: {{ . }}
    items: [{key: {{ $v.database.keys.url }}, path: database-url}]
{{- end }}
{{- with include "user-service.rabbitmqSecret" . }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $v.rabbitmq.keys.password }}, path: rabbitmq-password}
      {{- $rabbitmq := include "user-service.rabbitmqValues" $ | fromYaml }}
      {{- range $name := list "host" "port" "user" }}
      {{- if not (or (index $rabbitmq $name) (get $v.secretFiles (printf "RABBITMQ_%s" (upper $name)))) }}
      - {key: {{ index $v.rabbitmq.keys $name }}, path: rabbitmq-{{ $name }}}
      {{- end }}
      {{- end }}
{{- end }}
{{- with include "user-service.jwtSecret" . }}
- secret:
    name: {{ . }}
    items:
      {{- range $variable, $key := include "user-service.jwtKeys" $ | fromYaml }}
      {{- if not (get $v.secretFiles $variable) }}
      - {key: {{ $key }}, path: {{ $variable | lower | replace "_" "-" }}}
      {{- end }}
      {{- end }}
{{- end }}
{{- with include "user-service.dataKeySecret" . }}
- secret:
    name: {{ . }}
    items:
      {{- range $variable, $key := include "user-service.dataKeys" $ | fromYaml }}
      {{- if not (get $v.secretFiles $variable) }}
      - {key: {{ $key }}, path: {{ $variable | lower | replace "_" "-" }}}
      {{- end }}
      {{- end }}
{{- end }}
{{- include "user-service.tlsSources" (dict "tls" $v.database.tls "of" "database" "certSecret" $v.database.tls.certSecret) }}
{{- include "user-service.tlsSources" (dict "tls" $v.rabbitmq.tls "of" "rabbitmq" "certSecret" $v.rabbitmq.tls.certSecret) }}
{{- end }}

{{/* Parameters: tls (a section of the values), of (the prefix of the files), certSecret. */}}
{{- define "user-service.tlsSources" -}}
{{- with .tls.caSecret }}
- secret:
    name: {{ . }}
    items: [{key: {{ $.tls.keys.ca }}, path: {{ $.of }}-ca.crt}]
{{- end }}
{{- with .certSecret }}
- secret:
    name: {{ . }}
    items: [{key: {{ $.tls.keys.cert }}, path: {{ $.of }}-tls.crt}, {key: {{ $.tls.keys.key }}, path: {{ $.of }}-tls.key}]
{{- end }}
{{- end }}

{{- define "user-service.secretsMount" -}}
- {name: secrets, mountPath: {{ include "user-service.secretsPath" . }}, readOnly: true}
{{- end }}

{{/* The mounts of a container with the settings of the service. */}}
{{- define "user-service.mounts" -}}
{{- if include "user-service.secretsVolume" . }}
{{ include "user-service.secretsMount" . }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* 90 % of the memory limit, so that Go collects garbage before the kernel kills the process. Parameter: the resources. */}}
{{- define "user-service.memoryLimitEnv" -}}
{{- with ((.).limits).memory }}
- name: GOMEMLIMIT
  value: {{ printf "%dMiB" (div (mul (include "user-service.mebibytes" . | int) 9) 10) }}
{{- end }}
{{- end }}
