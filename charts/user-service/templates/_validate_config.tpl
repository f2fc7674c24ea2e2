{{/* The variables that the chart sets, with the value to use in place of each. */}}
{{- define "user-service.chartVariables" -}}
DATABASE_URL: database
MIGRATION_DATABASE_URL: migration.existingSecret
RABBITMQ_HOST: rabbitmq.host
RABBITMQ_PORT: rabbitmq.port
RABBITMQ_USER: rabbitmq.user
RABBITMQ_PASS: rabbitmq
JWT_SECRET: jwt
JWT_ACCEPTED_SECRETS: jwt
JWT_PRIVATE_KEY: jwt.keys.privateKey
JWT_ACCEPTED_KEYS: jwt.keys.acceptedKeys
DATA_KEY: dataKey
DATA_ACCEPTED_KEYS: dataKey.keys.acceptedKeys
HTTP_ADDR: service.port
METRICS_ADDR: service.metricsPort
GOMEMLIMIT: resources.limits.memory
PGSSLMODE: database.tls.mode
PGSSLROOTCERT: database.tls.caSecret
PGSSLCERT: database.tls.certSecret
PGSSLKEY: database.tls.certSecret
RABBITMQ_TLS: rabbitmq.tls.mode
RABBITMQ_CA_FILE: rabbitmq.tls.caSecret
RABBITMQ_CERT_FILE: rabbitmq.tls.certSecret
RABBITMQ_KEY_FILE: rabbitmq.tls.certSecret
SMTP_URL: mailer.smtp
MAIL_FROM: mailer.from
MAIL_LINKS_BASE_URL: mailer.linksBaseURL
MAIL_PRODUCT_NAME: mailer.productName
MAIL_TEMPLATES_DIR: mailer.templatesConfigMap
OTEL_EXPORTER_OTLP_HEADERS: otlpHeaders.existingSecret
OTEL_EXPORTER_OTLP_TRACES_HEADERS: otlpHeaders.existingSecret
{{- end }}

{{- define "user-service.problems.config" -}}
{{- include "user-service.problemsOfConfig" (dict "root" $ "config" .Values.config "prefix" "") -}}
{{- end }}

