{{/* The directory of the Secrets. They are files, because the service reads a file again after a rotation. */}}
{{- define "user-service.secretsPath" -}}/etc/user-service/secrets{{- end }}

{{/* Host, port and user of the broker. The pods read an empty one from rabbitmq.existingSecret. */}}
{{- define "user-service.rabbitmqValues" -}}
{{- $host := .Values.rabbitmq.host -}}
{{- $port := toString .Values.rabbitmq.port -}}
{{- $user := .Values.rabbitmq.user -}}
{{- if .Values.quickstart.enabled -}}
{{-   $host = printf "%s-rabbitmq" (include "user-service.fullname" .) -}}
{{-   $port = include "user-service.rabbitmqPort" . -}}
{{-   $user = "user_service" -}}
{{- else if not .Values.rabbitmq.existingSecret -}}
{{-   $port = include "user-service.rabbitmqPort" . -}}
{{- end -}}
host: {{ $host | quote }}
port: {{ $port | quote }}
user: {{ $user | quote }}
{{- end }}

{{- define "user-service.env" -}}
- name: DATABASE_URL_FILE
  value: {{ include "user-service.secretsPath" . }}/database-url
- name: RABBITMQ_PASS_FILE
  value: {{ include "user-service.secretsPath" . }}/rabbitmq-password
{{- $rabbitmq := include "user-service.rabbitmqValues" . | fromYaml }}
{{- range $name := list "host" "port" "user" }}
{{- $variable := printf "RABBITMQ_%s" (upper $name) }}
{{- with index $rabbitmq $name }}
- name: {{ $variable }}
  value: {{ . | quote }}
{{- else }}
- name: {{ $variable }}_FILE
  value: {{ include "user-service.secretsPath" $ }}/rabbitmq-{{ $name }}
{{- end }}
{{- end }}
- name: JWT_SECRET_FILE
  value: {{ include "user-service.secretsPath" . }}/jwt-secret
{{- if include "user-service.acceptedSecretsKey" . }}
- name: JWT_ACCEPTED_SECRETS_FILE
  value: {{ include "user-service.secretsPath" . }}/jwt-accepted-secrets
{{- end }}
{{- if .Values.jwt.keys.privateKey }}
- name: JWT_PRIVATE_KEY_FILE
  value: {{ include "user-service.secretsPath" . }}/jwt-private-key
{{- end }}
{{- if .Values.jwt.keys.acceptedKeys }}
- name: JWT_ACCEPTED_KEYS_FILE
  value: {{ include "user-service.secretsPath" . }}/jwt-accepted-keys
{{- end }}
{{- end }}

{{/* OpenTelemetry can't read the headers from a file. */}}
{{- define "user-service.otlpHeadersEnv" -}}
{{- with .Values.otlpHeaders.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.Values.otlpHeaders.keys.headers }}}
{{- end }}
{{- end }}

{{/*
The key of the accepted secrets, if the Secret has one. The chart's own Secret always has the key, so that a rotation
needs no new pods.
*/}}
{{- define "user-service.acceptedSecretsKey" -}}
{{- if .Values.jwt.existingSecret -}}
{{ .Values.jwt.keys.acceptedSecrets }}
{{- else -}}
accepted-secrets
{{- end -}}
{{- end }}

{{- define "user-service.secretsVolume" -}}
name: secrets
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ include "user-service.databaseSecret" . }}
        items: [{key: {{ .Values.database.keys.url }}, path: database-url}]
    - secret:
        name: {{ include "user-service.rabbitmqSecret" . }}
        items:
          - {key: {{ .Values.rabbitmq.keys.password }}, path: rabbitmq-password}
          {{- $rabbitmq := include "user-service.rabbitmqValues" . | fromYaml }}
          {{- range $name := list "host" "port" "user" }}
          {{- if not (index $rabbitmq $name) }}
          - {key: {{ index $.Values.rabbitmq.keys $name }}, path: rabbitmq-{{ $name }}}
          {{- end }}
          {{- end }}
    - secret:
        name: {{ include "user-service.jwtSecret" . }}
        items:
          - {key: {{ .Values.jwt.keys.secret }}, path: jwt-secret}
          {{- with include "user-service.acceptedSecretsKey" . }}
          - {key: {{ . }}, path: jwt-accepted-secrets}
          {{- end }}
          {{- with .Values.jwt.keys.privateKey }}
          - {key: {{ . }}, path: jwt-private-key}
          {{- end }}
          {{- with .Values.jwt.keys.acceptedKeys }}
          - {key: {{ . }}, path: jwt-accepted-keys}
          {{- end }}
{{- end }}

{{/* 90 % of the memory limit, so that Go collects garbage before the kernel kills the process. Parameter: the resources. */}}
{{- define "user-service.memoryLimitEnv" -}}
{{- with ((.).limits).memory }}
- name: GOMEMLIMIT
  value: {{ printf "%dMiB" (div (mul (include "user-service.mebibytes" . | int) 9) 10) }}
{{- end }}
{{- end }}
