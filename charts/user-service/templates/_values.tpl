{{/*
Completes and checks the values. Each template begins with it, because Helm does not define the order of templates. The
first call does the work; the values of a release are one map for all templates.
*/}}
{{- define "user-service.prepare" -}}
{{- if not (hasKey .Values "prepared") -}}
{{-   $defaults := .Files.Get "generated/defaults.json" | fromJson -}}
{{-   include "user-service.fill" (dict "values" .Values "defaults" $defaults "path" "") -}}
{{-   include "user-service.numbers" .Values.prometheusRule.thresholds -}}
{{-   include "user-service.validate" . -}}
{{-   $_ := set .Values "prepared" true -}}
{{- end -}}
{{- end }}

{{/*
Sets the default of each value that null has removed. Null removes a field of Kubernetes from the objects. Parameters:
values, defaults, path of both.
*/}}
{{- define "user-service.fill" -}}
{{- $removable := list "replicaCount" "resources" "startupProbe" "livenessProbe" "podSecurityContext" "containerSecurityContext"
      "migration.resources" "mailer.replicaCount" "mailer.resources" "autoscaling.behavior" "hostUsers" -}}
{{- $whole := list "readinessProbe" "strategy" -}}
{{- range $key, $default := .defaults -}}
{{-   $path := printf "%s%s" $.path $key -}}
{{-   $value := index $.values $key -}}
{{-   if has $path $removable -}}
{{-   else if kindIs "invalid" $value -}}
{{-     $_ := set $.values $key $default -}}
{{-   else if and (kindIs "map" $default) (not (has $path $whole)) -}}
{{-     include "user-service.fill" (dict "values" $value "defaults" $default "path" (printf "%s." $path)) -}}
{{-   end -}}
{{- end -}}
{{- end }}

{{/* Converts texts that are numbers, because Helm's --set turns a fraction into a text. */}}
{{- define "user-service.numbers" -}}
{{- range $key, $value := . -}}
{{-   if regexMatch "^[0-9]*\\.?[0-9]+$" (toString $value) -}}
{{-     $_ := set $ $key (float64 $value) -}}
{{-   end -}}
{{- end -}}
{{- end }}

{{/* A map as YAML, without the members that are null. */}}
{{- define "user-service.withoutNulls" -}}
{{- $fields := dict -}}
{{- range $name, $value := . -}}
{{-   if kindIs "float64" $value -}}
{{-     $_ := set $fields $name (int64 $value) -}}
{{-   else if not (kindIs "invalid" $value) -}}
{{-     $_ := set $fields $name $value -}}
{{-   end -}}
{{- end -}}
{{ toYaml $fields }}
{{- end }}