{{/* Parameters: root ($), config, and prefix, the path of the values that contain config. */}}
{{- define "user-service.problemsOfConfig" -}}
{{- $problems := list -}}
{{- $prefix := .prefix -}}
{{- $chartVariables := include "user-service.chartVariables" . | fromYaml -}}
{{- $schema := .root.Files.Get "generated/config.json" | fromJson -}}
{{- range $name, $value := .config -}}
{{-   $path := printf "%sconfig.%s" $prefix $name -}}
{{-   $plain := trimSuffix "_FILE" $name -}}
{{-   $invalid := include "user-service.invalid" (dict "variable" (get $schema $name) "value" $value) -}}
{{-   if kindIs "invalid" $value -}}
{{-   else if hasKey $chartVariables $plain -}}
{{-     $problems = append $problems (printf "%s is set by the chart: use %s instead." $path (get $chartVariables $plain)) -}}
{{-   else if include "user-service.isSecret" (dict "name" $name "value" $value) -}}
{{-     $problems = append $problems (printf (print "%s has a secret, which the description of every pod would show: "
          "take it from a Secret, by %sextraEnv with valueFrom.secretKeyRef.") $path $prefix) -}}
{{-   else if include "user-service.isUnknown" (dict "name" $name "schema" $schema) -}}
{{-     $problems = append $problems (printf "%s is not a variable of the service: %s." $path
          (include "user-service.nearName" (dict "name" $name "schema" $schema))) -}}
{{-   else if $invalid -}}
{{-     $problems = append $problems (printf "%s is %s: %s." $path (toString $value) $invalid) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.extraEnv" -}}
{{- include "user-service.problemsOfExtraEnv" (dict "root" $ "config" .Values.config "extraEnv" .Values.extraEnv "prefix" "") -}}
{{- end }}

{{/* Parameters: root ($), extraEnv, config, and prefix, the path of the values that contain extraEnv. */}}
{{- define "user-service.problemsOfExtraEnv" -}}
{{- $problems := list -}}
{{- $in := printf "%sextraEnv" .prefix -}}
{{- $config := .config -}}
{{- $chartVariables := include "user-service.chartVariables" . | fromYaml -}}
{{- $schema := .root.Files.Get "generated/config.json" | fromJson -}}
{{- range .extraEnv -}}
{{-   $plain := trimSuffix "_FILE" .name -}}
{{-   $invalid := include "user-service.invalid" (dict "variable" (get $schema .name) "value" (default "" .value)) -}}
{{-   if hasKey $chartVariables $plain -}}
{{-     $problems = append $problems
          (printf "%s has %s, which is set by the chart: use %s instead." $in .name (get $chartVariables $plain)) -}}
{{-   else if hasKey $config .name -}}
{{-     $problems = append $problems (printf "%s is in config and in %s: leave one of them." .name $in) -}}
{{-   else if and .value (include "user-service.isSecret" (dict "name" .name "value" .value)) -}}
{{-     $problems = append $problems (printf (print "%s has the secret %s as a value, which the description of every pod "
          "would show: take it from a Secret, by valueFrom.secretKeyRef.") $in .name) -}}
{{-   else if and .value $invalid -}}
{{-     $problems = append $problems (printf "%s has %s with the value %s: %s." $in .name .value $invalid) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/* A duration in Go's syntax. */}}
{{- define "user-service.durationPattern" -}}
^(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+$
{{- end }}

{{/*
Whether a name is neither a variable of the service nor one that its libraries read: OpenTelemetry, the driver of
PostgreSQL, Go's runtime, proxies, certificates and time zone. Parameters: name, schema.
*/}}
{{- define "user-service.isUnknown" -}}
{{- $others := "^(OTEL_|PG)|^GO(GC|DEBUG|MAXPROCS|TRACEBACK)$|^(HTTPS?|NO)_PROXY$|^SSL_CERT_(FILE|DIR)$|^TZ$" -}}
{{- $file := (get .schema (trimSuffix "_FILE" .name) | default dict).file -}}
{{- if not (or (hasKey .schema .name) $file (regexMatch $others .name)) -}}
yes
{{- end -}}
{{- end }}

{{/* What to do about an unknown name. Two names are near if they differ by underscores or one letter. Parameters: name, schema. */}}
{{- define "user-service.nearName" -}}
{{- $advice := "correct the name, or set a variable of another program by extraEnv" -}}
{{- range $known, $variable := .schema -}}
{{-   $near := eq (replace "_" "" $known) (replace "_" "" $.name) -}}
{{-   range $i := until (len $known) -}}
{{-     $before := substr 0 $i $known -}}
{{-     $after := substr (add $i 1 | int) (len $known) $known -}}
{{-     if and (le (sub (len $.name) (len $known) | int) 1) (hasPrefix $before $.name) (hasSuffix $after $.name)
          (ge (len $.name) (add (len $before) (len $after) | int)) -}}
{{-       $near = true -}}
{{-     end -}}
{{-   end -}}
{{-   if $near -}}
{{-     $advice = printf "write %s" $known -}}
{{-   end -}}
{{- end -}}
{{ $advice }}
{{- end }}

{{/*
What to do about an invalid value, and nothing for a valid one. An empty value counts as not set, and only the pod knows a
text with $(NAME). Parameters: variable (of the schema), value.
*/}}
{{- define "user-service.invalid" -}}
{{- $text := toString .value -}}
{{- if kindIs "float64" .value -}}
{{-   $text = ternary (int64 .value | toString) $text (eq .value (floor .value)) -}}
{{- end -}}
{{- with .variable -}}
{{-   $valid := eq $text "" -}}
{{-   if $valid -}}
{{-   else if eq .type "text" -}}
{{-     $valid = or (not .pattern) (contains "$(" $text) (regexMatch (default "" .pattern) $text) -}}
{{-   else if eq .type "boolean" -}}
{{-     $valid = regexMatch "^(1|t|T|true|TRUE|True|0|f|F|false|FALSE|False)$" $text -}}
{{-   else if eq .type "level" -}}
{{-     $valid = regexMatch "^(debug|info|warn|error)$" (lower $text) -}}
{{-   else if eq .type "networks" -}}
{{-     $valid = eq (include "user-service.invalidNetworks" $text) "" -}}
{{-   else if eq .type "integer" -}}
{{-     $valid = and (regexMatch "^[0-9]{1,15}$" $text) (include "user-service.within" (dict "n" (float64 $text) "bounds" .)) -}}
{{-   else if eq .type "duration" -}}
{{-     $least := include "user-service.seconds" (default "0s" .min) | float64 -}}
{{-     $valid = and (regexMatch (include "user-service.durationPattern" $) $text)
          (ge (include "user-service.seconds" $text | float64) $least) -}}
{{-   end -}}
{{-   if not $valid -}}
{{-     $example := ternary "" .example (has .type (list "boolean" "level")) -}}
set it to {{ .accepts }}{{ with $example }}, such as {{ . }}{{ end }}
{{-   end -}}
{{- end -}}
{{- end }}

{{/* Whether a number is within the bounds. Parameters: n, bounds (an object with min and max, which may be empty). */}}
{{- define "user-service.within" -}}
{{- $above := or (not .bounds.min) (ge .n (float64 (default "0" .bounds.min))) -}}
{{- $below := or (not .bounds.max) (le .n (float64 (default "0" .bounds.max))) -}}
{{- if and $above $below }}yes{{ end -}}
{{- end }}

{{- define "user-service.invalidNetworks" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $v4 := printf "^%s(\\.%s){3}(/(3[0-2]|[12]?[0-9]))?$" $octet $octet -}}
{{- $v6 := "^[0-9a-fA-F:.]*:[0-9a-fA-F:.]*(/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))?$" -}}
{{- range splitList "," . -}}
{{-   if not (or (regexMatch $v4 (trim .)) (regexMatch $v6 (trim .))) }}{{ . }}{{ end -}}
{{- end -}}
{{- end }}

{{/*
Whether a variable is a secret, by its name or because its value is a URL with a user. The variables such as
OTEL_EXPORTER_OTLP_CLIENT_KEY are paths. Parameters: name, value.
*/}}
{{- define "user-service.isSecret" -}}
{{- $named := regexMatch "(PASSWORD|PASSPHRASE|SECRETS?|CREDENTIALS?|HEADERS|(^|_)(PASS|PASSWD|KEYS?|TOKENS?))$" .name -}}
{{- $path := regexMatch "^OTEL_EXPORTER_OTLP_([A-Z]+_)?CLIENT_KEY$" .name -}}
{{- if or (and $named (not $path)) (regexMatch "://[^/?#@, ]*@" (toString .value)) -}}
yes
{{- end -}}
{{- end }}

