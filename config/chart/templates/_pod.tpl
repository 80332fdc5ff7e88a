{{/* The one container, as `{root, role}`; what it runs, asks and mounts is the caller's. */}}
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
{{- end }}

{{/* The passwords that a role needs, from the Secret. */}}
{{- define "gofleet.passwords" -}}
{{- $passwords := dict "postgres" "DB_PASSWORD" "rabbitmq" "RABBITMQ_PASSWORD" "redis" "REDIS_PASSWORD" -}}
{{- range include "gofleet.needs" . | fromJsonArray }}
{{- with get $passwords . }}
- name: {{ . }}
  valueFrom: {secretKeyRef: {name: {{ $.root.Values.existingSecret | quote }}, key: {{ . }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* What holds for every pod. Kubernetes would else set REDIS_PORT=tcp://... for a Service called redis. */}}
{{- define "gofleet.pod" -}}
enableServiceLinks: false
automountServiceAccountToken: false
{{- with .Values.pod.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
{{- with .Values.pod.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with .Values.pod.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.pod.tolerations }}
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
{{- end }}
