{{/* The alerts of the chart. The values may change each of them. */}}
{{- define "user-service.alerts" -}}
- UserServiceAutoscalerAtMaximum
- UserServiceBrokerAway
- UserServiceCertificateNearExpiry
- UserServiceCleanupFails
- UserServiceCrashLoop
- UserServiceDatabasePoolExhausted
- UserServiceDown
- UserServiceErrorBudgetBurn
- UserServiceEventsParked
- UserServiceFactorsRemoved
- UserServiceHashingSaturated
- UserServiceKeyNearItsEnd
- UserServiceLatencyBudgetBurn
- UserServiceLoginsFail
- UserServiceMailsDelayed
- UserServiceMailsNotSent
- UserServiceMailsParked
- UserServiceMemoryNearLimit
- UserServiceMigrationFailed
- UserServiceNotReady
- UserServiceOutboxStuck
- UserServicePasswordGuessing
- UserServicePodUnreachable
- UserServiceRefreshTokensReused
- UserServiceRequestsRateLimited
- UserServiceSchemaBehind
- UserServiceSecretRejected
- UserServiceTokensUnroutable
{{- end }}

{{/* The groups, without disabledAlerts, and with alertLabels, severities and extraRules. */}}
{{- define "user-service.customRuleGroups" -}}
{{- $rule := .Values.prometheusRule -}}
{{- $groups := list -}}
{{- range $group := include "user-service.ruleGroups" . | fromYamlArray -}}
{{-   $rules := list -}}
{{-   range $group.rules -}}
{{-     if .alert -}}
{{-       $severity := get $rule.severities .alert -}}
{{-       $_ := set . "labels" (merge (ternary (dict "severity" $severity) dict (ne $severity "")) .labels $rule.alertLabels) -}}
{{-     end -}}
{{-     if not (has .alert $rule.disabledAlerts) -}}
{{-       $rules = append $rules . -}}
{{-     end -}}
{{-   end -}}
{{-   if $rules -}}
{{-     $groups = append $groups (dict "name" $group.name "rules" $rules) -}}
{{-   end -}}
{{- end -}}
{{- with $rule.extraRules -}}
{{-   $groups = append $groups (dict "name" (printf "%s-extra" (include "user-service.fullname" $)) "rules" .) -}}
{{- end -}}
{{ toYaml $groups }}
{{- end }}
