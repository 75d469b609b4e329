package config

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// resourceNames are the resources that a container can ask for.
var resourceNames = []string{"cpu", "memory", "ephemeral-storage"}

func (s *source) checkQuantities(r Resources) {
	requests := s.quantities(r.Requests, "resources.requests")
	limits := s.quantities(r.Limits, "resources.limits")
	for name, request := range requests {
		limit, ok := limits[name]
		s.want(!ok || request.Cmp(limit) <= 0, "resources.requests."+name,
			"%s is more than resources.limits.%s, which is %s", r.Requests[name], name, r.Limits[name])
	}
}

// quantities parses the values of a map of resources and returns the good ones.
func (s *source) quantities(values map[string]string, path string) map[string]resource.Quantity {
	good := map[string]resource.Quantity{}
	for name, value := range values {
		at := path + "." + name
		quantity, err := resource.ParseQuantity(value)
		s.wantKey(slices.Contains(resourceNames, name), at, "there are only cpu, memory and ephemeral-storage")
		s.want(err == nil, at, "%q is not a quantity such as 100m or 64Mi", value)
		s.want(quantity.Sign() >= 0, at, "%s is negative", value)
		s.want(name == "cpu" || !strings.HasSuffix(value, "m"), at,
			"%s is less than a byte, m being a thousandth; write Mi for mebibytes", value)
		if !s.faulty(at) {
			good[name] = quantity
		}
	}
	return good
}
