{{/* The metadata of a pod template. Parameters: root ($), component. */}}
{{- define "user-service.podMetadata" -}}
{{- $v := .root.Values -}}
labels:
  {{- include "user-service.podLabels" . | nindent 2 }}
{{- with merge dict $v.podAnnotations $v.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Without helm.sh/chart: a new version of the chart alone must not restart the pods. Parameters: root ($), component. */}}
{{- define "user-service.podLabels" -}}
{{- $v := .root.Values -}}
{{- $component := dict "app.kubernetes.io/component" .component -}}
{{- $labels := omit (include "user-service.labels" .root | fromYaml) "helm.sh/chart" "app.kubernetes.io/managed-by" -}}
{{ toYaml (merge $component $labels $v.podLabels $v.commonLabels) }}
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
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
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
{{- end }}
