{{/*
Fails with all problems of the values that values.schema.json can't express, one a line, each with what to change.
Each subject is a template of its own, which returns a JSON list of messages.
*/}}
{{- define "user-service.validate" -}}
{{- $problems := list -}}
{{- range list "cluster" "sources" "generated" "quickstart" "jwt" "config" "extraEnv" "pods" "memory" "networkPolicy" "routes"
    "mailer" -}}
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
{{- if and (include "user-service.hasAdmin" .) (not $v.migration.enabled) -}}
{{-   $problems = append $problems (print "admin.email and admin.existingSecret need the migration Job, which creates the account: "
        "set migration.enabled=true, or leave them empty.") -}}
{{- end -}}
{{- if and $v.database.url (not (regexMatch "^postgres(ql)?://" $v.database.url)) -}}
{{-   $problems = append $problems
        "database.url is not a PostgreSQL URL: write it as postgres://user:password@host:5432/database" -}}
{{- end -}}
{{- if not $v.quickstart.enabled -}}
{{-   if not (or $v.database.url $v.database.existingSecret) -}}
{{-     $problems = append $problems (print "No database: set database.existingSecret (or database.url), "
          "or quickstart.enabled=true for a first look.") -}}
{{-   end -}}
{{-   if not (or $v.rabbitmq.password $v.rabbitmq.existingSecret) -}}
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
{{- if not (or $v.jwt.secret $v.jwt.existingSecret) -}}
{{-   $generated = append $generated (dict "secret" (include "user-service.jwtSecret" .) "values" "jwt.existingSecret or jwt.secret") -}}
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
{{-   if or $v.database.url $v.database.existingSecret $v.migration.existingSecret -}}
{{-     $problems = append $problems (print "quickstart.enabled brings a database of its own: leave database.url, "
          "database.existingSecret and migration.existingSecret empty, or set quickstart.enabled=false.") -}}
{{-   end -}}
{{-   if or $v.rabbitmq.host $v.rabbitmq.password $v.rabbitmq.existingSecret -}}
{{-     $problems = append $problems (print "quickstart.enabled brings a broker of its own: leave rabbitmq.host, "
          "rabbitmq.password and rabbitmq.existingSecret empty, or set quickstart.enabled=false.") -}}
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

