package stage

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"cutover.dev/ci/release"
)

// Record returns the application's current record, as the cluster holds it.
func (s *Stage) Record(ctx context.Context) (*release.Record, error) {
	head, err := s.Client.CoreV1().ConfigMaps(s.Namespace).Get(ctx, Names.Head(), metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	rec := new(release.Record)
	return rec, json.Unmarshal([]byte(head.Data["record"]), rec)
}
