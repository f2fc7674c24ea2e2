{{/*
Fails with all problems of the values that values.schema.json can't express, one a line, each with what to change. The
schema checks names and types only: its messages would show regular expressions.
Each subject is a template of its own, which returns a JSON list of messages.
*/}}
{{- define "user-service.validate" -}}
{{- $problems := list -}}
{{- range list "cluster" "sources" "generated" "quickstart" "jwt" "dataKey" "tls" "formats" "thresholds" "quantities" "config" "extraEnv"
      "passkeys" "workloadVariables" "shutdown" "pods" "memory" "service" "networkPolicy" "routes" "monitoring" "mailer" "workloads" -}}
{{-   $problems = concat $problems (include (printf "user-service.problems.%s" .) $ | fromJsonArray) -}}
{{- end -}}
{{- if $problems -}}
{{-   fail (printf "\n\n- %s\n" (join "\n- " $problems)) -}}
{{- end -}}
{{- end }}

{{/* Not kubeVersion in Chart.yaml: without a cluster, a Helm 3 that go install has built reports exactly v1.20.0. */}}
{{- define "user-service.problems.cluster" -}}
{{- $problems := list -}}
{{- $version := .Capabilities.KubeVersion.Version -}}
{{- if and (semverCompare "<1.30.0-0" $version) (ne $version "v1.20.0") -}}
{{-   $problems = append $problems (printf (print "This cluster is Kubernetes %s, whose pods can't wait before they end "
        "(preStop.sleep): upgrade it to 1.30 or later.") $version) -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.sources" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- if and $v.database.url $v.database.existingSecret -}}
{{-   $problems = append $problems "database.url and database.existingSecret are both set: leave one of them empty." -}}
{{- end -}}
{{- if and $v.rabbitmq.password $v.rabbitmq.existingSecret -}}
{{-   $problems = append $problems "rabbitmq.password and rabbitmq.existingSecret are both set: leave one of them empty." -}}
{{- end -}}
{{- if and $v.admin.email $v.admin.existingSecret -}}
{{-   $problems = append $problems (print "admin.email and admin.existingSecret are both set: leave admin.email empty, "
        "and put the email into the Secret, under the key that admin.keys.email names.") -}}
{{- end -}}
{{- range $variable, $value := dict "DATABASE_URL" "database" "RABBITMQ_PASS" "rabbitmq" "JWT_SECRET" "jwt" -}}
{{-   $section := get $v $value -}}
{{-   if and (get $v.secretFiles $variable) (or $section.existingSecret $section.url $section.password $section.secret) -}}
{{-     $problems = append $problems (printf (print "secretFiles.%s and a Secret or value of %s are both set: leave one of them "
          "empty.") $variable $value) -}}
{{-   end -}}
{{- end -}}
{{- if and (include "user-service.hasAdmin" .) (not $v.migration.enabled) -}}
{{-   $problems = append $problems (print "admin.email and admin.existingSecret need the migration Job, which creates the account: "
        "set migration.enabled=true, or leave them empty.") -}}
{{- end -}}
{{- if and $v.database.url (not (regexMatch "^postgres(ql)?://" $v.database.url)) -}}
{{-   $problems = append $problems
        "database.url is not a PostgreSQL URL: write it as postgres://user:password@host:5432/database" -}}
{{- end -}}
{{- if not $v.quickstart.enabled -}}
{{-   if not (or $v.database.url $v.database.existingSecret $v.secretFiles.DATABASE_URL) -}}
{{-     $problems = append $problems (print "No database: set database.existingSecret (or database.url), "
          "or quickstart.enabled=true for a first look.") -}}
{{-   end -}}
{{-   if not (or $v.rabbitmq.password $v.rabbitmq.existingSecret $v.secretFiles.RABBITMQ_PASS) -}}
{{-     $problems = append $problems (print "No broker: set rabbitmq.existingSecret (or rabbitmq.host, user and password), "
          "or quickstart.enabled=true for a first look.") -}}
{{-   end -}}
{{-   if and $v.rabbitmq.password (not $v.rabbitmq.existingSecret) (not (and $v.rabbitmq.host $v.rabbitmq.user)) -}}
{{-     $problems = append $problems "rabbitmq.password is set: set rabbitmq.host and rabbitmq.user too." -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/* Without a cluster that keeps a generated secret, each render would generate a new one, which ends all sessions. */}}
{{- define "user-service.problems.generated" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $generated := list -}}
{{- if not (or $v.jwt.secret $v.jwt.existingSecret $v.secretFiles.JWT_SECRET) -}}
{{-   $generated = append $generated (dict "secret" (include "user-service.jwtSecret" .) "values" "jwt.existingSecret or jwt.secret") -}}
{{- end -}}
{{- if and (include "user-service.dataKeySecret" .) (not (or $v.dataKey.key $v.dataKey.existingSecret)) -}}
{{-   $generated = append $generated (dict "secret" (include "user-service.dataKeySecret" .)
        "values" "dataKey.existingSecret or dataKey.key") -}}
{{- end -}}
{{- if and $v.quickstart.enabled (not (or $v.quickstart.postgresql.password $v.database.existingSecret)) -}}
{{-   $generated = append $generated (dict "secret" (include "user-service.databaseSecret" .) "values" "quickstart.postgresql.password") -}}
{{- end -}}
{{- if and $v.quickstart.enabled (not (or $v.quickstart.rabbitmq.password $v.rabbitmq.existingSecret)) -}}
{{-   $generated = append $generated (dict "secret" (include "user-service.rabbitmqSecret" .) "values" "quickstart.rabbitmq.password") -}}
{{- end -}}
{{- if and $v.admin.email (not $v.admin.existingSecret) -}}
{{-   $generated = append $generated (dict "secret" (include "user-service.adminSecret" .) "values" "admin.existingSecret") -}}
{{- end -}}
{{- range $generated -}}
{{-   if not (or (lookup "v1" "Secret" $.Release.Namespace .secret) (lookup "v1" "Secret" $.Release.Namespace "")) -}}
{{-     $problems = append $problems (printf (print "No cluster answers here (helm template, --dry-run=client, Argo CD), "
          "so the Secret %s can't be generated once and kept: set %s.") .secret .values) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.quickstart" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- if $v.quickstart.enabled -}}
{{-   if or $v.database.url $v.database.existingSecret $v.migration.existingSecret $v.secretFiles.DATABASE_URL -}}
{{-     $problems = append $problems (print "quickstart.enabled brings a database of its own: leave database.url, database.existingSecret, "
          "migration.existingSecret and secretFiles.DATABASE_URL empty, or set quickstart.enabled=false.") -}}
{{-   end -}}
{{-   if or $v.rabbitmq.host $v.rabbitmq.password $v.rabbitmq.existingSecret $v.secretFiles.RABBITMQ_PASS -}}
{{-     $problems = append $problems (print "quickstart.enabled brings a broker of its own: leave rabbitmq.host, rabbitmq.password, "
          "rabbitmq.existingSecret and secretFiles.RABBITMQ_PASS empty, or set quickstart.enabled=false.") -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.jwt" -}}
{{- $problems := list -}}
{{- $jwt := .Values.jwt -}}
{{- if and $jwt.secret $jwt.existingSecret -}}
{{-   $problems = append $problems "jwt.secret and jwt.existingSecret are both set: leave one of them empty." -}}
{{- end -}}
{{- if and $jwt.acceptedSecrets $jwt.existingSecret -}}
{{-   $problems = append $problems (print "jwt.acceptedSecrets goes with jwt.secret: put the accepted secrets into jwt.existingSecret, "
        "and name their key in jwt.keys.acceptedSecrets.") -}}
{{- end -}}
{{- if and (not $jwt.existingSecret) (or $jwt.keys.privateKey $jwt.keys.acceptedKeys) -}}
{{-   $problems = append $problems
        "jwt.keys.privateKey and jwt.keys.acceptedKeys name keys of jwt.existingSecret, which is empty: set it." -}}
{{- end -}}
{{- with $jwt.secret -}}
{{-   $problems = append $problems (include "user-service.weakSecret" (dict "name" "jwt.secret" "secret" .)) -}}
{{- end -}}
{{- range splitList "," $jwt.acceptedSecrets -}}
{{-   with trim . -}}
{{-     $problems = append $problems (include "user-service.weakSecret" (dict "name" "A secret of jwt.acceptedSecrets" "secret" .)) -}}
{{-   end -}}
{{- end -}}
{{ without $problems "" | toJson }}
{{- end }}

{{- define "user-service.problems.dataKey" -}}
{{- $problems := list -}}
{{- $data := .Values.dataKey -}}
{{- if and $data.key $data.existingSecret -}}
{{-   $problems = append $problems "dataKey.key and dataKey.existingSecret are both set: leave one of them empty." -}}
{{- end -}}
{{- if and $data.acceptedKeys (not $data.key) -}}
{{-   $problems = append $problems (print "dataKey.acceptedKeys goes with dataKey.key: put the accepted keys into dataKey.existingSecret, "
        "and name their key in dataKey.keys.acceptedKeys, or set dataKey.key.") -}}
{{- end -}}
{{- if and $data.keys.acceptedKeys (not $data.existingSecret) -}}
{{-   $problems = append $problems "dataKey.keys.acceptedKeys names a key of dataKey.existingSecret, which is empty: set it." -}}
{{- end -}}
{{- if and (not $data.enabled) (or $data.key $data.acceptedKeys $data.existingSecret) -}}
{{-   $problems = append $problems "dataKey is off, and its values are set: set dataKey.enabled=true, or leave them empty." -}}
{{- end -}}
{{- if and (or $data.key $data.existingSecret) .Values.secretFiles.DATA_KEY -}}
{{-   $problems = append $problems "secretFiles.DATA_KEY and a Secret or value of dataKey are both set: leave one of them empty." -}}
{{- end -}}
{{- $problems = append $problems (include "user-service.weakDataKey" (dict "name" "dataKey.key" "key" $data.key)) -}}
{{- range splitList "," $data.acceptedKeys -}}
{{-   $problems = append $problems (include "user-service.weakDataKey" (dict "name" "A key of dataKey.acceptedKeys" "key" .)) -}}
{{- end -}}
{{ without $problems "" | toJson }}
{{- end }}

{{/* Returns why the service would refuse a data key, or nothing. An empty key counts as not set. Parameters: name, key. */}}
{{- define "user-service.weakDataKey" -}}
{{- with trim .key -}}
{{-   if regexMatch "^[A-Za-z0-9+/]{43}=$" . -}}
{{-     $parameters := dict "name" $.name "bytes" 32 -}}
{{-     or (include "user-service.weakSecret" (merge (dict "secret" (b64dec .)) $parameters))
          (include "user-service.weakSecret" (merge (dict "secret" .) $parameters)) -}}
{{-   else -}}
{{      $.name }} is not the base64 of 32 bytes: use a random one, as made by: openssl rand -base64 32
{{-   end -}}
{{- end -}}
{{- end }}

{{/*
Returns why the service would refuse a secret, or nothing: the secret is too short, has too few different characters,
repeats a shorter text, or is a sequence. Parameters: name, secret, bytes (number of random bytes in the advice; default: 48).
*/}}
{{- define "user-service.weakSecret" -}}
{{- $secret := .secret -}}
{{- $size := len $secret -}}
{{- $repeats := false -}}
{{- range $period := untilStep 1 (add (div $size 2) 1 | int) 1 -}}
{{-   if hasPrefix (substr $period $size $secret) $secret -}}
{{-     $repeats = true -}}
{{-   end -}}
{{- end -}}
{{- $reason := "" -}}
{{- if lt $size 32 -}}
{{-   $reason = printf "has %d characters and needs at least 32" $size -}}
{{- else if lt (splitList "" $secret | uniq | len) 8 -}}
{{-   $reason = "has fewer than 8 different characters" -}}
{{- else if $repeats -}}
{{-   $reason = "repeats a shorter text" -}}
{{- else if include "user-service.isSequence" $secret -}}
{{-   $reason = "is a sequence of characters" -}}
{{- end -}}
{{- with $reason -}}
{{    $.name }} {{ . }}: use a random one, as made by: openssl rand -base64 {{ default 48 $.bytes }}
{{- end -}}
{{- end }}

{{/* Whether more than two thirds of the bytes of a text differ from the byte before by at most one. */}}
{{- define "user-service.isSequence" -}}
{{- $steps := 0 -}}
{{- range $i := untilStep 1 (len .) 1 -}}
{{-   $difference := sub (index $ $i | int) (index $ (sub $i 1 | int) | int) -}}
{{-   if and (ge $difference -1) (le $difference 1) -}}
{{-     $steps = add1 $steps -}}
{{-   end -}}
{{- end -}}
{{- if gt (mul 3 $steps | int) (mul 2 (len .) | int) }}yes{{ end -}}
{{- end }}

{{- define "user-service.problems.shutdown" -}}
{{- $v := .Values -}}
{{- $of := dict "grace" $v.terminationGracePeriodSeconds -}}
{{- $problems := include "user-service.problemsOfShutdown" (merge (dict "config" $v.config "prefix" "" "preStop" $v.preStopSeconds) $of)
      | fromJsonArray -}}
{{- if and $v.mailer.enabled $v.mailer.config -}}
{{-   $config := include "user-service.mailerEnvironment" . | fromYaml | dig "config" dict -}}
{{-   $problems = concat $problems (include "user-service.problemsOfShutdown"
        (merge (dict "config" $config "prefix" "mailer." "preStop" 0) $of) | fromJsonArray) -}}
{{- end -}}
{{ toJson (uniq $problems) }}
{{- end }}

{{/* Parameters: config and prefix (the path of the values with config) of a kind of pods, preStop and grace (in seconds). */}}
{{- define "user-service.problemsOfShutdown" -}}
{{- $problems := list -}}
{{- $timeout := default "25s" .config.SHUTDOWN_TIMEOUT | toString -}}
{{- $delay := default "5s" .config.SHUTDOWN_DELAY | toString -}}
{{- $grace := int .grace -}}
{{- if regexMatch (include "user-service.durationPattern" .) $timeout -}}
{{-   $seconds := include "user-service.seconds" $timeout | float64 -}}
{{-   $shutdown := add .preStop (ceil $seconds | int) | int -}}
{{-   if ge (include "user-service.seconds" $delay | float64) $seconds -}}
{{-     $problems = append $problems (printf (print "%sconfig.SHUTDOWN_DELAY is %s, and the whole shutdown, %sconfig.SHUTDOWN_TIMEOUT, "
          "is %s: lower the first, or raise the second.") .prefix $delay .prefix $timeout) -}}
{{-   end -}}
{{-   if lt $grace $shutdown -}}
{{-     $problems = append $problems (printf (print "terminationGracePeriodSeconds is %d, shorter than the shutdown of %d "
          "(%s%sconfig.SHUTDOWN_TIMEOUT): set it to at least %d.") $grace $shutdown
          (ternary "preStopSeconds and " "" (eq .prefix "")) .prefix $shutdown) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.pods" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- if $v.autoscaling.enabled -}}
{{-   $min := int $v.autoscaling.minReplicas -}}
{{-   $max := int $v.autoscaling.maxReplicas -}}
{{-   if gt $min $max -}}
{{-     $problems = append $problems (printf "autoscaling.minReplicas is %d, more than maxReplicas, %d: change one of them." $min $max) -}}
{{-   end -}}
{{-   if not (or $v.autoscaling.metrics ((($v.resources).requests).cpu)) -}}
{{-     $problems = append $problems "autoscaling looks at the CPU in percent of the request: set resources.requests.cpu." -}}
{{-   end -}}
{{- end -}}
{{- range $name := list "minAvailable" "maxUnavailable" -}}
{{-   $value := index $v.podDisruptionBudget $name | toString -}}
{{-   if not (regexMatch "^([0-9]+|[1-9]?[0-9]%|100%)?$" $value) -}}
{{-     $problems = append $problems (printf (print "podDisruptionBudget.%s is %q: write a number of pods, "
          "or a percentage such as 50%%.") $name $value) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/*
A pod needs 64 MiB, and the larger of 100 MiB and the memory of its concurrent hashes. The 100 MiB are for bodies of
requests and for one imported hash. The migration Job computes one hash, for the first admin's password.
*/}}
{{- define "user-service.problems.memory" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $hash := divf (float64 (default 19456 $v.config.ARGON2_MEMORY_KIB)) 1024.0 -}}
{{- $concurrency := float64 $v.config.PASSWORD_HASH_CONCURRENCY -}}
{{- if eq $concurrency 0.0 -}}
{{-   $problems = append $problems (print "config.PASSWORD_HASH_CONCURRENCY is 0, which means as many as the node has CPUs: "
        "set it to how many hashes the memory limit holds.") -}}
{{- end -}}
{{- with (($v.resources).limits).memory -}}
{{-   $need := addf 64.0 (maxf 100.0 (mulf $hash $concurrency)) | ceil | int -}}
{{-   if and (include "user-service.isMemory" .) (gt $concurrency 0.0) (lt (include "user-service.mebibytes" . | int) $need) -}}
{{-     $problems = append $problems (printf (print "resources.limits.memory is %s, and a pod needs %dMi "
          "(64Mi, and the larger of 100Mi and of ARGON2_MEMORY_KIB for each of PASSWORD_HASH_CONCURRENCY): "
          "raise it, or lower config.PASSWORD_HASH_CONCURRENCY.") (toString .) $need) -}}
{{-   end -}}
{{- end -}}
{{- with (($v.migration.resources).limits).memory -}}
{{-   $need := addf 64.0 $hash | ceil | int -}}
{{-   if and (include "user-service.isMemory" .) (include "user-service.hasAdmin" $)
        (lt (include "user-service.mebibytes" . | int) $need) -}}
{{-     $problems = append $problems (printf (print "migration.resources.limits.memory is %s, and the Job needs %dMi "
          "(64Mi, and ARGON2_MEMORY_KIB for the first admin's password): raise it.") (toString .) $need) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.networkPolicy" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $np := $v.networkPolicy -}}
{{- $any := "(any address: [{ipBlock: {cidr: 0.0.0.0/0}}])" -}}
{{- if $np.enabled -}}
{{-   $ports := include "user-service.databasePorts" . | fromJsonArray -}}
{{-   if and $ports (not (or $np.databaseTo $v.quickstart.enabled)) -}}
{{-     $problems = append $problems (printf (print "networkPolicy.enabled needs networkPolicy.databaseTo: set where the database is, "
          "as a NetworkPolicy's to, such as [{podSelector: {matchLabels: {cnpg.io/cluster: accounts}}}] %s.") $any) -}}
{{-   end -}}
{{-   if not (or $np.rabbitmqTo $v.quickstart.enabled) -}}
{{-     $problems = append $problems (printf (print "networkPolicy.enabled needs networkPolicy.rabbitmqTo: set where the broker is, "
          "as a NetworkPolicy's to, such as [{podSelector: {matchLabels: {app.kubernetes.io/name: events}}}] %s.") $any) -}}
{{-   end -}}
{{-   if not $np.dnsTo -}}
{{-     $problems = append $problems (print "networkPolicy.dnsTo is empty, which would be any address: "
          "set where the cluster's DNS is, or leave it as it is in values.yaml.") -}}
{{-   end -}}
{{-   if and (or $v.serviceMonitor.enabled $v.podMonitor.enabled $v.prometheusRule.enabled) (not $np.metricsFrom) -}}
{{-     $problems = append $problems (print "networkPolicy.metricsFrom is empty, so Prometheus could not read what "
          "serviceMonitor, podMonitor and prometheusRule ask for: set where it runs, "
          "such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}].") -}}
{{-   end -}}
{{-   if and $v.config.PWNED_PASSWORDS_URL (not $np.extraEgress) -}}
{{-     $problems = append $problems (print "networkPolicy.enabled and config.PWNED_PASSWORDS_URL need networkPolicy.extraEgress: "
          "allow the port of that URL, such as [{ports: [{port: 443}], to: [{ipBlock: {cidr: 0.0.0.0/0}}]}].") -}}
{{-   end -}}
{{-   if and $v.mailer.enabled (not $np.smtpTo) -}}
{{-     $problems = append $problems (printf (print "networkPolicy.enabled and mailer.enabled need networkPolicy.smtpTo: "
          "set where the mail server is, as a NetworkPolicy's to %s.") $any) -}}
{{-   end -}}
{{-   $mailer := include "user-service.mailerEnvironment" . | fromYaml -}}
{{-   $mailerTraces := and $v.mailer.enabled (include "user-service.tracesEndpoint" $mailer) -}}
{{-   if and (or (include "user-service.tracesEndpoint" $v) $mailerTraces) (not $np.otlpTo) -}}
{{-     $problems = append $problems (printf (print "networkPolicy.enabled and an OTLP endpoint need networkPolicy.otlpTo: "
          "set where traces are sent, as a NetworkPolicy's to, "
          "such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}] %s.") $any) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.routes" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) -}}
{{-   $problems = append $problems "ingress.enabled needs ingress.hosts: set at least one host name." -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) -}}
{{-   $problems = append $problems "httpRoute.enabled needs httpRoute.parentRefs: set the Gateway, as [{name: …}]." -}}
{{- end -}}
{{- if $v.ingress.enabled -}}
{{-   range include "user-service.ingressHosts" . | fromJsonArray -}}
{{-     if not (regexMatch "^(\\*\\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" .host) -}}
{{-       $problems = append $problems (printf "ingress.hosts has %q: write a host name, without scheme, port and path." .host) -}}
{{-     end -}}
{{-     range .paths -}}
{{-       if hasPrefix "/metrics" .path -}}
{{-         $problems = append $problems
              "ingress.path is that of the metrics, which are not served to the outside: use another." -}}
{{-       else if not (hasPrefix "/" .path) -}}
{{-         $problems = append $problems (printf "ingress has the path %q: begin it with a slash." .path) -}}
{{-       end -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- with $v.httpRoute -}}
{{-   if and .enabled (not .filters) (not .matches) (hasPrefix "/metrics" .path) -}}
{{-     $problems = append $problems
          "httpRoute.path is that of the metrics, which are not served to the outside: use another." -}}
{{-   end -}}
{{- end -}}
{{- $proxies := $v.config.TRUSTED_PROXIES -}}
{{- range $v.extraEnv -}}
{{-   $proxies = ternary true $proxies (eq .name "TRUSTED_PROXIES") -}}
{{- end -}}
{{- if and (or $v.ingress.enabled $v.httpRoute.enabled) (not $proxies) -}}
{{-   $problems = append $problems (print "config.TRUSTED_PROXIES is empty, so all clients would share the address, and the "
        "rate limit, of the proxy: set the addresses from which the Ingress controller or Gateway connects, such as 10.244.3.0/24. "
        "Clients with an address of this list can forge the address that counts.") -}}
{{- end -}}
{{ uniq $problems | toJson }}
{{- end }}

{{- define "user-service.problems.tls" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- range $name := list "database" "rabbitmq" -}}
{{-   $tls := (index $v $name).tls -}}
{{-   if and (eq $tls.mode "disable") (or $tls.caSecret $tls.certSecret) -}}
{{-     $problems = append $problems (printf (print "%s.tls.mode is disable, and a Secret of %s.tls is set: "
          "set the mode to verify-full, or leave the Secrets empty.") $name $name) -}}
{{-   end -}}
{{-   if and $v.quickstart.enabled (or $tls.caSecret $tls.certSecret (not (has $tls.mode (list "" "disable")))) -}}
{{-     $problems = append $problems (printf "quickstart.enabled has no TLS: leave %s.tls empty." $name) -}}
{{-   end -}}
{{- end -}}
{{- if and $v.database.tls.mode (regexMatch "[?&]sslmode=" $v.database.url) -}}
{{-   $problems = append $problems "database.url has sslmode, and database.tls.mode is set: leave one of them out." -}}
{{- end -}}
{{- if and $v.migration.certSecret (not $v.database.tls.certSecret) -}}
{{-   $problems = append $problems (print "migration.certSecret is set, and database.tls.certSecret is empty: set the certificate of the "
        "service's role too.") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.service" -}}
{{- $problems := list -}}
{{- $service := .Values.service -}}
{{- $needs := dict "nodePort" (list "NodePort" "LoadBalancer") "externalTrafficPolicy" (list "NodePort" "LoadBalancer")
      "loadBalancerClass" (list "LoadBalancer") "loadBalancerSourceRanges" (list "LoadBalancer") -}}
{{- range $field, $types := $needs -}}
{{-   if and (get $service $field) (not (has $service.type $types)) -}}
{{-     $problems = append $problems (printf "service.%s needs service.type %s: set the type, or leave the field empty."
          $field (join " or " $types)) -}}
{{-   end -}}
{{- end -}}
{{- if and (eq $service.clusterIP "None") (ne $service.type "ClusterIP") -}}
{{-   $problems = append $problems (print "service.clusterIP is None, which needs service.type ClusterIP: set the type, "
        "or leave clusterIP empty.") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.monitoring" -}}
{{- $problems := list -}}
{{- $alerts := include "user-service.alerts" . | fromYamlArray -}}
{{- range $path, $names := dict "severities" (keys .Values.prometheusRule.severities | sortAlpha)
      "disabledAlerts" .Values.prometheusRule.disabledAlerts -}}
{{-   range $names -}}
{{-     if not (has . $alerts) -}}
{{-       $problems = append $problems (printf "prometheusRule.%s has %s, which is not an alert of the chart: write one of %s."
            $path . (join ", " $alerts)) -}}
{{-     end -}}
{{-   end -}}
{{- end -}}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled -}}
{{-   $problems = append $problems (print "serviceMonitor.enabled and podMonitor.enabled are both set, and would count everything twice: "
        "set one of them to false.") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}
