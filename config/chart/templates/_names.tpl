{{/* Prefix of every name: the release's, with `gofleet` in it. */}}
{{- define "gofleet.name" -}}
{{- $name := ternary .Release.Name (printf "%s-gofleet" .Release.Name) (contains "gofleet" .Release.Name) -}}
{{- $name | trunc 50 | trimSuffix "-" -}}
{{- end }}

{{/* Selector of the pods; with a role (`dict "root" . "role" "api"`) only of its own. */}}
{{- define "gofleet.selector" -}}
app.kubernetes.io/name: gofleet
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{- define "gofleet.labels" -}}
{{ include "gofleet.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "gofleet.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Servers and roles that a role connects to, as a JSON list. */}}
{{- define "gofleet.needs" -}}
{{- $broker := .root.Values.settings.BROKER -}}
{{- $counts := ternary (list) (list "redis") (eq (.root.Values.settings.LIMITS | default "on") "off") -}}
{{- $needs := dict
  "migrate" (list "postgres")
  "api"     (concat (list "postgres" "fleet") $counts)
  "relay"   (list "postgres" $broker)
  "worker"  (list "postgres" $broker "redis" "fleet")
  "fleet"   (list "postgres" $broker "redis")
-}}
{{- get $needs .role | uniq | toJson -}}
{{- end }}
