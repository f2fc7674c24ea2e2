{{/* The forms of texts: a pattern, and what to do about a value that does not match. */}}
{{- define "user-service.formats" -}}
- values: [nameOverride, fullnameOverride]
  pattern: '^([a-z]([-a-z0-9]{0,38}[a-z0-9])?)?$'
  advice: use at most 40 lower-case letters, digits and hyphens, and begin with a letter
- values: [image.repository]
  pattern: '^[^:@ ]+(:[0-9]+/[^:@ ]+)?$'
  advice: write it without tag and digest, which are image.tag and image.digest
- values: [image.tag]
  pattern: '^([A-Za-z0-9_][-.A-Za-z0-9_]{0,127})?$'
  advice: use letters, digits, underscores, hyphens and dots
- values: [image.digest]
  pattern: '^(sha256:[0-9a-f]{64})?$'
  advice: write sha256, a colon, and 64 hexadecimal digits
- values: [quickstart.postgresql.image, quickstart.rabbitmq.image]
  pattern: '^[^ ]+$'
  advice: write the name of an image
- values: [rabbitmq.host]
  pattern: '^([^:/@ ]*|\[?[0-9a-fA-F:.]+\]?)$'
  advice: write a host name or an IP address, and set rabbitmq.port for the port
- values: [rabbitmq.port, networkPolicy.migrationPort, networkPolicy.rabbitmqPort, service.nodePort]
  pattern: '^[0-9]*$'
  advice: write a number
- values:
    - database.existingSecret
    - database.tls.caSecret
    - database.tls.certSecret
    - rabbitmq.existingSecret
    - rabbitmq.tls.caSecret
    - rabbitmq.tls.certSecret
    - jwt.existingSecret
    - dataKey.existingSecret
    - admin.existingSecret
    - otlpHeaders.existingSecret
    - migration.existingSecret
    - migration.certSecret
    - serviceAccount.name
    - mailer.smtp.existingSecret
    - mailer.rabbitmq.existingSecret
    - mailer.database.existingSecret
    - mailer.database.certSecret
    - mailer.templatesConfigMap
    - serviceMonitor.namespace
    - podMonitor.namespace
    - dashboards.namespace
  pattern: '^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$'
  advice: use lower-case letters, digits, hyphens and dots, as in every name of an object
- values:
    - database.keys.url
    - database.tls.keys.ca
    - database.tls.keys.cert
    - database.tls.keys.key
    - rabbitmq.keys.host
    - rabbitmq.keys.port
    - rabbitmq.keys.user
    - rabbitmq.keys.password
    - rabbitmq.tls.keys.ca
    - rabbitmq.tls.keys.cert
    - rabbitmq.tls.keys.key
    - jwt.keys.secret
    - dataKey.keys.key
    - admin.keys.email
    - admin.keys.password
    - otlpHeaders.keys.headers
    - mailer.smtp.keys.url
    - mailer.rabbitmq.keys.user
    - mailer.rabbitmq.keys.password
  pattern: '^[-._a-zA-Z0-9]+$'
  advice: write the name of a key in the Secret
- values: [jwt.keys.acceptedSecrets, jwt.keys.privateKey, jwt.keys.acceptedKeys, dataKey.keys.acceptedKeys]
  pattern: '^[-._a-zA-Z0-9]*$'
  advice: write the name of a key in the Secret
- values: [admin.email]
  pattern: '^([^@ ]+@[^@ ]+)?$'
  advice: write an email address
- values: [mailer.from]
  pattern: '^([^@]+@[^@ ]+)?$'
  advice: write an email address, or a name and the address in angle brackets
- values: [mailer.linksBaseURL]
  pattern: '^(https://[^?#]*[^/?#]|http://(([-a-z0-9]+\.)*localhost|127(\.[0-9]+){3}|\[::1\])(:[0-9]+)?(/[^?#]*[^/?#])?)?$'
  advice: write an https URL (http for localhost) without a slash at its end, a query and a fragment
- values: [mailer.productName]
  pattern: '^.{0,60}$'
  advice: use at most 60 characters