{{/*
Returns why the service would refuse a secret that signs tokens, or nothing: the secret is too short, has too few
different characters, or repeats a shorter text. Parameters: name, secret.
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
{{- end -}}
{{- with $reason -}}
{{    $.name }} {{ . }}: use a random one, as made by: openssl rand -base64 48
{{- end -}}
{{- end }}

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
HTTP_ADDR: service.port
METRICS_ADDR: service.metricsPort
GOMEMLIMIT: resources.limits.memory
SMTP_URL: mailer.smtp
MAIL_FROM: mailer.from
MAIL_LINKS_BASE_URL: mailer.linksBaseURL
MAIL_PRODUCT_NAME: mailer.productName
MAIL_TEMPLATES_DIR: mailer.templatesConfigMap
OTEL_EXPORTER_OTLP_HEADERS: otlpHeaders.existingSecret
OTEL_EXPORTER_OTLP_TRACES_HEADERS: otlpHeaders.existingSecret
{{- end }}

{{- define "user-service.problems.config" -}}
{{- include "user-service.problemsOfConfig" (dict "config" .Values.config "prefix" "") -}}
{{- end }}

{{/* Parameters: config, and prefix, the path of the values that contain config. */}}
{{- define "user-service.problemsOfConfig" -}}
{{- $problems := list -}}
{{- $chartVariables := include "user-service.chartVariables" . | fromYaml -}}
{{- $prefix := .prefix -}}
{{- range $name, $value := .config -}}
{{-   $plain := trimSuffix "_FILE" $name -}}
{{-   $path := printf "%sconfig.%s" $prefix $name -}}
{{-   if hasKey $chartVariables $plain -}}
{{-     $problems = append $problems (printf "%s is set by the chart: use %s instead." $path (get $chartVariables $plain)) -}}
{{-   else if or (kindIs "map" $value) (kindIs "slice" $value) (kindIs "invalid" $value) -}}
{{-     $problems = append $problems (printf (print "%s is not a text, number or boolean: "
          "write its value as the environment variable has it.") $path) -}}
{{-   else if include "user-service.isSecret" (dict "name" $name "value" $value) -}}
{{-     $problems = append $problems (printf (print "%s has a secret, which the description of every pod would show: "
          "take it from a Secret, by %sextraEnv with valueFrom.secretKeyRef.") $path $prefix) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.extraEnv" -}}
{{- include "user-service.problemsOfExtraEnv" (dict "config" .Values.config "extraEnv" .Values.extraEnv "prefix" "") -}}
{{- end }}

{{/* Parameters: extraEnv, config, and prefix, the path of the values that contain extraEnv. */}}
{{- define "user-service.problemsOfExtraEnv" -}}
{{- $problems := list -}}
{{- $chartVariables := include "user-service.chartVariables" . | fromYaml -}}
{{- $prefix := .prefix -}}
{{- $config := .config -}}
{{- range .extraEnv -}}
{{-   $plain := trimSuffix "_FILE" .name -}}
{{-   if hasKey $chartVariables $plain -}}
{{-     $problems = append $problems
          (printf "%sextraEnv has %s, which is set by the chart: use %s instead." $prefix .name (get $chartVariables $plain)) -}}
{{-   else if hasKey $config .name -}}
{{-     $problems = append $problems (printf "%s is in config and in %sextraEnv: leave one of them." .name $prefix) -}}
{{-   else if and .value (include "user-service.isSecret" (dict "name" .name "value" .value)) -}}
{{-     $problems = append $problems (printf (print "%sextraEnv has the secret %s as a value, which the description of every pod "
          "would show: take it from a Secret, by valueFrom.secretKeyRef.") $prefix .name) -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
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

{{- define "user-service.problems.pods" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $timeout := default "25s" $v.config.SHUTDOWN_TIMEOUT | toString -}}
{{- $grace := int $v.terminationGracePeriodSeconds -}}
{{- if not (regexMatch "^([0-9]+(\\.[0-9]+)?(ms|s|m|h))+$" $timeout) -}}
{{-   $problems = append $problems
        (printf "config.SHUTDOWN_TIMEOUT is %s, which is not a duration: write it with its unit, as 25s." $timeout) -}}
{{- else -}}
{{-   $shutdown := add $v.preStopSeconds (include "user-service.seconds" $timeout | int) | int -}}
{{-   if lt $grace $shutdown -}}
{{-     $problems = append $problems (printf (print "terminationGracePeriodSeconds is %d, shorter than the shutdown of %d "
          "(preStopSeconds and config.SHUTDOWN_TIMEOUT): set it to at least %d.") $grace $shutdown $shutdown) -}}
{{-   end -}}
{{- end -}}
{{- if $v.autoscaling.enabled -}}
{{-   $min := int $v.autoscaling.minReplicas -}}
{{-   $max := int $v.autoscaling.maxReplicas -}}
{{-   if gt $min $max -}}
{{-     $problems = append $problems (printf "autoscaling.minReplicas is %d, more than maxReplicas, %d: change one of them." $min $max) -}}
{{-   end -}}
{{-   if not (($v.resources.requests).cpu) -}}
{{-     $problems = append $problems "autoscaling looks at the CPU in percent of the request: set resources.requests.cpu." -}}
{{-   end -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{/*
A pod needs 64 MiB, and the larger of 100 MiB and the memory of its concurrent hashes. The 100 MiB are for bodies of
requests and for one imported hash. The migration Job computes one hash, that of the first admin's password.
*/}}
{{- define "user-service.problems.memory" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $hash := divf (float64 (default 19456 $v.config.ARGON2_MEMORY_KIB)) 1024.0 -}}
{{- $concurrency := $v.config.PASSWORD_HASH_CONCURRENCY -}}
{{- if not $concurrency -}}
{{-   $problems = append $problems (print "config.PASSWORD_HASH_CONCURRENCY is empty, and would be as many as the node has CPUs: "
        "set it to how many hashes the memory limit holds.") -}}
{{- end -}}
{{- with (($v.resources).limits).memory -}}
{{-   $need := addf 64.0 (maxf 100.0 (mulf $hash (float64 (default 0 $concurrency)))) | ceil | int -}}
{{-   if and $concurrency (lt (include "user-service.mebibytes" . | int) $need) -}}
{{-     $problems = append $problems (printf (print "resources.limits.memory is %s, and a pod needs %dMi "
          "(64Mi, and the larger of 100Mi and of ARGON2_MEMORY_KIB for each of PASSWORD_HASH_CONCURRENCY): "
          "raise it, or lower config.PASSWORD_HASH_CONCURRENCY.") (toString .) $need) -}}
{{-   end -}}
{{- end -}}
{{- with (($v.migration.resources).limits).memory -}}
{{-   $need := addf 64.0 $hash | ceil | int -}}
{{-   if and (include "user-service.hasAdmin" $) (lt (include "user-service.mebibytes" . | int) $need) -}}
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
{{-   if not (or $np.databaseTo $v.quickstart.enabled) -}}
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
{{-   if and (or $v.serviceMonitor.enabled $v.prometheusRule.enabled) (not $np.metricsFrom) -}}
{{-     $problems = append $problems (print "networkPolicy.metricsFrom is empty, so Prometheus could not read what "
          "serviceMonitor.enabled and prometheusRule.enabled ask for: set where it runs, "
          "such as [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}].") -}}
{{-   end -}}
{{-   if and $v.mailer.enabled (not $np.smtpTo) -}}
{{-     $problems = append $problems (printf (print "networkPolicy.enabled and mailer.enabled need networkPolicy.smtpTo: "
          "set where the mail server is, as a NetworkPolicy's to %s.") $any) -}}
{{-   end -}}
{{-   $mailerTraces := and $v.mailer.enabled (include "user-service.tracesEndpoint" (include "user-service.mailerEnvironment" . | fromYaml)) -}}
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
{{- if and $v.ingress.enabled (hasPrefix "/metrics" $v.ingress.path) -}}
{{-   $problems = append $problems
        "ingress.path is that of the metrics, which are not served to the outside: use another." -}}
{{- end -}}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.filters) (hasPrefix "/metrics" $v.httpRoute.path) -}}
{{-   $problems = append $problems
        "httpRoute.path is that of the metrics, which are not served to the outside: use another." -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.mailer" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $m := $v.mailer -}}
{{- if $m.enabled -}}
{{-   if not $m.from -}}
{{-     $problems = append $problems "mailer.enabled needs mailer.from: set the sender of the mails." -}}
{{-   end -}}
{{-   if not $m.linksBaseURL -}}
{{-     $problems = append $problems "mailer.enabled needs mailer.linksBaseURL: set the URL of the application." -}}
{{-   end -}}
{{-   if and $m.smtp.url $m.smtp.existingSecret -}}
{{-     $problems = append $problems "mailer.smtp.url and mailer.smtp.existingSecret are both set: leave one of them empty." -}}
{{-   else if not (or $m.smtp.url $m.smtp.existingSecret) -}}
{{-     $problems = append $problems "mailer.enabled needs a mail server: set mailer.smtp.existingSecret (or mailer.smtp.url)." -}}
{{-   end -}}
{{-   $problems = concat $problems (include "user-service.problems.mailerRabbitmq" . | fromJsonArray) -}}
{{-   $problems = concat $problems
        (include "user-service.problemsOfConfig" (dict "config" $m.config "prefix" "mailer.") | fromJsonArray) -}}
{{-   $environment := dict "config" (merge dict $m.config $v.config) "extraEnv" $m.extraEnv "prefix" "mailer." -}}
{{-   $problems = concat $problems (include "user-service.problemsOfExtraEnv" $environment | fromJsonArray) -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.mailerRabbitmq" -}}
{{- $problems := list -}}
{{- $v := .Values -}}
{{- $rabbitmq := $v.mailer.rabbitmq -}}
{{- if $v.quickstart.enabled -}}
{{-   if or $rabbitmq.user $rabbitmq.password $rabbitmq.existingSecret -}}
{{-     $problems = append $problems "quickstart.enabled has one user at its broker: leave mailer.rabbitmq empty." -}}
{{-   end -}}
{{- else if and $rabbitmq.password $rabbitmq.existingSecret -}}
{{-   $problems = append $problems "mailer.rabbitmq.password and mailer.rabbitmq.existingSecret are both set: leave one of them empty." -}}
{{- else if not (or $rabbitmq.existingSecret (and $rabbitmq.user $rabbitmq.password)) -}}
{{-   $problems = append $problems (print "mailer.enabled needs a user of its own at the broker: set mailer.rabbitmq.existingSecret "
        "(or mailer.rabbitmq.user and password).") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}
