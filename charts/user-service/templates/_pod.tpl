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
serviceAccountName: {{ .serviceAccountName }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- range $name, $value := .root.Values.podSecurityContext }}
  {{- if not (kindIs "invalid" $value) }}
  {{ $name }}: {{ if kindIs "float64" $value }}{{ int64 $value }}{{ else }}{{ toJson $value }}{{ end }}
  {{- end }}
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
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "user-service.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end }}

{{- define "user-service.scheduling" -}}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}
