package plan

import (
	"os"
	"regexp"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
)

func TestTheREADMEShowsTheRightsThatAreAskedFor(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	require.NoError(t, err)
	block := regexp.MustCompile("(?s)```yaml\n(apiVersion: rbac.*?)```").FindSubmatch(text)
	require.NotNil(t, block)
	var role struct {
		Rules []struct {
			APIGroups []string `yaml:"apiGroups"`
			Resources []string `yaml:"resources"`
			Verbs     []string `yaml:"verbs"`
		} `yaml:"rules"`
	}
	require.NoError(t, yaml.Unmarshal(block[1], &role))
	var shown []rbacv1.PolicyRule
	for _, r := range role.Rules {
		shown = append(shown, rbacv1.PolicyRule{APIGroups: r.APIGroups, Resources: r.Resources, Verbs: r.Verbs})
	}
	require.Equal(t, Rights, shown)
}

// Nobody can grant what they do not have.
func TestTheAgentsRightsAreAPartOfTheRunners(t *testing.T) {
	for _, rule := range AgentRole(atWork()).Rules {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				require.Contains(t, Needed(), Right{Group: rule.APIGroups[0], Resource: resource, Verb: verb})
			}
		}
	}
}
