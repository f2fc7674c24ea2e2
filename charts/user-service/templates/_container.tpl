{{/* What the service's container and the migration's know of the database and the broker. Secrets are files, which are read again. */}}
{{- define "user-service.secretsPath" -}}/etc/user-service/secrets{{- end }}

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

{{/* OpenTelemetry reads it from the environment alone. Only the service sends traces. */}}
{{- define "user-service.otlpHeadersEnv" -}}
{{- with .Values.otlpHeaders.existingSecret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom:
    secretKeyRef: {name: {{ . }}, key: {{ $.Values.otlpHeaders.keys.headers }}}
{{- end }}
{{- end }}

{{/* A Secret of the chart always has the key, so that a rotation needs no new pods. */}}
{{- define "user-service.acceptedSecretsKey" -}}
{{ ternary .Values.jwt.keys.acceptedSecrets "accepted-secrets" (ne .Values.jwt.existingSecret "") }}
{{- end }}

{{/* What the values say of the broker; what is empty is in its Secret. */}}
{{- define "user-service.rabbitmqValues" -}}
host: {{ ternary (printf "%s-rabbitmq" (include "user-service.fullname" .)) .Values.rabbitmq.host .Values.quickstart.enabled | quote }}
port: {{ ternary (include "user-service.rabbitmqPort" .) (toString .Values.rabbitmq.port) (or .Values.quickstart.enabled (not .Values.rabbitmq.existingSecret)) | quote }}
user: {{ ternary "user_service" .Values.rabbitmq.user .Values.quickstart.enabled | quote }}
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

{{/* 90 % of the memory limit, so that Go collects before the system kills. */}}
{{- define "user-service.memoryLimitEnv" -}}
{{- with ((.Values.resources).limits).memory }}
- name: GOMEMLIMIT
  value: {{ printf "%dMiB" (div (mul (include "user-service.mebibytes" . | int) 9) 10) }}
{{- end }}
{{- end }}
