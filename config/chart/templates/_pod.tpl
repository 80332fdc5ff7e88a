{{/* Values of one role, or of the migrations. */}}
{{- define "gofleet.own" -}}
{{- ternary .root.Values.migrate (get .root.Values.roles .role) (eq .role "migrate") | toJson -}}
{{- end }}

{{/* The container, for `{root, role}`; command and probes are the caller's. */}}
{{- define "gofleet.container" -}}
name: {{ .role }}
image: {{ include "gofleet.image" .root | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  capabilities: {drop: [ALL]}
  seccompProfile: {type: RuntimeDefault}
volumeMounts:
  - {name: tmp, mountPath: /tmp}
  {{- if (include "gofleet.own" . | fromJson).certificates }}
  - {name: certificates, mountPath: /certificates, readOnly: true}
  {{- end }}
{{- end }}

{{/* A role's own settings, which override the common ones. */}}
{{- define "gofleet.settings" -}}
{{- range $name, $value := (include "gofleet.own" . | fromJson).settings }}
- {name: {{ $name }}, value: {{ include "gofleet.text" $value }}}
{{- end }}
{{- end }}

{{/* The passwords that a role needs, from its own Secret or the common one. */}}
{{- define "gofleet.passwords" -}}
{{- $secret := (include "gofleet.own" . | fromJson).existingSecret | default .root.Values.existingSecret -}}
{{- $passwords := dict "postgres" "DB_PASSWORD" "rabbitmq" "RABBITMQ_PASSWORD" "redis" "REDIS_PASSWORD" -}}
{{- range include "gofleet.needs" . | fromJsonArray }}
{{- with get $passwords . }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $secret | quote }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* Common part of every pod, for `{root, role}`. Service links are off: for a Service named redis Kubernetes would set REDIS_PORT=tcp://... */}}
{{- define "gofleet.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .root.Values.pod.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .root.Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .root.Values.pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.pod.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  seccompProfile: {type: RuntimeDefault}
volumes:
  - name: tmp
    emptyDir: {sizeLimit: 64Mi}
  {{- with (include "gofleet.own" . | fromJson).certificates }}
  - name: certificates
    secret: {secretName: {{ . | quote }}, defaultMode: 0444}
  {{- end }}
{{- end }}
