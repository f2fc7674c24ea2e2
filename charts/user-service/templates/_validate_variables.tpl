{{/* The rules for several variables together. */}}

{{/* The variables in config and extraEnv by name. Only the pod knows a value with $(. */}}
{{- define "user-service.variables" -}}
{{- $all := dict -}}
{{- range $name, $value := .Values.config -}}
{{-   if not (kindIs "invalid" $value) -}}
{{-     $_ := set $all $name (toString $value) -}}
{{-   end -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{-   $_ := set $all .name (ternary "$()" (default "" .value | toString) (hasKey . "valueFrom")) -}}
{{- end -}}
{{ toJson $all }}
{{- end }}

{{/* Where a variable is set, for messages. Parameters: root ($), name. */}}
{{- define "user-service.placeOf" -}}
{{ ternary "config." "extraEnv: " (hasKey .root.Values.config .name) }}{{ .name }}
{{- end }}

{{- define "user-service.problems.passkeys" -}}
{{- $problems := list -}}
{{- $variables := include "user-service.variables" . | fromJson -}}
{{- $schema := .Files.Get "generated/config.json" | fromJson -}}
{{- $id := default "" $variables.WEBAUTHN_RP_ID -}}
{{- $origins := default "" $variables.WEBAUTHN_ORIGINS -}}
{{- $invalid := or (include "user-service.invalid" (dict "variable" $schema.WEBAUTHN_RP_ID "value" $id))
      (include "user-service.invalid" (dict "variable" $schema.WEBAUTHN_ORIGINS "value" $origins)) -}}
{{- if and $id $origins -}}
{{-   range splitList "," (ternary "" $origins (or (ne $invalid "") (contains "$(" $id) (contains "$(" $origins))) -}}
{{-     $host := regexReplaceAll "^https?://([^:/]*).*$" (trim .) "${1}" -}}
{{-     if and $host (ne $host $id) (not (hasSuffix (printf ".%s" $id) $host)) -}}
{{-       $problems = append $problems (printf (print "WEBAUTHN_ORIGINS has an origin that is neither at WEBAUTHN_RP_ID nor at a "
            "subdomain of it, %s: use origins of %s, or set WEBAUTHN_RP_ID to a domain of all origins.") (trim .) $id) -}}
{{-     end -}}
{{-   end -}}
{{- else if and (or $id $origins) (not .Values.envFrom) -}}
{{-   $problems = append $problems (printf (print "WEBAUTHN_ORIGINS and WEBAUTHN_RP_ID must both be set, or neither: "
        "set config.%s too.") (ternary "WEBAUTHN_ORIGINS" "WEBAUTHN_RP_ID" (ne $id ""))) -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.workloadVariables" -}}
{{- $problems := list -}}
{{- $variables := include "user-service.variables" . | fromJson -}}
{{- $others := list "WORKLOAD_JWKS_URL" "WORKLOAD_CA_FILE" "WORKLOAD_TOKEN_FILE" "WORKLOAD_ROLES" -}}
{{- $issuer := ternary (include "user-service.clusterIssuer" .) "" (gt (len .Values.workloads) 0) -}}
{{- $issuer = default $issuer $variables.WORKLOAD_ISSUER -}}
{{- if and $issuer (eq $issuer (default "user-service" $variables.JWT_ISSUER)) (not (contains "$(" $issuer)) -}}
{{-   $problems = append $problems (print "WORKLOAD_ISSUER is the same as JWT_ISSUER, and the issuer decides how a token is verified: "
        "set config.JWT_ISSUER to the URL of this service.") -}}
{{- end -}}
{{- range $name := $others -}}
{{-   if and (get $variables $name) (not $issuer) (not $.Values.envFrom) -}}
{{-     $problems = append $problems (printf "%s is set, and WORKLOAD_ISSUER is not: set config.WORKLOAD_ISSUER, or remove the first."
          (include "user-service.placeOf" (dict "root" $ "name" $name))) -}}
{{-   end -}}
{{- end -}}
{{- if .Values.workloads -}}
{{-   range $name := list "WORKLOAD_CA_FILE" "WORKLOAD_TOKEN_FILE" -}}
{{-     if get $.Values.config $name -}}
{{-       $problems = append $problems (printf (print "config.%s is set by the chart if there are workloads: remove it, "
            "or set WORKLOAD_ROLES and the other variables in config instead of workloads.") $name) -}}
{{-     end -}}
{{-   end -}}
{{-   range .Values.extraEnv -}}
{{-     if has .name (append $others "WORKLOAD_ISSUER") -}}
{{-       $instead := ternary "config" "workloads" (has .name (list "WORKLOAD_ISSUER" "WORKLOAD_JWKS_URL")) -}}
{{-       $problems = append $problems (printf "extraEnv has %s, which is set by the chart: use %s instead." .name $instead) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if include "user-service.hasWorkloadTwice" (default "" $variables.WORKLOAD_ROLES) -}}
{{-   $problems = append $problems (printf "%s names a workload twice: write all its roles into one entry."
        (include "user-service.placeOf" (dict "root" $ "name" "WORKLOAD_ROLES"))) -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/* Whether a value of WORKLOAD_ROLES names a workload twice. A ServiceAccount may also be written as the sub of its tokens. */}}
{{- define "user-service.hasWorkloadTwice" -}}
{{- $names := list -}}
{{- range splitList "," . -}}
{{-   $name := regexReplaceAll "=[^=]*$" (trim .) "" -}}
{{-   $names = append $names (regexReplaceAll "^([^:/]+)/([^:/]+)$" $name "system:serviceaccount:${1}:${2}") -}}
{{- end -}}
{{- if ne (len $names) (uniq $names | len) }}yes{{ end -}}
{{- end }}
