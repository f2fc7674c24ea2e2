{{- define "user-service.templatesPath" -}}/etc/user-service/templates{{- end }}

{{/* The variables of the mailer: those of config, then those of mailer.config, and mailer.extraEnv. */}}
{{- define "user-service.mailerEnvironment" -}}
{{- dict "config" (merge dict .Values.mailer.config .Values.config) "extraEnv" .Values.mailer.extraEnv | toYaml -}}
{{- end }}

{{/* The secretFiles of the mailer's pods: their own, and those of the service that have no Secret of the mailer. */}}
{{- define "user-service.mailerFiles" -}}
{{- $shared := pick .Values.secretFiles "RABBITMQ_HOST" "RABBITMQ_PORT" -}}
{{- if not .Values.mailer.database.existingSecret -}}
{{-   $shared = pick .Values.secretFiles "RABBITMQ_HOST" "RABBITMQ_PORT" "DATABASE_URL" -}}
{{- end -}}
{{ merge dict .Values.mailer.secretFiles $shared | toYaml }}
{{- end }}

{{/*
The Secrets of the mailer: those of the values, or those that the chart creates. There is no Secret if a file has its main
variable. The quickstart has one user.
*/}}
{{- define "user-service.smtpSecret" -}}
{{- if not .Values.mailer.secretFiles.SMTP_URL -}}
{{ default (printf "%s-smtp" (include "user-service.mailerName" .)) .Values.mailer.smtp.existingSecret }}
{{- end -}}
{{- end }}
{{- define "user-service.mailerRabbitmqSecret" -}}
{{- if .Values.quickstart.enabled -}}
{{ include "user-service.rabbitmqSecret" . }}
{{- else if not .Values.mailer.secretFiles.RABBITMQ_PASS -}}
{{ default (printf "%s-rabbitmq" (include "user-service.mailerName" .)) .Values.mailer.rabbitmq.existingSecret }}
{{- end -}}
{{- end }}
{{- define "user-service.mailerDatabaseSecret" -}}
{{- if not (include "user-service.mailerFiles" . | fromYaml).DATABASE_URL -}}
{{ default (include "user-service.databaseSecret" .) .Values.mailer.database.existingSecret }}
{{- end -}}
{{- end }}

{{/* Host and port of the broker as for the service, and the user of the mailer. The pods read empty ones from files. */}}
{{- define "user-service.mailerRabbitmqValues" -}}
{{- $rabbitmq := include "user-service.rabbitmqValues" . | fromYaml -}}
host: {{ $rabbitmq.host | quote }}
port: {{ $rabbitmq.port | quote }}
user: {{ ternary $rabbitmq.user .Values.mailer.rabbitmq.user .Values.quickstart.enabled | quote }}
{{- end }}

{{- define "user-service.mailerEnv" -}}
{{- $m := .Values.mailer -}}
{{- $files := include "user-service.mailerFiles" . | fromYaml -}}
{{- $rabbitmq := include "user-service.mailerRabbitmqValues" . | fromYaml -}}
{{- include "user-service.serversEnv" (dict "root" $ "rabbitmq" $rabbitmq "files" $files) }}
{{- include "user-service.databaseTLSEnv" (dict "root" $ "certSecret" (include "user-service.mailerCertSecret" .)) }}
{{- include "user-service.rabbitmqTLSEnv" . }}
- name: SMTP_URL_FILE
  value: {{ include "user-service.secretPath" (dict "root" $ "files" $files "variable" "SMTP_URL" "file" "smtp-url") }}
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

{{/* The client certificate of the mailer's role in the database. */}}
{{- define "user-service.mailerCertSecret" -}}
{{ default .Values.database.tls.certSecret .Values.mailer.database.certSecret }}
{{- end }}

{{- define "user-service.mailerVolumes" -}}
{{- include "user-service.projectedVolume" (include "user-service.mailerSources" . | fromYamlArray) }}
{{- with .Values.mailer.templatesConfigMap }}
- name: templates
  configMap: {name: {{ . }}}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "user-service.mailerMounts" -}}
{{- if include "user-service.mailerSources" . | fromYamlArray }}
{{ include "user-service.secretsMount" . }}
{{- end }}
{{- if .Values.mailer.templatesConfigMap }}
- {name: templates, mountPath: {{ include "user-service.templatesPath" . }}, readOnly: true}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "user-service.mailerSources" -}}
{{- $v := .Values -}}
{{- $m := $v.mailer -}}
{{- with include "user-service.mailerDatabaseSecret" . }}
- secret:
    name: {{ . }}
    items: [{key: {{ $v.database.keys.url }}, path: database-url}]
{{- end }}
{{- include "user-service.mailerRabbitmqSources" . }}
{{- with include "user-service.smtpSecret" . }}
- secret:
    name: {{ . }}
    items: [{key: {{ $m.smtp.keys.url }}, path: smtp-url}]
{{- end }}
{{- include "user-service.tlsSources" (dict "tls" $v.database.tls "of" "database"
  "certSecret" (include "user-service.mailerCertSecret" .)) }}
{{- include "user-service.tlsSources" (dict "tls" $v.rabbitmq.tls "of" "rabbitmq" "certSecret" $v.rabbitmq.tls.certSecret) }}
{{- end }}

{{/* Host and port come from the Secret of the service, user and password from that of the mailer. */}}
{{- define "user-service.mailerRabbitmqSources" -}}
{{- $rabbitmq := include "user-service.mailerRabbitmqValues" . | fromYaml -}}
{{- $files := include "user-service.mailerFiles" . | fromYaml -}}
{{- $keys := ternary .Values.rabbitmq.keys .Values.mailer.rabbitmq.keys .Values.quickstart.enabled -}}
{{- $items := list -}}
{{- range $name := list "host" "port" -}}
{{-   if not (or (index $rabbitmq $name) (get $files (printf "RABBITMQ_%s" (upper $name)))) -}}
{{-     $items = append $items (dict "key" (index $.Values.rabbitmq.keys $name) "path" (printf "rabbitmq-%s" $name)) -}}
{{-   end -}}
{{- end -}}
{{- with $items }}
- secret:
    name: {{ include "user-service.rabbitmqSecret" $ }}
    items: {{ toJson . }}
{{- end }}
{{- with include "user-service.mailerRabbitmqSecret" . }}
- secret:
    name: {{ . }}
    items:
      - {key: {{ $keys.password }}, path: rabbitmq-password}
      {{- if not (or $rabbitmq.user $files.RABBITMQ_USER) }}
      - {key: {{ $keys.user }}, path: rabbitmq-user}
      {{- end }}
{{- end }}
{{- end }}
