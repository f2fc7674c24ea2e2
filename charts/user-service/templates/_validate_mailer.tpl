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
{{-   range $name := list "Smtp" "Rabbitmq" "Database" -}}
{{-     $problems = concat $problems (include (printf "user-service.problems.mailer%s" $name) $ | fromJsonArray) -}}
{{-   end -}}
{{-   $environment := dict "root" $ "config" $m.config "extraEnv" $m.extraEnv "prefix" "mailer." -}}
{{-   $problems = concat $problems (include "user-service.problemsOfConfig" $environment | fromJsonArray) -}}
{{-   $environment = merge (dict "config" (merge dict $m.config $v.config)) $environment -}}
{{-   $problems = concat $problems (include "user-service.problemsOfExtraEnv" $environment | fromJsonArray) -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.mailerSmtp" -}}
{{- $problems := list -}}
{{- $smtp := .Values.mailer.smtp -}}
{{- $file := .Values.mailer.secretFiles.SMTP_URL -}}
{{- if and $smtp.url $smtp.existingSecret -}}
{{-   $problems = append $problems "mailer.smtp.url and mailer.smtp.existingSecret are both set: leave one of them empty." -}}
{{- else if and $file (or $smtp.url $smtp.existingSecret) -}}
{{-   $problems = append $problems (print "mailer.secretFiles.SMTP_URL and a Secret or value of mailer.smtp are both set: "
        "leave one of them empty.") -}}
{{- else if not (or $smtp.url $smtp.existingSecret $file) -}}
{{-   $problems = append $problems "mailer.enabled needs a mail server: set mailer.smtp.existingSecret (or mailer.smtp.url)." -}}
{{- else if not (regexMatch "^(smtps?://.+)?$" $smtp.url) -}}
{{-   $problems = append $problems (print "mailer.smtp.url is not the URL of a mail server: write it as "
        "smtp://user:password@host:587 or smtps://user:password@host") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.mailerRabbitmq" -}}
{{- $problems := list -}}
{{- $rabbitmq := .Values.mailer.rabbitmq -}}
{{- $files := .Values.mailer.secretFiles -}}
{{- $file := $files.RABBITMQ_PASS -}}
{{- if .Values.quickstart.enabled -}}
{{-   if or $rabbitmq.user $rabbitmq.password $rabbitmq.existingSecret $file $files.RABBITMQ_USER -}}
{{-     $problems = append $problems (print "quickstart.enabled has one user at its broker: leave mailer.rabbitmq and the files of "
          "RABBITMQ in mailer.secretFiles empty.") -}}
{{-   end -}}
{{- else if and $rabbitmq.password $rabbitmq.existingSecret -}}
{{-   $problems = append $problems "mailer.rabbitmq.password and mailer.rabbitmq.existingSecret are both set: leave one of them empty." -}}
{{- else if and $file (or $rabbitmq.password $rabbitmq.existingSecret) -}}
{{-   $problems = append $problems (print "mailer.secretFiles.RABBITMQ_PASS and a Secret or value of mailer.rabbitmq are both set: "
        "leave one of them empty.") -}}
{{- else if not (or $rabbitmq.existingSecret (and (or $rabbitmq.user $files.RABBITMQ_USER) (or $rabbitmq.password $file))) -}}
{{-   $problems = append $problems (print "mailer.enabled needs a user of its own at the broker: set mailer.rabbitmq.existingSecret "
        "(or mailer.rabbitmq.user and password).") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}

{{- define "user-service.problems.mailerDatabase" -}}
{{- $problems := list -}}
{{- $m := .Values.mailer -}}
{{- if and $m.database.existingSecret $m.secretFiles.DATABASE_URL -}}
{{-   $problems = append $problems (print "mailer.database.existingSecret and mailer.secretFiles.DATABASE_URL are both set: "
        "leave one of them empty.") -}}
{{- end -}}
{{- if and .Values.quickstart.enabled (or $m.database.existingSecret $m.secretFiles.DATABASE_URL) -}}
{{-   $problems = append $problems (print "quickstart.enabled has one user at its database: leave mailer.database.existingSecret and "
        "mailer.secretFiles.DATABASE_URL empty.") -}}
{{- end -}}
{{- if and $m.database.certSecret (not .Values.database.tls.certSecret) -}}
{{-   $problems = append $problems (print "mailer.database.certSecret is set, and database.tls.certSecret is empty: set the certificate "
        "of the service's role too.") -}}
{{- end -}}
{{ toJson $problems }}
{{- end }}
