{{/* The metadata of a pod template. Parameters: root ($), component, labels and annotations of these pods alone. */}}
{{- define "user-service.podMetadata" -}}
{{- $v := .root.Values -}}
labels:
  {{- include "user-service.podLabels" . | nindent 2 }}
{{- with merge dict (default dict .annotations) $v.podAnnotations $v.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Without helm.sh/chart: a new version of the chart alone must not restart the pods. Parameters: root ($), component, labels. */}}
{{- define "user-service.podLabels" -}}
{{- $v := .root.Values -}}
{{- $component := dict "app.kubernetes.io/component" .component -}}
{{- $labels := omit (include "user-service.labels" .root | fromYaml) "helm.sh/chart" "app.kubernetes.io/managed-by" -}}
{{ toYaml (merge $component $labels (default dict .labels) $v.podLabels $v.commonLabels) }}
{{- end }}

{{/* The fields that the pods of the service, the migration and helm test share. Parameters: root ($), serviceAccountName. */}}
{{- define "user-service.podSpec" -}}
{{- $v := .root.Values -}}
serviceAccountName: {{ .serviceAccountName }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "user-service.imagePullSecrets" .root }}
securityContext:
  {{- include "user-service.withoutNulls" $v.podSecurityContext | nindent 2 }}
{{- if not (kindIs "invalid" $v.hostUsers) }}
hostUsers: {{ $v.hostUsers }}
{{- end }}
{{- range $name := list "schedulerName" "runtimeClassName" "dnsPolicy" }}
{{- with get $v $name }}
{{ $name }}: {{ . }}
{{- end }}
{{- end }}
{{- range $name := list "hostAliases" "dnsConfig" }}
{{- with get $v $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{- define "user-service.imagePullSecrets" -}}
{{- $secrets := list -}}
{{- range concat .Values.imagePullSecrets .Values.global.imagePullSecrets -}}
{{-   $secrets = append $secrets (ternary (dict "name" .) . (kindIs "string" .)) -}}
{{- end -}}
{{- with uniq $secrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The fields that their containers share. Parameters: root ($), name, args. */}}
{{- define "user-service.container" -}}
name: {{ .name }}
image: {{ include "user-service.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .args }}
args: {{ toJson . }}
{{- end }}
securityContext:
  {{- include "user-service.withoutNulls" .root.Values.containerSecurityContext | nindent 2 }}
{{- end }}

{{- define "user-service.image" -}}
{{- with .Values.image -}}
{{- $version := ternary (printf "@%s" .digest) (printf ":%s" (default $.Chart.AppVersion .tag)) (ne .digest "") -}}
{{ include "user-service.imageFrom" (dict "root" $ "image" (printf "%s%s" .repository $version)) }}
{{- end -}}
{{- end }}

{{/* An image from global.imageRegistry, if set. Parameters: root ($), image. */}}
{{- define "user-service.imageFrom" -}}
{{- with .root.Values.global.imageRegistry -}}
{{ trimSuffix "/" . }}/{{ regexReplaceAll "^([^/]*[.:][^/]*|localhost)/" $.image "" }}
{{- else -}}
{{ .image }}
{{- end -}}
{{- end }}

{{/* Parameters: root ($), affinity and priorityClassName of these pods alone. */}}
{{- define "user-service.scheduling" -}}
{{- $v := .root.Values -}}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $v.affinity .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with default $v.priorityClassName .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Parameters: root ($), component. */}}
{{- define "user-service.topologySpread" -}}
{{- $labels := merge (dict "app.kubernetes.io/component" .component) (include "user-service.selectorLabels" .root | fromYaml) -}}
{{- $selector := dict "labelSelector" (dict "matchLabels" $labels) "matchLabelKeys" (list "pod-template-hash") -}}
{{- $constraints := list -}}
{{- range .root.Values.topologySpreadConstraints -}}
{{-   $constraint := ternary . (omit . "labelSelector") (eq $.component "api") -}}
{{-   $constraints = append $constraints (ternary . (merge dict $constraint $selector) (hasKey $constraint "labelSelector")) -}}
{{- else -}}
{{-   range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" -}}
{{-     $constraints = append $constraints (merge (dict "topologyKey" . "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway") $selector) -}}
{{-   end -}}
{{- end -}}
{{ toYaml $constraints }}
{{- end }}
