{{/* What the values say of a role, or of the migrations, alone. */}}
{{- define "gofleet.own" -}}
{{- ternary .root.Values.migrate (get .root.Values.roles .role) (eq .role "migrate") | toJson -}}
{{- end }}

{{/* The one container, as `{root, role}`; what it runs and asks is the caller's. */}}
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

{{/* A role's own settings, which win over everybody's. */}}
{{- define "gofleet.settings" -}}
{{- range $name, $value := (include "gofleet.own" . | fromJson).settings }}
- {name: {{ $name }}, value: {{ include "gofleet.text" $value }}}
{{- end }}
{{- end }}

{{/* The passwords that a role needs, from its Secret or everybody's. */}}
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

{{/* What holds for every pod, as `{root, role}`. Kubernetes would else set REDIS_PORT=tcp://... for a Service called redis. */}}
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
