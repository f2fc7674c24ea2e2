{{- define "user-service.templatesPath" -}}/etc/user-service/templates{{- end }}

{{/* The variables of the mailer: those of config, then those of mailer.config, and mailer.extraEnv. */}}
{{- define "user-service.mailerEnvironment" -}}
{{- dict "config" (merge dict .Values.mailer.config .Values.config) "extraEnv" .Values.mailer.extraEnv | toYaml -}}
{{- end }}

{{/* The Secrets of the mailer: those of the values, or those that the chart creates. The quickstart has one user. */}}
{{- define "user-service.smtpSecret" -}}
{{ default (printf "%s-smtp" (include "user-service.mailerName" .)) .Values.mailer.smtp.existingSecret }}
{{- end }}
{{- define "user-service.mailerRabbitmqSecret" -}}
{{- if .Values.quickstart.enabled -}}
{{ include "user-service.rabbitmqSecret" . }}
{{- else -}}
{{ default (printf "%s-rabbitmq" (include "user-service.mailerName" .)) .Values.mailer.rabbitmq.existingSecret }}
{{- end -}}
{{- end }}
{{- define "user-service.mailerDatabaseSecret" -}}
{{ default (include "user-service.databaseSecret" .) .Values.mailer.database.existingSecret }}
{{- end }}

{{/* Host and port of the broker as for the service, and the user of the mailer. The pods read empty ones from Secrets. */}}
{{- define "user-service.mailerRabbitmqValues" -}}
{{- $rabbitmq := include "user-service.rabbitmqValues" . | fromYaml -}}
host: {{ $rabbitmq.host | quote }}
port: {{ $rabbitmq.port | quote }}
user: {{ ternary $rabbitmq.user .Values.mailer.rabbitmq.user .Values.quickstart.enabled | quote }}
{{- end }}

{{- define "user-service.mailerEnv" -}}
{{- $m := .Values.mailer -}}
{{- $secrets := include "user-service.secretsPath" . -}}
- name: DATABASE_URL_FILE
  value: {{ $secrets }}/database-url
- name: RABBITMQ_PASS_FILE
  value: {{ $secrets }}/rabbitmq-password
{{- $rabbitmq := include "user-service.mailerRabbitmqValues" . | fromYaml }}
{{- range $name := list "host" "port" "user" }}
{{- $variable := printf "RABBITMQ_%s" (upper $name) }}
{{- with index $rabbitmq $name }}
- name: {{ $variable }}
  value: {{ . | quote }}
{{- else }}
- name: {{ $variable }}_FILE
  value: {{ $secrets }}/rabbitmq-{{ $name }}
{{- end }}
{{- end }}
- name: SMTP_URL_FILE
  value: {{ $secrets }}/smtp-url
- name: MAIL_FROM
  value: {{ $m.from | quote }}
- name: MAIL_LINKS_BASE_URL
  value: {{ $m.linksBaseURL | quote }}
{{- with $m.productName }}
- name: MAIL_PRODUCT_NAME
  value: {{ . | quote }}
{{- end }}
{{- if $m.templatesConfigMap }}
- name: MAIL_TEMPLATES_DIR
  value: {{ include "user-service.templatesPath" . }}
{{- end }}
{{- end }}

{{- define "user-service.mailerSecretsVolume" -}}
{{- $m := .Values.mailer -}}
{{- $rabbitmq := include "user-service.mailerRabbitmqValues" . | fromYaml -}}
{{- $keys := ternary .Values.rabbitmq.keys $m.rabbitmq.keys .Values.quickstart.enabled -}}
name: secrets
projected:
  defaultMode: 0440
  sources:
    - secret:
        name: {{ include "user-service.mailerDatabaseSecret" . }}
        items: [{key: {{ .Values.database.keys.url }}, path: database-url}]
    {{- if not (and $rabbitmq.host $rabbitmq.port) }}
    - secret:
        name: {{ include "user-service.rabbitmqSecret" . }}
        items:
          {{- range $name := list "host" "port" }}
          {{- if not (index $rabbitmq $name) }}
          - {key: {{ index $.Values.rabbitmq.keys $name }}, path: rabbitmq-{{ $name }}}
          {{- end }}
          {{- end }}
    {{- end }}
    - secret:
        name: {{ include "user-service.mailerRabbitmqSecret" . }}
        items:
          - {key: {{ $keys.password }}, path: rabbitmq-password}
          {{- if not $rabbitmq.user }}
          - {key: {{ $keys.user }}, path: rabbitmq-user}
          {{- end }}
    - secret:
        name: {{ include "user-service.smtpSecret" . }}
        items: [{key: {{ $m.smtp.keys.url }}, path: smtp-url}]
{{- end }}
