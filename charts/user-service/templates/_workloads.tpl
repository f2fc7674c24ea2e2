{{/* The directory with the token and the certificate authority for reading the keys of the cluster's issuer. */}}
{{- define "user-service.workloadPath" -}}/etc/user-service/workload{{- end }}

{{/* The issuer of the cluster's tokens, unless config has another. */}}
{{- define "user-service.clusterIssuer" -}}https://kubernetes.default.svc.cluster.local{{- end }}

{{/* The variables for workloads. config takes precedence, except for the files and the roles, which it may not have. */}}
{{- define "user-service.workloadVariables" -}}
{{- if .Values.workloads }}
{{- $entries := list -}}
{{- range .Values.workloads -}}
{{-   $entries = append $entries (printf "%s/%s=%s" .namespace .serviceAccount (join "+" .roles)) -}}
{{- end }}
WORKLOAD_ISSUER: {{ include "user-service.clusterIssuer" . }}
WORKLOAD_JWKS_URL: https://kubernetes.default.svc/openid/v1/jwks
WORKLOAD_CA_FILE: {{ include "user-service.workloadPath" . }}/ca.crt
WORKLOAD_TOKEN_FILE: {{ include "user-service.workloadPath" . }}/token
WORKLOAD_ROLES: {{ join "," $entries | quote }}
{{- end }}
{{- end }}

{{/* The token has the audience of the API server, because the service sends it there. */}}
{{- define "user-service.workloadVolume" -}}
{{- if .Values.workloads }}
- name: workload
  projected:
    defaultMode: 0440
    sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3600}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
{{- end }}
{{- end }}

{{- define "user-service.workloadMount" -}}
{{- if .Values.workloads }}
- {name: workload, mountPath: {{ include "user-service.workloadPath" . }}, readOnly: true}
{{- end }}
{{- end }}

{{- define "user-service.problems.workloads" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $names := list -}}
{{- range $v.workloads -}}
{{-   $name := printf "%s/%s" .namespace .serviceAccount -}}
{{-   if not (regexMatch "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?/[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$" $name) -}}
{{-     $problems = append $problems (printf (print "workloads has %s, which is not a namespace and a ServiceAccount: "
          "write the names of both.") $name) -}}
{{-   else if has $name $names -}}
{{-     $problems = append $problems (printf "workloads has %s twice: write all its roles into one entry." $name) -}}
{{-   end -}}
{{-   $names = append $names $name -}}
{{-   range .roles -}}
{{-     if not (regexMatch "^[a-z0-9][a-z0-9_.-]{0,63}$" .) -}}
{{-       $problems = append $problems (printf (print "workloads has the role %q of %s, which is not a name of a role: "
            "use 1 to 64 lower-case letters, digits, underscores, dots and hyphens.") . $name) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if and $v.workloads $v.config.WORKLOAD_ROLES -}}
{{-   $problems = append $problems (print "workloads and config.WORKLOAD_ROLES are both set: leave one of them empty. "
        "The variable can also name workloads outside of the cluster.") -}}
{{- end -}}
{{- if and $v.workloads $v.networkPolicy.enabled (not $v.networkPolicy.apiServerTo) -}}
{{-   $problems = append $problems (print "networkPolicy.enabled and workloads need networkPolicy.apiServerTo: set where the API server is, "
        "as a NetworkPolicy's to, such as [{ipBlock: {cidr: 192.0.2.10/32}}] (any address: [{ipBlock: {cidr: 0.0.0.0/0}}]).") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}
