{{/* A setting's value as text, without exponents: 1048576, not 1.048576e+06. */}}
{{- define "gofleet.text" -}}
{{- if kindIs "string" . }}{{ . | quote }}{{ else }}{{ . | toJson | quote }}{{ end -}}
{{- end }}

{{/* Settings of every role, without the passwords. */}}
{{- define "gofleet.config" -}}
{{- range $name, $value := .Values.settings }}
{{ $name }}: {{ include "gofleet.text" $value }}
{{- end }}
FLEET_HOST: {{ include "gofleet.name" . }}-fleet
WEB_SERVER_PORT: "8000"
GRPC_PORT: "50051"
METRICS_PORT: "2112"
{{- end }}