- values: [serviceMonitor.interval, serviceMonitor.scrapeTimeout, podMonitor.interval, podMonitor.scrapeTimeout]
  pattern: '^[0-9]+(ms|s|m|h)$'
  advice: write a number with its unit, such as 30s
- values: [httpRoute.path]
  pattern: '^/'
  advice: begin it with a slash
- values: [prometheusRule.runbookURL]
  pattern: '^https?://.*[^/]$'
  advice: write a URL without a slash at its end
- values: [prometheusRule.dashboardURL]
  pattern: '^(https?://.+)?$'
  advice: write a URL
{{- end }}

{{- define "user-service.problems.formats" -}}
{{- $problems := list -}}
{{- range $format := include "user-service.formats" . | fromYamlArray -}}
{{-   range $path := $format.values -}}
{{-     $value := $.Values -}}
{{-     range splitList "." $path -}}
{{-       $value = index $value . -}}
{{-     end -}}
{{-     if not (regexMatch $format.pattern (toString $value)) -}}
{{-       $problems = append $problems (printf "%s is %q: %s." $path (toString $value) $format.advice) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- range .Values.networkPolicy.dnsAddresses -}}
{{-   if include "user-service.invalidNetworks" . -}}
{{-     $problems = append $problems (printf "networkPolicy.dnsAddresses has %q: write an IP address." .) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/* The bounds of the thresholds. The latencies are boundaries of the histogram. */}}
{{- define "user-service.problems.thresholds" -}}
{{- $problems := list -}}
{{- $boundaries := list 0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1.0 2.5 5.0 7.5 10.0 -}}
{{- $percents := list "loginsFailedPercent" "loginsRejectedPercent" "hashRefusedPercent" "poolUsedPercent" "rateLimitedPercent"
     "memoryUsedPercent" -}}
{{- range $name, $value := .Values.prometheusRule.thresholds -}}
{{-   $advice := "" -}}
{{-   if kindIs "string" $value -}}
{{-     $advice = "set it to a number" -}}
{{-   else if hasSuffix "atencySeconds" $name -}}
{{-     $advice = ternary "" (printf "set it to one of %s" (join ", " $boundaries)) (has (float64 $value) $boundaries) -}}
{{-   else if has $name (list "availabilityPercent" "latencyPercent") -}}
{{-     $advice = ternary "" "set it to a number from 50 to below 100" (and (ge (float64 $value) 50.0) (lt (float64 $value) 100.0)) -}}
{{-   else if has $name $percents -}}
{{-     $advice = ternary "" "set it to a number from 0 to 100" (and (ge (float64 $value) 0.0) (le (float64 $value) 100.0)) -}}
{{-   else if lt (float64 $value) 0.0 -}}
{{-     $advice = "set it to a positive number" -}}
{{-   end -}}
{{-   with $advice -}}
{{-     $problems = append $problems (printf "prometheusRule.thresholds.%s is %v: %s." $name $value .) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/* Quantities of Kubernetes. The chart computes with the memory limits, so these have fewer forms. */}}
{{- define "user-service.problems.quantities" -}}
{{- $problems := list -}}
{{- range $section, $resources := dict "resources" .Values.resources "migration.resources" .Values.migration.resources
      "mailer.resources" .Values.mailer.resources -}}
{{-   range $kind := list "requests" "limits" -}}
{{-     range $name, $quantity := index (default dict $resources) $kind -}}
{{-       $units := ternary "k|M|G|T|Ki|Mi|Gi|Ti" "m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi|[eE][0-9]+" (and (eq $kind "limits") (eq $name "memory")) -}}
{{-       if not (regexMatch (printf "^[0-9]+(\\.[0-9]+)?(%s)?$" $units) (toString $quantity)) -}}
{{-         $problems = append $problems (printf "%s.%s.%s is %v: write a quantity, such as %s." $section $kind $name $quantity
              (ternary "100m" "256Mi" (eq $name "cpu"))) -}}
{{-       end -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}
