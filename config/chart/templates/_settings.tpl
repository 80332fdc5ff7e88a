{{/* A setting's value as its text: never 1.048576e+06 for 1048576. */}}
{{- define "gofleet.text" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ . | toJson | quote }}{{ end -}}
{{- end }}

{{/* What every role is told; the passwords are not in it. */}}
{{- define "gofleet.config" -}}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "gofleet.text" $value }}
{{- end }}
FLEET_HOST: {{ include "gofleet.name" . }}-fleet
WEB_SERVER_PORT: "8000"
GRPC_PORT: "50051"
METRICS_PORT: "2112"
{{- end }}
