{{- define "knurl.name" -}}
{{- if contains "knurl" .Release.Name }}{{ .Release.Name | trunc 52 | trimSuffix "-" }}{{ else }}{{ printf "%s-knurl" .Release.Name | trunc 52 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "knurl.selector" -}}
app.kubernetes.io/name: knurl
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "knurl.labels" -}}
{{ include "knurl.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "knurl.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{- define "knurl.onPostgres" -}}
{{- if and .Values.secretName (has "database_url" .Values.secretEntries) }}yes{{ end }}
{{- end }}
