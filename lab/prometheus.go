package main

const prometheusPort = 9090

// prometheusProgram scrapes the pods of every application that cutover deploys.
func (l *lab) prometheusProgram() *program {
	return &program{
		name: "prometheus",
		path: "/usr/bin/prometheus",
		args: []string{
			"--config.file=" + in("etc", "prometheus.yml"), "--storage.tsdb.path=" + in("prometheus"),
			"--storage.tsdb.retention.time=1d", "--web.listen-address=:9090", "--log.level=warn",
		},
		files: []string{in("etc", "prometheus.yml"), in("admin.kubeconfig")},
		ports: []int{prometheusPort},
		ready: answers("http://127.0.0.1:9090/-/ready", nil),
	}
}

// prometheusConfig asks often, so that a deploy of a few seconds shows. Pods reach
// the metrics of others by the path that nearly everybody uses.
func (l *lab) prometheusConfig() string {
	return `global: {scrape_interval: 2s, scrape_timeout: 2s}
scrape_configs:
- job_name: pods
  kubernetes_sd_configs:
  - {role: pod, kubeconfig_file: ` + in("admin.kubeconfig") + `}
  relabel_configs:
  - {action: keep, source_labels: [__meta_kubernetes_pod_labelpresent_cutover_dev_serves], regex: "true"}
  - {action: keep, source_labels: [__meta_kubernetes_pod_ready], regex: "true"}
  - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
  - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
`
}
