//go:build linux

package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestEveryPortOfAReadyPodIsATarget(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("labelSelector") != "cutover.dev/serves" {
			t.Errorf("asked %s", r.URL)
		}
		w.Write([]byte(`{"items": [
			{"metadata": {"name": "a", "namespace": "n"}, "spec": {"containers": [{"ports": [{"containerPort": 8080}, {"containerPort": 9100}]}]},
			 "status": {"podIP": "10.244.0.7", "conditions": [{"type": "Ready", "status": "True"}]}},
			{"metadata": {"name": "b", "namespace": "n"}, "spec": {"containers": [{"ports": [{"containerPort": 8080}]}]},
			 "status": {"podIP": "10.244.0.8", "conditions": [{"type": "Ready", "status": "False"}]}}]}`))
	}))
	defer server.Close()
	pods, err := list(server.Client(), server.URL)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := json.Marshal(groups(pods))
	const want = `[{"targets":["10.244.0.7:8080"],"labels":{"namespace":"n","pod":"a"}},{"targets":["10.244.0.7:9100"],"labels":{"namespace":"n","pod":"a"}}]`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
	if got, _ := json.Marshal(groups(nil)); string(got) != "[]" {
		t.Errorf("without pods: %s", got)
	}
}

func TestARefusalIsAnError(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if _, err := list(server.Client(), server.URL); err == nil {
		t.Error("no error")
	}
}
